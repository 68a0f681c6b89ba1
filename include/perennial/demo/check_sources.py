"""`python -m perennial.demo.check_sources DAY [TABLE] [ROWS]`: what `make check-sources` calls.

Settings come from the environment, else from the demo. The URL of a database comes from the variable
AIRFLOW_CONN_<ID>, as in Airflow.
"""

import os
import sys
from datetime import date

from rich.console import Console

from perennial.demo.environment import State
from perennial.foundation import contracts
from perennial.foundation.config import ConfigError


def main(arguments: list[str]) -> int:
    """Run the dry run and print its results. The exit status is 1 if anything would stop the day."""
    day, table, rows = (*arguments, "", "", "")[:3]
    console = Console()
    try:
        landed_on, max_rows = date.fromisoformat(day), int(rows or 0)
    except ValueError:
        print("usage: make check-sources DAY=YYYY-MM-DD [TABLE=events] [ROWS=1000]", file=sys.stderr)
        return 2
    if table and table not in contracts.LANDED_TABLES:
        print(f"found the table {table!r}; allowed are {', '.join(contracts.LANDED_TABLES)}", file=sys.stderr)
        return 2
    for name, value in State.from_environment().settings().items():
        os.environ.setdefault(name, value)
    tables = (table,) if table else contracts.LANDED_TABLES
    try:
        _check(console, landed_on, tables, max_rows)
    except (ConfigError, ValueError) as error:
        console.print("[bold red]this would stop the day:[/] ", end="")
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        return 1
    return 0


def _check(console: Console, day: date, tables: tuple[str, ...], rows: int) -> None:
    from perennial.ingestion import dry_run, dry_run_report, pipeline
    from perennial.ingestion.screening import Storage

    ids = pipeline.connections()
    databases: dict[str, str] = {}
    if ids:
        # Airflow takes seconds to import.
        from perennial.orchestration import connections

        databases = connections.databases(ids)
    storage = Storage.from_settings(databases)
    trials = dry_run.try_sources(storage, day, tables, rows or dry_run.ROWS)
    dry_run_report.show(console, trials)
    dry_run.check(trials, storage.landing, tables, day)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
