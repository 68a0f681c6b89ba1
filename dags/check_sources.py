"""Try `sources.yaml` on the first rows of each source, and publish nothing.

**Makes** a page (the link *Report*) and the same text in the log. For each table and source it shows where
every column comes from, its type in the source and in the table, its share of empty values, three values
(contact data hidden), and which rows would be refused and why.

**Starts** by hand: *Trigger*, with a day of landing, a table and the number of rows in the form. On the
command line: `make check-sources DAY=2024-05-02`.

**When it is red**: a source would stop the day, or nothing landed. The log and the page say which and why.
**Again**: change `sources.yaml` and trigger it again; nothing depends on it.
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
        """Read a sample, map and check it, and report the result."""
        from perennial.ingestion import pipeline
        from perennial.orchestration import connections, reports

        with reports.linked():
            databases = connections.databases(pipeline.connections())
            return pipeline.check_sources(day, table, rows, databases)

    check("{{ params.day }}", "{{ params.table }}", "{{ params.rows }}")  # type: ignore[arg-type]


check_sources()
