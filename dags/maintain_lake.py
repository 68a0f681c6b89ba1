"""Keep the lake small: join small files, remove files that no kept version needs.

**Makes** nothing new: every table has the same rows afterwards, in fewer files. The result gives for each
table the number of days, files, rows and bytes, before and after, and the oldest version that can still be
read. `include/config/lake.yaml` says what is kept and for how long; days of a table are removed only if it
says so. Files that killed tasks left in the staging folder are removed. Vectors that no day can use are
removed from `item_embeddings`: those of texts that no item has any more, and those of abandoned backfills.

**Starts** every Sunday morning; or by hand: *Trigger*, with some tables, another number of kept days or a dry
run in the form. It can run beside all other DAGs: their writes go first, and files are joined afterwards.

**When it is red**: the log names the tables and the reasons; the other tables are done. **Again**: clear the
task, at any time and after any kill.
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
        description="Empty: all",
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

ARGUMENTS: dict[str, Any] = {
    "tables": "{{ params.tables }}",
    "kept_days": "{{ params.kept_days }}",
    "dry_run": "{{ params.dry_run }}",
    "now": "{{ dag_run.run_after }}",
}
"""Templates, rendered as native Python objects."""

VECTOR_TABLE = "item_embeddings"


@dag(
    schedule=CronTriggerTimetable("0 5 * * 0", timezone=settings().shop_time_zone),
    max_active_runs=1,
    render_template_as_native_obj=True,
    **shared(__doc__, "weekly", "upkeep", params=FORM),
)
def maintain_lake() -> None:
    """All tables, one after the other, in one process; in parallel, unusable vectors are removed."""

    @task
    def tidy(tables: list[str], kept_days: int | None, dry_run: bool, now: datetime) -> dict[str, dict]:
        """Maintain each table. If one fails, the others are still done."""
        from perennial.foundation.lake import maintenance

        return maintenance.maintain(tables, now, kept_days, dry_run=dry_run)

    @task
    def remove_orphans(tables: list[str], dry_run: bool) -> int:
        """Remove the vectors that no day can use. Returns their number."""
        from perennial.embeddings import pipeline

        return pipeline.remove_orphans(dry_run=dry_run) if not tables or VECTOR_TABLE in tables else 0

    tidy(**ARGUMENTS)
    remove_orphans(ARGUMENTS["tables"], ARGUMENTS["dry_run"])


maintain_lake()
