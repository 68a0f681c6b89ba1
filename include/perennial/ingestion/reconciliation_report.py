"""The account of days in words: `python -m perennial.ingestion.reconciliation_report FIRST_DAY [LAST_DAY]`.

For each table and day, in rows: landed = published + quarantined + left out on purpose; and what was
quarantined by why. A row that was refused for two reasons is counted once, under both: so that adds up too.
"""

import sys
from collections.abc import Mapping, Sequence
from datetime import date

from perennial.foundation.lake import Lake
from perennial.ingestion.reconciliation import Entry, account
from perennial.ingestion.screening import Desk

Why = tuple[str, ...]
"""Why a row was refused: the codes of all its reasons."""
_NAMES, _CELLS = 24, 13


def refused(lake: Lake, first: date, last: date) -> dict[tuple[str, date], dict[Why, int]]:
    """By table and day of landing: how many rows are set aside for which reasons, most first."""
    rows = lake.read("quarantine")
    rows = rows.filter(rows.landed_on.between(first, last), rows.replayed_on.isnull())
    codes = rows.reasons.map(lambda reason: reason.split(":")[0]).sort()
    counted = rows.group_by(rows.table, rows.landed_on, why=codes).agg(rows=rows.count()).to_pyarrow()
    found: dict[tuple[str, date], dict[Why, int]] = {}
    for row in sorted(counted.to_pylist(), key=lambda row: (-row["rows"], row["why"])):
        found.setdefault((row["table"], row["landed_on"]), {})[tuple(row["why"])] = row["rows"]
    return found


def worded(entries: Sequence[Entry], why: Mapping[tuple[str, date], Mapping[Why, int]]) -> str:
    """One line for each table and day, and one below it for each combination of reasons."""
    lines = [_line("", "landed", "published", "quarantined", "left out")]
    for entry in entries:
        counts = (entry.landed, entry.published, entry.quarantined, entry.left_out)
        said = "" if entry.balanced else "  does not add up"
        lines.append(_line(f"{entry.table} {entry.day}", *(f"{count:,}" for count in counts)) + said)
        reasons = why.get((entry.table, entry.day), {})
        lines += [
            f"{'':<{_NAMES}}{'':>{_CELLS * 2}}{n:>{_CELLS},}  {' + '.join(codes)}"
            for codes, n in reasons.items()
        ]
    return "\n".join(lines)


def _line(name: str, *cells: str) -> str:
    return f"{name:<{_NAMES}}" + "".join(f"{cell:>{_CELLS}}" for cell in cells)


def main(arguments: Sequence[str]) -> int:
    """Print the account of the days named. The exit status is 1 where an entry does not add up."""
    try:
        days = [date.fromisoformat(text) for text in arguments]
    except ValueError:
        days = []
    if len(days) not in (1, 2):
        sys.stderr.write(
            "usage: python -m perennial.ingestion.reconciliation_report YYYY-MM-DD [YYYY-MM-DD]\n"
        )
        return 2
    desk = Desk.at()
    entries = account(desk, days[0], days[-1])
    sys.stdout.write(worded(entries, refused(desk.lake, days[0], days[-1])) + "\n")
    return 0 if all(entry.balanced for entry in entries) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
