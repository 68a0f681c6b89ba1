"""One way of taking in a landing, timed in a process of its own, so that its peak memory is its own.

    python -m tests.benchmarks.ingest_process ours|pandas|duckdb TABLE FOLDER

prints one line of JSON. `FOLDER/landing` holds the landing files; what the way writes goes beside it.
"""

import importlib
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.bench import REPEATS, apart, peak_mb

_LONG_S = 60


@dataclass(frozen=True)
class Measured:
    """Median seconds after a warm-up, peak memory of the process in its first run, and the rows refused.

    Where already the warm-up takes longer than a minute its seconds stand: they leave no doubt.
    """

    seconds: float
    peak_mb: float
    refused: int


def measure(way: str, table: str, folder: Path) -> Measured:
    """Time a way here and now; imports and preparations are outside the clock."""
    before, run = importlib.import_module(f"tests.benchmarks.ingest_{way}").prepare(table, folder)
    before()
    began = time.perf_counter()
    refused = run()
    first = time.perf_counter() - began
    # A task is a process that runs once: what repeats in one process leave behind is not its memory.
    peak = peak_mb()
    taken = []
    for _ in range(REPEATS if first < _LONG_S else 0):
        before()
        began = time.perf_counter()
        run()
        taken.append(time.perf_counter() - began)
    return Measured(statistics.median(taken or [first]), peak, refused)


def measure_apart(way: str, table: str, landing: Path) -> Measured:
    """The same in a fresh process, in a folder that is removed afterwards."""
    with TemporaryDirectory(dir=landing.parent) as folder:
        (Path(folder) / "landing").symlink_to(landing)
        return Measured(**apart(__name__, way, table, folder))


if __name__ == "__main__":
    print(json.dumps(asdict(measure(sys.argv[1], sys.argv[2], Path(sys.argv[3])))))
