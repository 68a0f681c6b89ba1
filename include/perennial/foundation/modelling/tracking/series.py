"""The series of a model: one long run beside the runs of days, with the figures of every day as steps."""

from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import TYPE_CHECKING

from perennial.foundation.endpoint import Endpoint
from perennial.foundation.modelling.tracking.client import connected, experiment_id_of, log_day, runs_with

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SERIES = {"series": "every day"}
_SERIES_NOTE = (
    "The figures of every day, one step a day. In a chart choose *Time* for the x-axis: it shows the day "
    "itself; *Step* counts days from 2000-01-01."
)
_STEP_0 = date(2000, 1, 1)


def log_series(
    endpoint: Endpoint,
    model: str,
    day: date,
    figures: Mapping[str, float],
    pictures: Mapping[str, "Figure"] = MappingProxyType({}),
) -> str:
    """Write a day's figures as one step of the model's series, and pictures in place of older ones.

    The step counts days from 2000-01-01, the time is the day's midnight. The same figures again add nothing.

    Returns:
        The id of the series' run.
    """
    with connected(endpoint) as client:
        if not runs_with(client, model, _SERIES):
            tags = {**_SERIES, "mlflow.note.content": _SERIES_NOTE}
            run = client.create_run(
                experiment_id_of(client, model), tags=tags, run_name=f"{model}, every day"
            )
            client.set_terminated(run.info.run_id)
        # Two tasks may have made a series at the same time: the older one counts.
        run_id = str(runs_with(client, model, _SERIES)[-1].info.run_id)
        log_day(client, run_id, day, figures, step=(day - _STEP_0).days)
        for path, figure in pictures.items():
            client.log_figure(run_id, figure, path)
        return run_id
