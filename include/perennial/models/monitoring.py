"""What is watched beside the scores of a day: drift, and fairness to groups. It reads, writes and reports.

Re-makeable: the table `drift` and the page of the day are replaced, the list of days and the picture follow
from the table.
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
    """Write `drift` of the day and its page, and flag the day's retraining when a measure has shifted.

    Returns:
        `report`, the path of the page; `mlflow_run`, the series of the model; `alert`, a sentence, only when
        something has shifted. Nothing of a day before the first model.

    Raises:
        NoModelError: no version has ever been promoted.
    """
    day = date.fromisoformat(str(day))
    lake, chosen = open_lake().pinned(*_READ), monitoring_settings()
    version = promotion.version_in_force(lake, NAME, day)
    if version is None:
        return {}
    model: ReturnModel = tracking.load_model(endpoint, NAME, version)
    found = measured(lake, model, day, chosen)
    lake.replace("drift", _rows(found, version, day), day)
    shown = [(one, measures) for one, measures in _history(open_lake()).items() if one <= day]
    picture = heat_map(dict(shown[-chosen.days_shown :]))
    past = _past(lake, model, day)
    watched = MonitoredDay(
        day=day,
        version=version,
        drift=found,
        picture=svg(picture) if found else "",
        dimensions=_dimensions(lake, past, day, chosen),
        window=None if past is None else (day - WINDOW, day),
        threshold=return_model_settings().contact_threshold,
        smallest_group=chosen.smallest_group,
    )
    write(settings().reports / path_of(day), monitoring_report.page(watched, report_words()))
    _publish_index()
    return {"report": path_of(day), **_logged(endpoint, found, picture, day)}


def measured(lake: Lake, model: ReturnModel, day: date, chosen: MonitoringSettings) -> list[DriftReport]:
    """How far the day's customers with orders are from the training cases, the furthest measure first."""
    if model.reference is None:
        return []
    profiles, scores = lake.read("profiles"), lake.read("scores")
    said = scores.filter(scores.day == day, scores.p_return_28.notnull()).select("customer_id", "p_return_28")
    known = profiles.filter(profiles.day == day, profiles.orders > 0).inner_join(said, "customer_id")
    blocks = [(features.matrix(rows), rows["p_return_28"].to_numpy()) for rows in _blocks(known)]
    if not blocks:
        return []
    matrix, given = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    found = model.reference.found(matrix, features.NAMES, given.astype(np.float64))
    return drift.judge(found, chosen.shifting, chosen.shifted, chosen.growing)


def _blocks(known: ir.Table) -> Iterator[pa.Table]:
    """Customers as the model reads them, so many at a time that their lists of orders fit in memory."""
    rows = read_by_the_model(known, "p_return_28").order_by("customer_id")
    return (pa.Table.from_batches([batch]) for batch in engine.stream(rows))


def _rows(found: Sequence[DriftReport], version: int, day: date) -> pa.Table:
    schema = pa.schema([field.with_nullable(True) for field in contracts.DRIFT.schema])
    about = {"day": day, "model": NAME, "model_version": version}
    return pa.Table.from_pylist([about | vars(one) | {"measure": one.name} for one in found], schema)


def _history(lake: Lake) -> dict[date, list[DriftReport]]:
    """What was measured on each day, in the days' order, the furthest measure first."""
    table = lake.read("drift")
    rows = table.filter(table.model == NAME).order_by("day", ibis.desc("psi")).to_pyarrow().to_pylist()
    found: dict[date, list[DriftReport]] = {}
    for row in rows:
        one = DriftReport(row["measure"], row["psi"], row["by_chance"], Level(row["level"]), row["grows"])
        found.setdefault(row["day"], []).append(one)
    return found


def _past(lake: Lake, model: ReturnModel, day: date) -> pa.Table | None:
    """The customers of the newest whole window: what the judged fit said of them, and whether they came."""
    cutoff = day - WINDOW
    if cutoff not in lake.days("profiles"):
        return None
    events, users = lake.known("events", day), lake.known("users", day)
    cases = labelled(lake.read("profiles"), events, users, [cutoff])
    if not cases:
        return None
    (window,) = cases
    said = pa.array(model.judged.probabilities(window.rows))
    people = window.rows.select(list(DIMENSIONS))
    return people.append_column("said", said).append_column("came_back", pa.array(window.labels))


def _dimensions(lake: Lake, past: pa.Table | None, day: date, chosen: MonitoringSettings) -> list[Dimension]:
    users = lake.known("users", day).select("customer_id", *DIMENSIONS)
    scores, arms = lake.read("scores"), lake.read("arms")
    today = scores.filter(scores.day == day, scores.p_return_28.notnull())
    today = today.select("customer_id", score="p_return_28").left_join(users, "customer_id")
    lately = arms.filter(arms.eligible_since <= day, arms.eligible_since > day - WINDOW)
    if lately.count().execute():
        treated = lately.filter(lately.arm == "treatment").select("customer_id").distinct()
        today = today.mutate(contacted=today.customer_id.isin(treated.customer_id).cast("int64"))
    threshold = return_model_settings().contact_threshold
    return fairness.dimensions(today.to_pyarrow(), past, threshold, chosen.smallest_group)


def _publish_index() -> None:
    """List every day; again if another day wrote its drift meanwhile: the last list is complete."""
    while True:
        lake = open_lake().pinned("drift")
        text = monitoring_report.index(_history(lake), report_words())
        write(settings().reports / monitoring_report.FOLDER / "index.html", text)
        if open_lake().version("drift") == lake.version("drift"):
            return


def _logged(endpoint: Endpoint, found: Sequence[DriftReport], picture: "Figure", day: date) -> dict[str, str]:
    """The day as a step of the model's series, the flag on the day's candidate, and the alert."""
    figures = {f"psi/{one.name}": one.psi for one in found}
    picture.set_facecolor("white")
    run_id = tracking.log_series(endpoint, NAME, day, figures, {_PICTURE: picture} if found else {})
    alarms = monitoring_report.said([one for one in found if one.alarm])
    candidate = tracking.trained(endpoint, NAME, day)
    if candidate is not None:
        state = f"shifted: {alarms}" if alarms else "no alarm" if found else "not measured"
        tracking.note(endpoint, NAME, candidate.version, {"drift": state})
    alert = f"{NAME} of {day}: its customers have drifted from those it learnt from: {alarms}"
    return {"mlflow_run": run_id} | ({"alert": alert} if alarms else {})
