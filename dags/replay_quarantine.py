"""Judge refused rows again, by today's rules, and publish those that pass.

**Makes** rows of the table on the day they landed, as ingesting that day again would; in `quarantine` they
are marked with the day of the replay. The others keep their place there, with today's reasons. The landing
files need not be there any more. Its result counts the rows; the link *Report* leads to the page of
everything that is set aside, by reason and day.

**Wakes** by hand: *Trigger*, once a rule, the mapping in `sources.yaml` or what a row refers to (an item that
came late) has been put right; with a table, the first and last day of landing, and a reason in the form: what
stands before the colon, such as `item_id unknown`. Contacts cannot be replayed, for nothing but pseudonyms is
kept of them, and neither can broken lines: mend the file and make the day again by `ingest`.

**When it is red**: the log says of which file it cannot be told how to read it, and why. Of that table
nothing was changed. **Again**: clear the task, or trigger it anew, at any time; a replay that was killed is
finished by the next one of the same days.

**Afterwards** the days after are to be made again, for it emits no asset: trigger `embed_items` by hand with
the first day, then with each one after it, and the rest of the pipeline follows; `report_campaigns` notices
by itself. Or, where the landing files are still there, backfill `ingest` instead of all this.
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
        description="What stands before the colon, such as 'item_id unknown'; empty: every refused row",
    ),
    "day": Param(
        None,
        type=DAY_PARAM.schema["type"],
        format="date",
        title="Day of the replay",
        description="What the rows are marked with; empty: the day of the run",
    ),
}
DAY = "{{ params.day or (dag_run.run_after | ds) }}"


@dag(schedule=None, max_active_runs=1, **shared(__doc__, "by hand", "ingestion", params=FORM))
def replay_quarantine() -> None:
    """All tables that were asked for, one after the other: items before what refers to them."""

    @task
    def judge(table: str, first_day: str, last_day: str, reason: str, day: str) -> dict[str, Any]:
        """Judge again, mark what passes, publish it."""
        from perennial.ingestion import pipeline

        return pipeline.replay(table, first_day, last_day, reason, day)

    form = ("table", "first_day", "last_day", "reason")
    judge(**{name: f"{{{{ params.{name} }}}}" for name in form}, day=DAY)


replay_quarantine()
