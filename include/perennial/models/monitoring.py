"""The step of `score_customers.watch`: a day's drift and fairness, as a table, a page and MLflow metrics.

Re-makeable: a second run replaces the rows of `drift` and the page of the day. The list of days and the
picture are made from the table.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import TYPE_CHECKING

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from perennial.foundation import contracts, engine
from perennial.foundation.endpoint import Endpoint
from perennial.foundation.lake import Lake, open_lake
from perennial.foundation.modelling import promotion, tracking
from perennial.foundation.modelling.promotion import WINDOW
from perennial.foundation.pages import report_words, svg, write
from perennial.foundation.settings import settings
from perennial.models import drift, fairness, features, monitoring_report
from perennial.models.drift import DriftReport, Level
from perennial.models.fairness import DIMENSIONS, Dimension
from perennial.models.heat_map import heat_map
from perennial.models.monitoring_report import MonitoredDay, path_of
from perennial.models.return_model import NAME, ReturnModel
from perennial.models.settings import MonitoringSettings, monitoring_settings, return_model_settings
from perennial.models.training_cases import labelled, read_by_the_model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_READ = ("model_log", "profiles", "scores", "events", "users", "arms")
_PICTURE = "drift.png"


def watch(day: str | date, endpoint: Endpoint) -> dict[str, str]:
    """Write the day's rows of `drift` and its page, and tag the day's candidate if a measure has shifted.

    Returns:
        `report`: the path of the page. `mlflow_run`: the id of the model's series. `alert`: a sentence, only
        if a measure has shifted. Empty for a day before the first model.

    Raises:
        NoModelError: no version has ever been promoted.
    """
    day = date.fromisoformat(str(day))
    lake, monitoring = open_lake().pinned(*_READ), monitoring_settings()
    version = promotion.version_in_force(lake, NAME, day)
    if version is None:
        return {}
    model: ReturnModel = tracking.load_model(endpoint, NAME, version)
    measures_of_day = measured(lake, model, day, monitoring)
    lake.replace("drift", _rows(measures_of_day, version, day), day)
    shown = [(past_day, reports) for past_day, reports in _history(open_lake()).items() if past_day <= day]
    picture = heat_map(dict(shown[-monitoring.days_shown :]))
    past = _past(lake, model, day)
    monitored_day = MonitoredDay(
        day=day,
        version=version,
        drift=measures_of_day,
        picture=svg(picture) if measures_of_day else "",
        dimensions=_dimensions(lake, past, day, monitoring),
        window=None if past is None else (day - WINDOW, day),
        threshold=return_model_settings().contact_threshold,
        smallest_group=monitoring.smallest_group,
    )
    write(settings().reports / path_of(day), monitoring_report.page(monitored_day, report_words()))
    _publish_index()
    return {"report": path_of(day), **_log(endpoint, measures_of_day, picture, day)}


def measured(lake: Lake, model: ReturnModel, day: date, monitoring: MonitoringSettings) -> list[DriftReport]:
    """The drift of the day's customers with orders from the training cases; the greatest index first."""
    if model.reference is None:
        return []
    profiles, scores = lake.read("profiles"), lake.read("scores")
    probabilities = scores.filter(scores.day == day, scores.p_return_28.notnull()).select(
        "customer_id", "p_return_28"
    )
    customers = profiles.filter(profiles.day == day, profiles.orders > 0).inner_join(
        probabilities, "customer_id"
    )
    blocks = [(features.matrix(rows), rows["p_return_28"].to_numpy()) for rows in _blocks(customers)]
    if not blocks:
        return []
    matrix, scores_of_day = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    drifts = model.reference.drifts(matrix, features.NAMES, scores_of_day.astype(np.float64))
    return drift.judge(drifts, monitoring.shifting, monitoring.shifted, monitoring.growing)


def _blocks(customers: ir.Table) -> Iterator[pa.Table]:
    """The customers' rows with the model's columns, in blocks whose lists of orders fit in memory."""
    rows = read_by_the_model(customers, "p_return_28").order_by("customer_id")
    return (pa.Table.from_batches([batch]) for batch in engine.stream(rows))


def _rows(measures: Sequence[DriftReport], version: int, day: date) -> pa.Table:
    schema = pa.schema([field.with_nullable(True) for field in contracts.DRIFT.schema])
    common = {"day": day, "model": NAME, "model_version": version}
    return pa.Table.from_pylist(
        [common | vars(measure) | {"measure": measure.name} for measure in measures], schema
    )


def _history(lake: Lake) -> dict[date, list[DriftReport]]:
    """The measures by day, in the order of days; within a day the greatest index first."""
    table = lake.read("drift")
    rows = table.filter(table.model == NAME).order_by("day", ibis.desc("psi")).to_pyarrow().to_pylist()
    by_day: dict[date, list[DriftReport]] = {}
    for row in rows:
        measure = DriftReport(row["measure"], row["psi"], row["by_chance"], Level(row["level"]), row["grows"])
        by_day.setdefault(row["day"], []).append(measure)
    return by_day


def _past(lake: Lake, model: ReturnModel, day: date) -> pa.Table | None:
    """The customers of the newest complete window, with `probability` (of the judged fit) and `came_back`."""
    cutoff = day - WINDOW
    if cutoff not in lake.days("profiles"):
        return None
    events, users = lake.known("events", day), lake.known("users", day)
    cases = labelled(lake.read("profiles"), events, users, [cutoff])
    if not cases:
        return None
    (window,) = cases
    probabilities = pa.array(model.judged.probabilities(window.rows))
    people = window.rows.select(list(DIMENSIONS))
    return people.append_column("probability", probabilities).append_column(
        "came_back", pa.array(window.labels)
    )


def _dimensions(
    lake: Lake, past: pa.Table | None, day: date, monitoring: MonitoringSettings
) -> list[Dimension]:
    users = lake.known("users", day).select("customer_id", *DIMENSIONS)
    scores, arms = lake.read("scores"), lake.read("arms")
    today = scores.filter(scores.day == day, scores.p_return_28.notnull())
    today = today.select("customer_id", score="p_return_28").left_join(users, "customer_id")
    lately = arms.filter(arms.eligible_since <= day, arms.eligible_since > day - WINDOW)
    if lately.count().execute():
        treated = lately.filter(lately.arm == "treatment").select("customer_id").distinct()
        today = today.mutate(contacted=today.customer_id.isin(treated.customer_id).cast("int64"))
    threshold = return_model_settings().contact_threshold
    return fairness.dimensions(today.to_pyarrow(), past, threshold, monitoring.smallest_group)


def _publish_index() -> None:
    """Write the list of all days. If another day wrote drift meanwhile, write it again."""
    while True:
        lake = open_lake().pinned("drift")
        text = monitoring_report.index(_history(lake), report_words())
        write(settings().reports / monitoring_report.FOLDER / "index.html", text)
        if open_lake().version("drift") == lake.version("drift"):
            return


def _log(endpoint: Endpoint, measures: Sequence[DriftReport], picture: "Figure", day: date) -> dict[str, str]:
    """Log the day in the model's series, tag its candidate, and return the run's id and the alert."""
    figures = {f"psi/{measure.name}": measure.psi for measure in measures}
    picture.set_facecolor("white")
    run_id = tracking.log_series(endpoint, NAME, day, figures, {_PICTURE: picture} if measures else {})
    alarms = monitoring_report.listed([measure for measure in measures if measure.alarm])
    candidate = tracking.trained(endpoint, NAME, day)
    if candidate is not None:
        state = f"shifted: {alarms}" if alarms else "no alarm" if measures else "not measured"
        tracking.note(endpoint, NAME, candidate.version, {"drift": state})
    alert = f"{NAME} of {day}: its customers have drifted from those it learnt from: {alarms}"
    return {"mlflow_run": run_id} | ({"alert": alert} if alarms else {})
