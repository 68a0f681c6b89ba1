"""A peer of the benchmark `profiles`: the sections in hand-written SQL (`profiles.sql`), run by DuckDB.

It reads the lake's files and writes one Parquet file. Vectors are what SQL has no words for: their product of
matrices is scipy's, as by hand one would have it.
"""

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.sparse import csr_array

from perennial.foundation.settings import settings
from tests.benchmarks.profiles_shop import DAY

NAME = f"DuckDB {duckdb.__version__} SQL"
_TABLES = ("events", "items", "users", "assignments")
_HERE = Path(__file__).parent


def draw(lake: Path, out: Path) -> None:
    """Write the profiles of the day to a Parquet file, with the threads and the memory that ours has."""
    with duckdb.connect() as engine:
        engine.sql("SET enable_progress_bar = false; SET TimeZone = 'UTC'")
        engine.sql(f"SET threads = {settings().threads}; SET memory_limit = '{settings().memory_mb}MiB'")
        engine.sql(f"SET temp_directory = '{out.parent / 'spill'}'; SET VARIABLE day = DATE '{DAY}'")
        for name in _TABLES:
            files = f"read_parquet('{lake}/{name}/*/*.parquet', hive_partitioning = true)"
            engine.sql(f"CREATE VIEW {name} AS FROM {files}")
        held = pq.read_table(lake / "item_embeddings", columns=["text", "vector"]).combine_chunks()
        texts = pa.table({"text": held["text"], "number": np.arange(held.num_rows)})
        engine.register("vectors", texts)
        engine.sql((_HERE / "profiles.sql").read_text())
        flat = held["vector"].combine_chunks().flatten().to_numpy()
        engine.register("histories", _histories(engine, flat.reshape(held.num_rows, -1)))
        engine.sql(f"COPY ({(_HERE / 'profiles_whole.sql').read_text().rstrip().rstrip(';')}) TO '{out}'")


def _histories(engine: duckdb.DuckDBPyConnection, vectors: np.ndarray) -> pa.Table:
    """Each customer among the vectors: the mean by the weights' cubes, seen from the catalogue's middle."""
    cells = engine.sql("FROM cells ORDER BY customer, number").fetchnumpy()
    customers, starts = np.unique(cells["customer"], return_index=True)
    ends = np.append(starts, len(cells["customer"]))
    raised = cells["weight"] ** 3
    shares = raised / np.repeat(np.add.reduceat(raised, starts), np.diff(ends))
    grid = csr_array((shares.astype(np.float32), cells["number"], ends), shape=(len(customers), len(vectors)))
    catalogue = engine.sql("SELECT DISTINCT number FROM described ORDER BY number").fetchnumpy()["number"]
    apart = grid @ vectors - vectors[catalogue].mean(axis=0)
    apart /= np.linalg.norm(apart, axis=1, keepdims=True)
    lists = pa.ListArray.from_arrays(np.arange(len(apart) + 1) * apart.shape[1], pa.array(apart.ravel()))
    return pa.table({"customer": customers, "vector": lists})
