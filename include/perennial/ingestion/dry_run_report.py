"""What a trial found, as tables in a terminal or a log, and as a page."""

import io
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from perennial.ingestion import data_docs
from perennial.ingestion.dry_run import Tried

FOLDER = "check_sources"
_NAMED = 3
_LOG_WIDTH = 160


def show(console: Console, trials: Iterable[Tried]) -> None:
    """Print everything."""
    for tried in trials:
        console.print()
        console.print(Text(headline(tried), style="bold"))
        if tried.columns:
            console.print(_columns(tried))
        for sentence in tried.problems:
            console.print(Text(f"stops the day: {sentence}", style="red"))
        for sentence in notes(tried):
            console.print(Text(sentence))


def text(trials: Iterable[Tried]) -> str:
    """Everything as plain text, for a log."""
    written = io.StringIO()
    show(Console(file=written, width=_LOG_WIDTH, color_system=None), trials)
    return written.getvalue()


def keep(reports: Path, day: date, trials: Sequence[Tried]) -> str:
    """Make the page; its path, relative to the reports folder."""
    template = data_docs.templates().get_template("check_sources.html.j2")
    page = f"{FOLDER}/{day}.html"
    (reports / FOLDER).mkdir(parents=True, exist_ok=True)
    found = [(tried, headline(tried), notes(tried)) for tried in trials]
    data_docs.write(reports / page, template.render(day=day, found=found, empty=empty))
    return page


def headline(tried: Tried) -> str:
    """Which source, how many rows of which files."""
    more = f" and {len(tried.files) - _NAMED} more" if len(tried.files) > _NAMED else ""
    files = f" of {', '.join(tried.files[:_NAMED])}{more}" if tried.files else ""
    return f"{tried.table}, source {tried.source}: the first {_rows(tried.rows)}{files}"


def notes(tried: Tried) -> list[str]:
    """What would become of the rows, a sentence each."""
    said = []
    if tried.days and tried.days[0] != tried.days[1]:
        said.append(f"They land on the days {tried.days[0]} to {tried.days[1]}.")
    if tried.new:
        said.append(f"Ignored, for nothing is made of them: {', '.join(tried.new)}.")
    if tried.left_out:
        said.append(f"Left out by `where` or `keep`: {_rows(tried.left_out)}.")
    if tried.columns and not tried.problems:
        said.append(f"Refused: {_rows(tried.refused)}.")
    said += [f"  {one.code}: {_rows(one.rows)}; {one.example}" for one in tried.reasons]
    for column, rows in (tried.unknown or {}).items():
        said.append(
            f"Known neither to the lake nor to the samples: {column} in {_rows(rows)}. When the day is "
            "ingested, all of its rows are looked at; what is unknown then is refused."
        )
    return said


def empty(nulls: float | None) -> str:
    """A share of nulls in words."""
    if nulls is None:
        return ""
    return f"{nulls:.1%}" if 0 < nulls < 1 else f"{nulls:.0%}"


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _columns(tried: Tried) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("column", "comes from", "type there", "type here", "empty", "such as"):
        table.add_column(name, justify="right" if name == "empty" else "left", overflow="fold")
    for column in tried.columns:
        samples = " | ".join(column.samples)
        cells = (column.name, column.origin, column.found, column.wanted, empty(column.nulls), samples)
        table.add_row(*map(Text, cells))
    return table
