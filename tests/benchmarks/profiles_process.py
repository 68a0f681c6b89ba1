"""One way of drawing the profiles of a day, in a process of its own, so that its peak memory is its own.

    python -m tests.benchmarks.profiles_process ours|sql|pandas|floor LAKE OUT

prints one line of JSON.
"""

import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.benchmarks.bench import REPEATS, peak_mb

MEMORY_MB = 3000
"""What each engine may use before it spills to disk; pandas takes what it needs."""
_REPOSITORY = Path(__file__).resolve().parents[2]
_LONG_S = 120


@dataclass(frozen=True)
class Measured:
    """Median seconds after a warm-up, and peak memory of the process in its first run.

    Where already the first run takes over two minutes its seconds stand: start-up is little beside it.
    """

    name: str
    seconds: float
    peak_mb: float


def measure(way: str, lake: Path, out: Path) -> Measured:
    """Time a way here and now; imports are outside the clock."""
    module = importlib.import_module(f"tests.benchmarks.profiles_{way}")
    taken = []
    for _ in range(1 + REPEATS):
        began = time.perf_counter()
        module.draw(lake, out)
        taken.append(time.perf_counter() - began)
        if len(taken) == 1:
            peak = peak_mb()
        if taken[0] > _LONG_S:
            break
    return Measured(module.NAME, statistics.median(taken[1:] or taken), peak)


def measure_apart(way: str, lake: Path, out: Path) -> Measured:
    """The same in a fresh process.

    Raises:
        RuntimeError: the process failed; the message ends with what it said.
    """
    done = subprocess.run(
        [sys.executable, "-m", __name__, way, str(lake), str(out)],
        cwd=_REPOSITORY,
        env={**os.environ, "PERENNIAL_MEMORY_MB": str(MEMORY_MB)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{way} ended with {done.returncode}: {done.stderr[-2000:]}")
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    print(json.dumps(asdict(measure(sys.argv[1], *map(Path, sys.argv[2:])))))
