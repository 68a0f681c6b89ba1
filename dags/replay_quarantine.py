"""Judge refused rows again, by today's rules, and publish those that pass.

**Makes** rows of the table on the day they landed, as if that day were ingested again. In `quarantine` they
are marked with the day of the replay. The other rows stay there, with today's reasons. The landing files are
not needed. The result counts the rows; the link *Report* leads to the page of all quarantined rows, by reason
and day.

**Starts** by hand: *Trigger*, after a rule, the mapping in `sources.yaml` or a referenced row (such as an
item that came late) was corrected. The form asks for a table, the first and last day of landing, and a
reason: the text before the colon, such as `item_id unknown`. Contacts cannot be replayed, because only their
pseudonyms are kept. Broken lines cannot be replayed either: correct the file and make the day again with
`ingest`.

**When it is red**: the log names the file whose format is not known any more, and why. Nothing of that table
was changed. **Again**: clear the task or trigger it again, at any time; the next replay of the same days
finishes a killed one.

**Afterwards** make the following days again, because this DAG emits no asset: trigger `embed_items` by hand
with the first day, then with each later day. The other DAGs follow; `report_campaigns` notices the change
itself. Or, if the landing files still exist, backfill `ingest` instead of all this.
"""

from typing import Any

from airflow.sdk import Param, dag, task

from perennial.foundation import contracts
from perennial.orchestration.day import DAY_PARAM
from perennial.orchestration.defaults import shared

TABLES = [name for name in contracts.LANDED_TABLES if name != contracts.CONTACTS.name]
FORM = {
    "table": Param("all", type="string", enum=["all", *TABLES], title="Table", description="No contacts"),
    "first_day": Param(type="string", format="date", title="First day", description="Of landing"),
    "last_day": Param(type="string", format="date", title="Last day", description="Of landing"),
    "reason": Param(
        "",
        type="string",
        title="Reason",
        description="The text before the colon, such as 'item_id unknown'; empty: every refused row",
    ),
    "day": Param(
        None,
        type=DAY_PARAM.schema["type"],
        format="date",
        title="Day of the replay",
        description="The rows are marked with it; empty: the day of the run",
    ),
}
DAY = "{{ params.day or (dag_run.run_after | ds) }}"


@dag(schedule=None, max_active_runs=1, **shared(__doc__, "by hand", "ingestion", params=FORM))
def replay_quarantine() -> None:
    """The tables of the form, one after the other: items before the tables that refer to them."""

    @task
    def judge(table: str, first_day: str, last_day: str, reason: str, day: str) -> dict[str, Any]:
        """Judge the rows again, mark and publish those that pass."""
        from perennial.ingestion import pipeline

        return pipeline.replay(table, first_day, last_day, reason, day)

    form = ("table", "first_day", "last_day", "reason")
    judge(**{name: f"{{{{ params.{name} }}}}" for name in form}, day=DAY)


replay_quarantine()
