"""A year of purchases and of promotions through the full path: read, normalise, judge, set aside, publish.

Ours against pandas with Great Expectations in one frame (`ingest_pandas`), and against DuckDB that only
reads, counts and writes (`ingest_duckdb`), over the same landing files (`ingest_landing`). Imports are not
counted in any. Each is timed in a process of its own (`ingest_process`), and peak memory is that of ours.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks import ingest_landing
from tests.benchmarks.bench import Result, result
from tests.benchmarks.ingest_landing import DAILY, MONTHLY, WEEKLY, Drop
from tests.benchmarks.ingest_process import measure_apart

TRANSACTIONS = 1_469_307
"""All purchases of the data; a size is taken as a share of them, of the promotions too."""


def run(sizes: tuple[int, ...]) -> Iterator[Result]:
    """Purchases by day and promotions by week at every size; purchases by month at the largest."""
    for drop, wanted in ((DAILY, sizes), (MONTHLY, sizes[-1:]), (WEEKLY, sizes)):
        yield from over(drop, wanted)


def over(drop: Drop, sizes: Sequence[int]) -> Iterator[Result]:
    """One result for each size."""
    for size in sizes:
        with TemporaryDirectory(prefix="perennial-ingest-") as folder:
            yield _one(drop, Path(folder) / "landing", min(1.0, size / TRANSACTIONS))


def _one(drop: Drop, landing: Path, share: float) -> Result:
    from tests.benchmarks.ingest_pandas import NAME

    ingest_landing.write_references(landing)
    rows = drop.write(landing, share)
    ours, peer, floor = (measure_apart(way, drop.table, landing) for way in ("ours", "pandas", "duckdb"))
    if ours.refused != peer.refused:
        raise RuntimeError(
            f"{drop.name}: ours refused {ours.refused} rows and the peer {peer.refused}; "
            "only ways that find the same bad rows can be compared"
        )
    load = os.getloadavg()[0]
    print(
        f"  {drop.name}: {rows} rows, {ours.refused} refused, load {load:.1f}; peaks of the peer "
        f"{peer.peak_mb:.0f} MB and the floor {floor.peak_mb:.0f} MB",
        flush=True,
    )
    return result(
        f"ingest_{drop.name}", rows, ours.seconds, (NAME, peer.seconds), floor.seconds, ours.peak_mb
    )
