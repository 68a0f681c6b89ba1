"""The steps of the return model: train a candidate as of a day, score customers with the one in force."""

import tempfile
from datetime import date
from pathlib import Path

import pyarrow as pa

from perennial.foundation import contracts, engine, promotion, tracking
from perennial.foundation.endpoint import Endpoint
from perennial.foundation.lake import Lake, open_lake
from perennial.foundation.ledger import open_ledger
from perennial.foundation.promotion import WINDOW
from perennial.foundation.registry import Pyfunc
from perennial.models import features, judgement, pictures, recency, return_model
from perennial.models.cases import Cases, labelled, read_by_the_model
from perennial.models.config import ReturnModelSettings, return_model_settings
from perennial.models.return_model import NAME, ReturnModel

_READ = ("events", "profiles")
_EXAMPLE_ROWS = 3
SCORED = pa.schema([field.with_nullable(True) for field in contracts.SCORES.schema])
"""The columns of `scores`, as they are before the lake has checked them."""


class TooLittleHistoryError(RuntimeError):
    """Too few past days to train on and be judged by; the message says which profiles are missing."""


def train(day: str | date, endpoint: Endpoint) -> dict[str, str]:
    """Train, examine and register the day's candidate, or say what became of it if that is decided already.

    Returns:
        `model`, `version` and `mlflow_run` of the candidate; `model`, `verdict` and more when the day is on
        record.

    Raises:
        TooLittleHistoryError: the profiles of the past cut-offs are missing.
    """
    day = date.fromisoformat(str(day))
    on_record = promotion.decided(open_lake(), open_ledger(), NAME, day)
    if on_record is not None:
        return on_record
    lake, chosen = open_lake().pinned(*_READ), return_model_settings()
    with tracking.run(endpoint, NAME, f"{NAME} {day}", {"day": str(day)}) as run:
        newest, *earlier = cases_of(lake, day, chosen.cutoffs)
        model = fit_both(newest, earlier, chosen)
        with tempfile.TemporaryDirectory() as folder:
            registered = run.register(_packed(model, newest, Path(folder) / NAME))
            newest.save(Path(folder) / "cases.parquet")
            run.log_file(Path(folder) / "cases.parquet", tracking.EXAMINATION)
        run.log_tables(lake.uri, lake.pins or {})
        _log(run, model, newest, earlier, chosen, registered.model_id)
    tracking.set_aliases(endpoint, NAME, {tracking.CHALLENGER: registered.version})
    return {"model": NAME, "version": str(registered.version), "mlflow_run": run.id}


def score(day: str | date, endpoint: Endpoint) -> int:
    """Write `scores` of the day with the version in force on it; how many customers.

    A day before the first promotion had no model, and gets no scores.

    Raises:
        NoModelError: no version has ever been promoted.
    """
    day = date.fromisoformat(str(day))
    lake = open_lake()
    version = promotion.version_in_force(lake, NAME, day)
    blocks = []
    if version is not None:
        model: ReturnModel = tracking.load_model(endpoint, NAME, version)
        profiles = lake.read("profiles")
        rows = read_by_the_model(profiles.filter(profiles.day == day)).order_by("customer_id")
        blocks = [
            scored(pa.Table.from_batches([batch]), model, version, day) for batch in engine.stream(rows)
        ]
    table = pa.concat_tables([SCORED.empty_table(), *blocks])
    lake.replace("scores", table, day)
    return table.num_rows


def cases_of(lake: Lake, day: date, cutoffs: int) -> list[Cases]:
    """The cases of the cut-offs 28, 56, … days before the day; the first is the newest whole window.

    Raises:
        TooLittleHistoryError: one of the two newest cut-offs has no profiles.
    """
    wanted = [day - WINDOW * (back + 1) for back in range(cutoffs)]
    missing = set(wanted[:2]) - lake.days("profiles")
    if missing:
        raise TooLittleHistoryError(
            f"training for {day} needs profiles of {', '.join(map(str, sorted(missing)))}: "
            f"clear build_profiles of {day}"
        )
    found = labelled(lake.read("profiles"), lake.known("events", day), wanted)
    if len(found) < 2:
        raise TooLittleHistoryError(f"training for {day}: nobody had ordered by {wanted[1]}")
    return found


def fit_both(newest: Cases, earlier: list[Cases], chosen: ReturnModelSettings) -> ReturnModel:
    """The judged fit has not seen the newest window; the served one is refitted through the day."""
    judged = return_model.fit(Cases.joined(earlier), chosen)
    return ReturnModel(judged, served=return_model.fit(Cases.joined([newest, *earlier]), chosen))


def scored(rows: pa.Table, model: ReturnModel, version: int, day: date) -> pa.Table:
    """Rows of `scores` for profile rows, in their order."""
    n = rows.num_rows
    columns = {
        "day": [day] * n,
        "customer_id": rows["customer_id"].combine_chunks(),
        "p_return_28": model.served.probabilities(rows),
        "reasons": model.served.reasons(rows),
        "model_version": [version] * n,
    }
    return pa.table(columns, SCORED)


def _packed(model: ReturnModel, cases: Cases, folder: Path) -> Pyfunc:
    model.save(folder)
    example = features.to_frame(cases.rows.slice(0, _EXAMPLE_ROWS))
    return Pyfunc(
        name=NAME,
        folder=folder,
        loader=return_model.__name__,
        example=example,
        answer=model.predict(example),
        options={"fit": "served"},
        packages=return_model.PACKAGES,
    )


def _log(
    run: tracking.Run,
    model: ReturnModel,
    newest: Cases,
    earlier: list[Cases],
    chosen: ReturnModelSettings,
    logged: str,
) -> None:
    """Parameters, figures of the judged fit and of the recency rule on the newest window, pictures."""
    trained_on = Cases.joined(earlier)
    said = {
        "return model": model.judged.probabilities(newest.rows),
        "recency rule": recency.probabilities(trained_on.matrix, trained_on.labels, newest.matrix),
    }
    ours, rule = (judgement.figures(newest.labels, probabilities) for probabilities in said.values())
    params = {
        **chosen.model_dump(),
        "features": ", ".join(features.NAMES),
        "cases_judged_fit": len(trained_on.labels),
        "cases_served_fit": len(trained_on.labels) + len(newest.labels),
        "cases_examination": len(newest.labels),
    }
    baseline = {f"recency_{name}": value for name, value in rule.items()}
    base_rate = {"base_rate": float(newest.labels.mean())}
    run.log(params=params, metrics=ours | baseline | base_rate, model=logged)
    run.log_picture("calibration.png", pictures.calibration(newest.labels, said))
    run.log_picture("gain.png", pictures.gain(newest.labels, said))
