"""The gate, through the real promotion and a real MLflow: five situations, and how often it errs.

`python -m tests.acceptance.profiles_gate FOLDER` plays the situations in the shop of its settings.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np

from tests.acceptance.forks import FOLDERS
from tests.acceptance.lines import Line, at_least, at_most

DRAWS = 400
_MARGIN, _GROUP_MARGIN = 0.01, 0.02


def gate() -> Iterator[Line]:
    """Five candidates against one champion each: who is promoted, and why; then 400 draws of three kinds."""
    for name, wanted in SITUATIONS.items():
        said = _played(name)
        print(f"  {name}: {said}")
        decision, _, reason = said.partition(": ")
        right = decision == wanted[0] and wanted[1] in reason
        yield Line(f"profiles.gate_{name}", decision, f"={wanted[0]}", right)
    worse, equal, unfair = (_promoted(extra) for extra in (_as_bad_as_the_margin, _retrained, _unfair))
    # The upper end of a 95 % interval misses the truth once in 40 times: 10 of 400, up to 22 by chance.
    yield at_most("profiles.gate_promotes_what_is_worse_by_the_margin", worse / DRAWS, 22 / DRAWS, "")
    yield at_least("profiles.gate_promotes_a_retrained_model_as_good", equal / DRAWS, 0.9, "")
    yield at_most("profiles.gate_promotes_what_is_bad_for_a_group_of_300", unfair / DRAWS, 0.1, "")


SITUATIONS = {
    "copy_of_the_champion_but_fresher": ("promoted", "fresher and not worse"),
    "worse_model": ("kept", "not shown to be as good as the champion"),
    "better_model": ("promoted", "fresher and better"),
    "better_model_that_is_bad_for_a_large_group": ("kept", "clearly worse for young"),
    "older_days_candidate_arriving_late": ("none", "too late"),
}
"""What is decided, and what the reason must say."""


def main(situation: str, folder: str) -> None:
    """Play one situation and print what the promotion says of the last candidate."""
    import shutil

    from perennial.foundation.endpoint import Endpoint
    from tests import planted
    from tests.learning import empty_mlflow
    from tests.planted import FIRST, Planted

    os.chdir(folder)
    shutil.copy(empty_mlflow(Path(folder) / "empty"), Path(folder) / "mlflow.db")
    endpoint = Endpoint(f"sqlite:///{folder}/mlflow.db")
    champion, candidate, days = {
        "copy_of_the_champion_but_fresher": (Planted(), Planted(), 1),
        "worse_model": (Planted(), Planted(noise=1, noise_of_young=1), 1),
        "better_model": (Planted(noise=1, noise_of_young=1), Planted(), 1),
        "better_model_that_is_bad_for_a_large_group": (
            Planted(noise=1, noise_of_young=1),
            Planted(noise=0.2, noise_of_young=2),
            1,
        ),
        "older_days_candidate_arriving_late": (Planted(), Planted(noise=0.1, noise_of_young=0.1), -2),
    }[situation]
    planted.promoted(endpoint, 1, champion)
    day = FIRST + timedelta(days)
    planted.train(endpoint, day, candidate)
    print(json.dumps(planted.promote(day, endpoint)))


def _played(situation: str) -> str:
    with tempfile.TemporaryDirectory(prefix="perennial-gate-") as name:
        places = {f"PERENNIAL_{place.upper()}": f"{name}/{place}" for place in FOLDERS}
        environment = os.environ | places | {"PERENNIAL_LEDGER": f"sqlite:///{name}/ledger.db"}
        code = [sys.executable, "-m", "tests.acceptance.profiles_gate", situation, name]
        done = subprocess.run(code, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _promoted(extra: Callable[[np.random.Generator], np.ndarray]) -> int:
    """How many of the draws the gate promotes, judging fresher candidates by their extra losses."""
    from perennial.foundation.modelling import gate
    from perennial.foundation.modelling.gate import Answers

    young = np.arange(_CASES) < 300
    promoted = 0
    for draw in range(DRAWS):
        losses = extra(np.random.default_rng(draw))
        candidate, champion = Answers(losses, {"young": young, "old": ~young}), Answers(np.zeros(_CASES))
        margins = {"margin": _MARGIN, "group_margin": _GROUP_MARGIN}
        promoted += gate.judge(candidate, champion, fresher=True, **margins, draws=500).promote
    return promoted


_CASES, _SPREAD = 2400, 0.08
"""As many cases as the demo's newest window has, and more than their losses differ by retraining."""


def _retrained(random: np.random.Generator) -> np.ndarray:
    return random.normal(0, _SPREAD, _CASES)


def _as_bad_as_the_margin(random: np.random.Generator) -> np.ndarray:
    return random.normal(_MARGIN, _SPREAD, _CASES)


def _unfair(random: np.random.Generator) -> np.ndarray:
    """Twice the group's margin worse for the young, and so much better for all others."""
    return random.normal(np.where(np.arange(_CASES) < 300, 2 * _GROUP_MARGIN, -_MARGIN), _SPREAD)


if __name__ == "__main__":
    main(*sys.argv[1:])
