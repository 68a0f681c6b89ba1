"""The steps of the return model: train a candidate as of a day, score customers with the one in force."""

import tempfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy.special import expit

from perennial.foundation import contracts, engine
from perennial.foundation.arrays import FloatArray
from perennial.foundation.endpoint import Endpoint
from perennial.foundation.lake import Lake, open_lake
from perennial.foundation.ledger import open_ledger
from perennial.foundation.modelling import promotion, tracking
from perennial.foundation.modelling.promotion import WINDOW
from perennial.foundation.modelling.registered import Pyfunc
from perennial.models import drift, features, metrics, order_hazard_network, pictures, return_model
from perennial.models.baselines import bgnbd, plain_trees, recency
from perennial.models.return_model import NAME, Fit, ReturnModel
from perennial.models.settings import ReturnModelSettings, return_model_settings
from perennial.models.training_cases import HORIZONS, TrainingCases, labelled, read_by_the_model

BLEND = "return model"
BASELINES = ("plain LightGBM", "BG NBD", "recency rule")
_READ = ("events", "profiles", "users")
_PARTS = ("trees", "deep_trees", "rhythm")
_EXAMPLE_ROWS = 3
SCORED = pa.schema([field.with_nullable(True) for field in contracts.SCORES.schema])
"""The columns of `scores`, as they are before the lake has checked them."""


class TooLittleHistoryError(RuntimeError):
    """Too few past days to train on and be judged by; the message says which profiles are missing."""


def train(day: str | date, endpoint: Endpoint) -> dict[str, str]:
    """Train, judge and register the day's candidate; or say what was decided, if the day is on record.

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
    lake, settings = open_lake().pinned(*_READ), return_model_settings()
    with tracking.run(endpoint, NAME, f"{NAME} {day}", {"day": str(day)}) as run:
        history = history_of(lake, day, settings.cutoffs)
        model = fit_both(history, settings)
        with tempfile.TemporaryDirectory() as folder:
            registered = run.register(_pyfunc(model, history.newest, Path(folder) / NAME))
            history.newest.save(Path(folder) / "cases.parquet")
            run.log_file(Path(folder) / "cases.parquet", tracking.EXAMINATION)
        run.log_tables(lake)
        _log(run, model, history, settings, registered.model_id)
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


@dataclass(frozen=True)
class ProfileHistory:
    """What a model of a day learns from.

    Args:
        newest: the cases of the newest whole window, which the judged fit must not see.
        earlier: those of the cut-offs before, newest first.
        today: profiles of the day, of customers with an order, `features.COLUMNS`.
    """

    newest: TrainingCases
    earlier: list[TrainingCases]
    today: pa.Table


def history_of(lake: Lake, day: date, cutoffs: int) -> ProfileHistory:
    """The cases of the cut-offs 28, 56, … days before the day, and the profiles of the day.

    Raises:
        TooLittleHistoryError: the day or one of the two newest cut-offs has no profiles.
    """
    wanted = [day - WINDOW * (back + 1) for back in range(cutoffs)]
    missing = {day, *wanted[:2]} - lake.days("profiles")
    if missing:
        raise TooLittleHistoryError(
            f"training for {day} needs profiles of {', '.join(map(str, sorted(missing)))}: "
            f"clear build_profiles of {day}"
        )
    profiles = lake.read("profiles")
    cases = labelled(profiles, lake.known("events", day), lake.known("users", day), wanted)
    if len(cases) < 2:
        raise TooLittleHistoryError(f"training for {day}: nobody had ordered by {wanted[1]}")
    today = read_by_the_model(profiles.filter(profiles.day == day, profiles.orders > 0))
    return ProfileHistory(cases[0], cases[1:], today.order_by("customer_id").to_pyarrow())


def fit_both(history: ProfileHistory, settings: ReturnModelSettings) -> ReturnModel:
    """The judged fit has not seen the newest window; the served one is refitted through the day."""
    windows = [history.newest, *history.earlier]
    judged, served = fit_judged(history, settings), return_model.fit(windows, history.today, settings)
    everything = TrainingCases.joined(windows)
    probabilities = served.probabilities(everything.rows)
    return ReturnModel(judged, served, drift.reference(everything.matrix, features.NAMES, probabilities))


def fit_judged(history: ProfileHistory, settings: ReturnModelSettings) -> Fit:
    """The fit that knows only what was known before the newest window."""
    return return_model.fit(history.earlier, history.newest.rows, settings)


def scored(rows: pa.Table, model: ReturnModel, version: int, day: date) -> pa.Table:
    """Rows of `scores` for profile rows, in their order."""
    n = rows.num_rows
    answers = zip(return_model.ANSWERS, model.served.answers(rows).T, strict=True)
    columns = {
        "day": [day] * n,
        "customer_id": rows["customer_id"].combine_chunks(),
        **{name: np.ascontiguousarray(values) for name, values in answers},
        "reasons": model.served.reasons(rows),
        "model_version": [version] * n,
    }
    return pa.table(columns, SCORED)


def _pyfunc(model: ReturnModel, cases: TrainingCases, folder: Path) -> Pyfunc:
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
    history: ProfileHistory,
    settings: ReturnModelSettings,
    model_id: str,
) -> None:
    """Log parameters, figures of the judged fit and of its rivals on the newest window, and pictures."""
    newest, read = history.newest, model.judged.read(history.newest.rows)
    by_candidate = candidates(model.judged, history)
    judged = {
        name: metrics.figures(newest.labels, probabilities, settings.contact_threshold)
        for name, probabilities in by_candidate.items()
    }
    for name, figures in judged.items():
        with run.child(name, {"candidate": name}) as child:
            child.log(metrics=figures)
    judged_cases = sum(len(one.labels) for one in history.earlier)
    params = {
        **settings.model_dump(exclude=set(_PARTS)),
        **{f"{part}_{name}": value for part in _PARTS for name, value in getattr(settings, part)},
        "features": ", ".join(features.NAMES),
        "sequence_features": ", ".join(order_hazard_network.NAMES),
        "cases_judged_fit": judged_cases,
        "cases_served_fit": judged_cases + len(newest.labels),
        "cases_examination": len(newest.labels),
    }
    spending = model.judged.answers(newest.rows)[:, -1]
    whole = {
        **judged[BLEND],
        **{f"log_loss_of_{name.replace(' ', '_')}": one["log_loss"] for name, one in judged.items()},
        "base_rate": float(newest.labels.mean()),
        "spend_error": float(np.abs(spending - newest.spend).mean()),
    }
    run.log(params=params, metrics=whole, model=model_id)
    shown = {name: by_candidate[name] for name in (BLEND, *BASELINES)}
    pushes = model.judged.pushes(read)
    run.log_picture("calibration.png", pictures.calibration(newest.labels, shown))
    run.log_picture("gain.png", pictures.gain(newest.labels, shown))
    run.log_picture("importance.png", pictures.importance(pushes))
    run.log_picture(
        "partial_dependence.png",
        pictures.partial_dependence(lambda inputs: expit(model.judged.longest(inputs)), read),
    )


def candidates(judged: Fit, history: ProfileHistory) -> dict[str, FloatArray]:
    """Probabilities of the blend, its parts and the baselines for the newest window, new to all of them."""
    newest, before = history.newest, TrainingCases.joined(history.earlier)
    matrix, training, read = newest.matrix, before.matrix, judged.read(newest.rows)
    lives = bgnbd.Histories.of(matrix)
    return {
        BLEND: judged.returns(read)[:, -1],
        **{name: probabilities[:, -1] for name, probabilities in judged.by_part(read).items()},
        "plain LightGBM": plain_trees.probabilities(training, before.labels, matrix),
        "BG NBD": bgnbd.fit(lives).probabilities(lives, HORIZONS[-1]),
        "recency rule": recency.probabilities(training, before.labels, matrix),
    }
