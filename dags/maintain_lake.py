"""Keep the lake small: join small files, remove what no kept version needs.

**Makes** nothing new: every table holds the same rows afterwards, in fewer files. Its result says for each
table how many days, files, rows and bytes it has, before and after, and which is the oldest version that can
still be read. What is kept, and for how long, stands in `include/config/lake.yaml`; days of a table go only
where it says so. The staging folder loses what killed tasks left in it. `item_embeddings` loses the vectors
that no day can ask for: of texts that no item says any more, and of backfills that were given up.

**Wakes** every Sunday morning; or by hand: *Trigger*, with some tables, another number of kept days or a dry
run in the form. It may run beside everything else: whoever writes goes first, and files are joined after.

**When it is red**: the log names the tables and why; the others are done. **Again**: clear the task, at any
time and after any kill.
"""

from datetime import datetime
from typing import Any

from airflow.sdk import CronTriggerTimetable, Param, dag, task

from perennial.foundation.contracts import CONTRACTS
from perennial.foundation.settings import settings
from perennial.orchestration.defaults import shared

FORM = {
    "tables": Param(
        [],
        type="array",
        items={"type": "string", "enum": list(CONTRACTS)},
        examples=list(CONTRACTS),
        title="Tables",
        description="None chosen: all",
    ),
    "kept_days": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        title="Kept days",
        description="How long a version stays readable; empty: as lake.yaml says",
    ),
    "dry_run": Param(False, type="boolean", title="Dry run", description="Only say what would be done"),
}

ASKED: dict[str, Any] = {
    "tables": "{{ params.tables }}",
    "kept_days": "{{ params.kept_days }}",
    "dry_run": "{{ params.dry_run }}",
    "now": "{{ dag_run.run_after }}",
}
"""Templates that are rendered to what they name, not to text."""

ORPHANED = "item_embeddings"


@dag(
    schedule=CronTriggerTimetable("0 5 * * 0", timezone=settings().shop_time_zone),
    max_active_runs=1,
    render_template_as_native_obj=True,
    **shared(__doc__, "weekly", "upkeep", params=FORM),
)
def maintain_lake() -> None:
    """All tables, one after the other, in one process; beside it what nobody can ask for goes."""

    @task
    def tidy(tables: list[str], kept_days: int | None, dry_run: bool, now: datetime) -> dict[str, dict]:
        """Tidy each table; one that fails hides no other."""
        from perennial.foundation.lake import maintenance

        return maintenance.maintain(tables, now, kept_days, dry_run=dry_run)

    @task
    def remove_orphans(tables: list[str], dry_run: bool) -> int:
        """Vectors that no day can ask for; how many."""
        from perennial.embeddings import pipeline

        return pipeline.remove_orphans(dry_run=dry_run) if not tables or ORPHANED in tables else 0

    tidy(**ASKED)
    remove_orphans(ASKED["tables"], ASKED["dry_run"])


maintain_lake()
