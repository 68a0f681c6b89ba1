"""Prints the reconciliation: `python -m perennial.ingestion.reconciliation_report FIRST_DAY [LAST_DAY]`.

For each table and day, in rows: landed = published + quarantined + left out; then the quarantined rows by
reason. A row with two reasons is counted once, under the combination of both, so these lines add up too.
"""

import sys
from collections.abc import Mapping, Sequence
from datetime import date

from perennial.foundation.lake import Lake
from perennial.ingestion.reconciliation import Entry, reconcile
from perennial.ingestion.screening import Storage

Codes = tuple[str, ...]
"""The codes of all reasons of a refused row."""
_NAME_WIDTH, _CELL_WIDTH = 24, 13


def refusal_counts(lake: Lake, first: date, last: date) -> dict[tuple[str, date], dict[Codes, int]]:
    """(table, day of landing) → codes of the reasons → number of quarantined rows, the largest first."""
    rows = lake.read("quarantine")
    rows = rows.filter(rows.landed_on.between(first, last), rows.replayed_on.isnull())
    codes = rows.reasons.map(lambda reason: reason.split(":")[0]).sort()
    counted = rows.group_by(rows.table, rows.landed_on, codes=codes).agg(rows=rows.count()).to_pyarrow()
    counts: dict[tuple[str, date], dict[Codes, int]] = {}
    for row in sorted(counted.to_pylist(), key=lambda row: (-row["rows"], row["codes"])):
        counts.setdefault((row["table"], row["landed_on"]), {})[tuple(row["codes"])] = row["rows"]
    return counts


def report_lines(entries: Sequence[Entry], refusals: Mapping[tuple[str, date], Mapping[Codes, int]]) -> str:
    """The report: one line for each table and day; below it, one line for each combination of reasons."""
    lines = [_line("", "landed", "published", "quarantined", "left out")]
    for entry in entries:
        counts = (entry.landed, entry.published, entry.quarantined, entry.left_out)
        remark = "" if entry.balanced else "  does not add up"
        lines.append(_line(f"{entry.table} {entry.day}", *(f"{count:,}" for count in counts)) + remark)
        reasons = refusals.get((entry.table, entry.day), {})
        lines += [
            f"{'':<{_NAME_WIDTH}}{'':>{_CELL_WIDTH * 2}}{rows:>{_CELL_WIDTH},}  {' + '.join(codes)}"
            for codes, rows in reasons.items()
        ]
    return "\n".join(lines)


def _line(name: str, *cells: str) -> str:
    return f"{name:<{_NAME_WIDTH}}" + "".join(f"{cell:>{_CELL_WIDTH}}" for cell in cells)


def main(arguments: Sequence[str]) -> int:
    """Print the reconciliation of the given days. The exit status is 1 if an entry does not add up."""
    try:
        days = [date.fromisoformat(text) for text in arguments]
    except ValueError:
        days = []
    if len(days) not in (1, 2):
        sys.stderr.write(
            "usage: python -m perennial.ingestion.reconciliation_report YYYY-MM-DD [YYYY-MM-DD]\n"
        )
        return 2
    storage = Storage.from_settings()
    entries = reconcile(storage, days[0], days[-1])
    sys.stdout.write(report_lines(entries, refusal_counts(storage.lake, days[0], days[-1])) + "\n")
    return 0 if all(entry.balanced for entry in entries) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
