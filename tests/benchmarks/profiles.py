"""All sections of the profiles of a day, from the lake's tables to one row a customer.

Ours (`profiles_ours`) against the same sections written by hand in DuckDB's SQL (`profiles_sql`) and in plain
pandas (`profiles_pandas`), over the demo's year with its customers once, ten and fifty times
(`profiles_shop`). Each is timed in a process of its own (`profiles_process`); peak memory is that of ours.
"""

import math
import os
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq

from perennial.foundation.lake import Lake
from tests.benchmarks import profiles_shop
from tests.benchmarks.bench import Result, result
from tests.benchmarks.profiles_process import measure_apart

COPIES = (1, 10, 50)
"""How many times each customer is there: 1.5, 15 and 74 million events."""
PANDAS_MOST = 10
"""Fifty times the customers would not fit into pandas's memory."""
_DIGITS = 1e-4
"""SQL rounds the mean value of an order otherwise."""


def run(_: tuple[int, ...]) -> Iterator[Result]:
    """A size is a number of events."""
    for copies in COPIES:
        yield from over(copies)


def over(copies: int) -> Iterator[Result]:
    """A result for each peer; with the customers once, their profiles are compared as well.

    Raises:
        RuntimeError: a column of ours is not the peer's; only ways that find the same can be compared.
    """
    with TemporaryDirectory(prefix="perennial-profiles-") as name:
        folder = Path(name)
        lake, out = folder / "lake", folder / "profiles.parquet"
        events = profiles_shop.build(lake, copies)
        ours, floor = (measure_apart(way, lake, out) for way in ("ours", "floor"))
        for way in ("sql", "pandas") if copies <= PANDAS_MOST else ("sql",):
            peer = measure_apart(way, lake, out)
            if copies == 1 and (found := differing(lake, out)):
                raise RuntimeError(f"{way}: not ours in {', '.join(found)}")
            print(f"  {way}: peak {peer.peak_mb:.0f} MB, load {os.getloadavg()[0]:.1f}", flush=True)
            named = peer.name, peer.seconds
            yield result(f"profiles_{way}", events, ours.seconds, named, floor.seconds, ours.peak_mb)


def differing(lake: Path, out: Path) -> list[str]:
    """The columns of the peer's file that are not what the lake holds."""
    theirs = pq.read_table(out).sort_by("customer_id")
    ours = Lake(str(lake)).read("profiles").order_by("customer_id").select(*theirs.column_names).to_pyarrow()
    pairs = {name: (ours[name].to_pylist(), theirs[name].to_pylist()) for name in theirs.column_names}
    return [name for name, both in pairs.items() if not _alike(*both)]


def _alike(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, Sequence) and not isinstance(ours, str):
        return len(ours) == len(theirs) and all(map(_alike, ours, theirs))
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(_alike(ours[name], theirs[name]) for name in ours)
    if isinstance(ours, (int, float, Decimal)) and theirs is not None:
        return math.isclose(ours, theirs, rel_tol=_DIGITS, abs_tol=_DIGITS)
    return bool(ours == theirs)
