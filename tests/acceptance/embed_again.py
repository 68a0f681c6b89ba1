"""The whole catalogue embedded, then again with nothing new, then with a thousand changed items."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa

from perennial.foundation.lake import Lake
from tests.acceptance.lines import Line, at_least, at_most

CHANGED = 1000
_CODE = "import sys; from perennial.embeddings import pipeline; print(pipeline.embed(sys.argv[1]))"


def again() -> Iterator[Line]:
    """All items of the demo; nothing new costs seconds, a thousand changed items a thousand texts."""
    from tests.benchmarks import embed

    items, day = embed.catalogue(), embed.DAY
    with tempfile.TemporaryDirectory(prefix="perennial-embed-") as name:
        lake = Lake(f"{name}/lake")
        lake.replace("items", items, day)
        first, first_s = _embedded(Path(name), day)
        second, second_s = _embedded(Path(name), day)
        lake.replace("items", _changed(items, day + timedelta(days=1)), day + timedelta(days=1))
        third, third_s = _embedded(Path(name), day + timedelta(days=1))
        held = lake.read("item_embeddings").count().to_pyarrow().as_py()
    print(f"  {items.num_rows} items, {first} texts in {first_s:.1f} s; {CHANGED} changed in {third_s:.1f} s")
    yield at_least("embed.again_items", items.num_rows, 92_331, "_items")
    yield at_most("embed.again_encodes", second, 0, "_texts")
    yield at_most("embed.again_takes", second_s, 5, "s")
    yield Line("embed.changed_items_encode", f"{third}_texts", f"={CHANGED}_texts", third == CHANGED)
    yield Line("embed.vectors", f"{held}", f"={first + third}", held == first + third)


def _changed(items: pa.Table, day: date) -> pa.Table:
    """The first items, each with a title of its own, as of a later day."""
    some = items.slice(0, CHANGED)
    titles = pa.array([f"{title}, recipe {n}" for n, title in enumerate(some["title"].to_pylist())])
    days = pa.array([day] * CHANGED, pa.date32())
    changes = {"title": titles, "valid_from": days, "known_on": days}
    return pa.table({field: changes.get(field, some[field]) for field in some.column_names})


def _embedded(folder: Path, day: date) -> tuple[int, float]:
    """How many texts a process of its own encoded for the day, and its seconds, imports and all."""
    settings = {f"PERENNIAL_{place.upper()}": str(folder / place) for place in ("lake", "vault", "staging")}
    environment = os.environ | settings | {"PERENNIAL_LEDGER": f"sqlite:///{folder}/ledger.db"}
    began = time.monotonic()
    code = [sys.executable, "-c", _CODE, str(day)]
    done = subprocess.run(code, env=environment, check=True, capture_output=True, text=True)
    return int(done.stdout.splitlines()[-1]), time.monotonic() - began
