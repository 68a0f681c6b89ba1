"""A model that knows the truth except for a planted error: registered, scored and promoted like any other.

Whether a case comes true depends on a number `x` and nothing else. The model sees `x` with noise, whose
strength may differ for the group `young`, and its probabilities may be too extreme.
"""

import json
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
import numpy as np
import pandas as pd

from perennial.foundation.endpoint import Endpoint
from perennial.foundation.lake import Lake
from perennial.foundation.modelling import promotion, tracking
from perennial.foundation.modelling.gate import Answers
from perennial.foundation.modelling.registered import Pyfunc

MODEL = "return_model"
"""The name under which it is registered, in place of the real model."""
FIRST = date(2017, 11, 30)
CASES, YOUNG = 2400, 500
SETTINGS = {"margin": 0.01, "group_margin": 0.02}


@dataclass(frozen=True)
class Planted:
    """The error: the strength of the noise, also in the group `young`, and a factor on the log odds."""

    noise: float = 0.3
    noise_of_young: float = 0.3
    boldness: float = 1.0
    seed: int = 0

    def answers(self, examination: Path) -> Answers:
        test_cases = pd.read_parquet(examination)
        young, labels = test_cases["young"].to_numpy(), test_cases["label"].to_numpy(float)
        noise = np.where(young, self.noise_of_young, self.noise)
        # The probability of an honest forecaster who sees x + noise, where x has variance 4.
        seen = test_cases["x"] + noise * np.random.default_rng(self.seed).normal(size=len(test_cases))
        kept, spread = 4 / (4 + noise**2), 4 * noise**2 / (4 + noise**2)
        odds = self.boldness * kept * seen / np.sqrt(1 + np.pi * spread / 8)
        probabilities = (1 / (1 + np.exp(-odds))).to_numpy()
        losses = -np.log(np.where(labels > 0, probabilities, 1 - probabilities))
        return Answers(losses, {"young": young, "old": ~young}, probabilities, labels)

    def predict(self, frame: pd.DataFrame, params: object = None) -> pd.DataFrame:
        return pd.DataFrame({"p": np.full(len(frame), 0.5)})


def test_cases(day: date) -> pd.DataFrame:
    """The test cases of a day, unseen by every model."""
    random = np.random.default_rng(day.toordinal())
    x = random.normal(0, 2, CASES)
    labels = random.random(CASES) < 1 / (1 + np.exp(-x))
    return pd.DataFrame({"x": x, "young": np.arange(CASES) < YOUNG, "label": labels.astype(float)})


def train(endpoint: Endpoint, day: date, error: Planted | None = None) -> int:
    """Register a candidate of the day and return its version."""
    error = error or Planted()
    example = pd.DataFrame({"x": [0.5]})
    with (
        tracking.run(endpoint, MODEL, f"{MODEL} {day}", {"day": str(day)}) as run,
        TemporaryDirectory() as folder,
    ):
        home = Path(folder) / MODEL
        home.mkdir()
        (home / "error.json").write_text(json.dumps(asdict(error)))
        answer = error.predict(example)
        registered = run.register(Pyfunc(MODEL, home, __name__, example, answer, {"fit": "served"}, ()))
        test_cases(day).to_parquet(Path(folder) / "cases.parquet")
        run.log_file(Path(folder) / "cases.parquet", tracking.EXAMINATION)
        run.log(params=SETTINGS, metrics={"auc": 0.9})
    tracking.set_aliases(endpoint, MODEL, {tracking.CHALLENGER: registered.version})
    return registered.version


def promote(day: date, endpoint: Endpoint) -> str:
    """The verdict on the day's candidate, promoted or not."""
    return promotion.promote(day, endpoint, (MODEL,))[MODEL]


def promoted(endpoint: Endpoint, days: int, error: Planted | None = None) -> list[int]:
    """A champion for each of these days, each fresher than the last and as good; their versions."""
    versions = []
    for number in range(days):
        day = FIRST + timedelta(number)
        versions.append(train(endpoint, day, replace(error or Planted(), seed=number)))
        verdict = promote(day, endpoint)
        assert verdict.startswith("promoted"), verdict
    return versions


def log(lake: Lake) -> list[tuple[date, str, int | None]]:
    """Day, verdict and version of each row on record."""
    return [(record.day, record.verdict, record.version) for record in promotion.records(lake, MODEL)]


def client(endpoint: Endpoint) -> Any:
    """MLflow's own client."""
    return mlflow.MlflowClient(endpoint.url, endpoint.url)


def aliases(endpoint: Endpoint) -> dict[str, str]:
    """MLflow's aliases of the model and their versions."""
    found = client(endpoint).get_registered_model(MODEL).aliases
    return {alias: str(version) for alias, version in found.items()}


def _load_pyfunc(folder: str) -> Planted:
    return Planted(**json.loads((Path(folder) / "error.json").read_text()))
