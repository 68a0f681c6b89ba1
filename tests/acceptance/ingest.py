"""The proofs of issue 3: ingestion that a data engineer trusts with their own data."""

from collections.abc import Callable, Iterator

from tests.acceptance.ingest_contacts import contacts
from tests.acceptance.ingest_days import days
from tests.acceptance.ingest_fuzz import fuzz
from tests.acceptance.ingest_invoices import invoices
from tests.acceptance.ingest_kills import kills
from tests.acceptance.lines import Line, at_least, at_most


def benchmark() -> Iterator[Line]:
    """A year of purchases and of promotions against pandas with Great Expectations and a DuckDB floor."""
    from tests.benchmarks import bench
    from tests.benchmarks import ingest as measured
    from tests.benchmarks.ingest_landing import DAILY, WEEKLY
    from tests.benchmarks.ingest_ours import count_expectations

    (purchases,), (promotions,) = (measured.over(drop, (measured.TRANSACTIONS,)) for drop in (DAILY, WEEKLY))
    bench.save([purchases, promotions])
    for result, table in ((purchases, "events"), (promotions, "promotions")):
        print(f"  {result}")
        yield at_least(f"ingest.{table}_expectations", count_expectations(table), 10, "")
        yield Line(f"ingest.{table}_rows_per_s", f"{result.rows_per_s:,.0f}/s", "none", True)
    yield at_least("ingest.events_rows", purchases.size, 1_469_307, "_rows")
    yield at_least("ingest.promotions_rows", promotions.size, 20_940_529, "_rows")
    yield at_least("ingest.faster_than_pandas_and_gx", purchases.ratio, 1.5, "x")
    yield at_most("ingest.of_the_floor", purchases.of_floor, 15, "x")
    yield at_most("ingest.promotions_peak", promotions.peak_mb, 2000, "MB")


CASES: dict[str, Callable[[], Iterator[Line]]] = {
    "benchmark": benchmark,
    "invoices": invoices,
    "contacts": contacts,
    "days": days,
    "fuzz": fuzz,
    "kills": kills,
}
