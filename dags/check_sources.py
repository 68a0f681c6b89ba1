"""Try `sources.yaml` on the first rows of each source, and publish nothing.

**Makes** a page (the link *Report*) and the same text in the log: for each table and source where every
column comes from, its type there and here, how much of it is empty, three values (contact data hidden), and
what would be refused and why.

**Wakes** by hand: *Trigger*, with a day of landing, a table and the number of rows in the form. On the
command line the same is `make check-sources DAY=2024-05-02`.

**When it is red**: a source would stop the day, or nothing landed; the log and the page say which and why.
**Again**: change `sources.yaml` and trigger it anew; nothing depends on it.
"""

from typing import Any

from airflow.sdk import Param, dag, task

from perennial.foundation import contracts
from perennial.orchestration.defaults import shared

FORM = {
    "day": Param(type="string", format="date", title="Day", description="Of landing"),
    "table": Param("all", type="string", enum=["all", *contracts.LANDED_TABLES], title="Table"),
    "rows": Param(
        1000, type="integer", minimum=1, maximum=100_000, title="Rows", description="Of each source"
    ),
}


@dag(
    schedule=None, render_template_as_native_obj=True, **shared(__doc__, "by hand", "ingestion", params=FORM)
)
def check_sources() -> None:
    """A dry run."""

    @task
    def check(day: str, table: str, rows: int) -> dict[str, Any]:
        """Read a sample, map it, judge it, tell of it."""
        from perennial.ingestion import pipeline
        from perennial.orchestration import connections, reports

        with reports.linked():
            databases = connections.databases(pipeline.connections())
            return pipeline.check_sources(day, table, rows, databases)

    check("{{ params.day }}", "{{ params.table }}", "{{ params.rows }}")  # type: ignore[arg-type]


check_sources()
