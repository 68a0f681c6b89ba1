"""How a benchmark is timed and what it prints: ours, a peer and a floor in the same run."""

import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

REPEATS = 3
_REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Result:
    """One benchmark at one size. Seconds are medians after a warm-up; peak memory is the process's."""

    name: str
    size: int
    ours_s: float
    peer: str
    peer_s: float
    ratio: float
    floor_s: float
    of_floor: float
    peak_mb: float
    rows_per_s: float

    def __str__(self) -> str:
        return " ".join(f"{key}={_short(value)}" for key, value in asdict(self).items())


def compare(
    name: str,
    size: int,
    ours: Callable[[], object],
    peer: tuple[str, Callable[[], object]],
    floor: Callable[[], object],
) -> Result:
    """Time ours, the peer (by name) and the floor over `size` rows."""
    ours_s, peer_s, floor_s = (seconds(work) for work in (ours, peer[1], floor))
    return result(name, size, ours_s, (peer[0], peer_s), floor_s, peak_mb())


def result(
    name: str, size: int, ours_s: float, peer: tuple[str, float], floor_s: float, peak_mb: float
) -> Result:
    """A result from the seconds of ours, of the peer (by name) and of the floor."""
    peer_name, peer_s = peer
    ratio, of_floor = peer_s / ours_s, ours_s / floor_s
    return Result(name, size, ours_s, peer_name, peer_s, ratio, floor_s, of_floor, peak_mb, size / ours_s)


def seconds(work: Callable[[], object]) -> float:
    """Median wall-clock seconds of some runs after a warm-up."""
    work()
    taken = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def apart(module: str, *arguments: str, **environment: str) -> Any:
    """What a module, run in a fresh process, prints last: JSON.

    Raises:
        RuntimeError: the process failed; the message ends with what it said.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=_REPOSITORY,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = f"{module} {' '.join(arguments)} ended with {done.returncode}"
        raise RuntimeError(f"{said}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def peak_mb() -> float:
    """Peak memory of this process."""
    # Not getrusage: under Linux a process begins with the peak of the one that started it.
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def growth(results: list[Result]) -> float:
    """The exponent with which our time grows from the smallest to the largest size; 1 is linear."""
    small, large = min(results, key=lambda r: r.size), max(results, key=lambda r: r.size)
    return math.log(large.ours_s / small.ours_s) / math.log(large.size / small.size)


def save(results: list[Result]) -> Path:
    """Write all results to `benchmarks.json` in the local state folder."""
    folder = Path(os.environ.get("PERENNIAL_STATE", ".perennial"))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "benchmarks.json"
    path.write_text(json.dumps([asdict(result) for result in results], indent=1))
    return path


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value).replace(" ", "_")
