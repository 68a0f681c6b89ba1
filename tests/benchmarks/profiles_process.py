"""One way of drawing the profiles of a day, in a process of its own, so that its peak memory is its own.

    python -m tests.benchmarks.profiles_process ours|sql|pandas|floor LAKE OUT

prints one line of JSON.
"""

import importlib
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.benchmarks.bench import REPEATS, apart, peak_mb

MEMORY_MB = 3000
"""What each engine may use before it spills to disk; pandas takes what it needs."""
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
    """The same in a fresh process, with the memory that each engine may use."""
    found = apart(__name__, way, str(lake), str(out), PERENNIAL_MEMORY_MB=str(MEMORY_MB))
    return Measured(**found)


if __name__ == "__main__":
    print(json.dumps(asdict(measure(sys.argv[1], *map(Path, sys.argv[2:])))))
