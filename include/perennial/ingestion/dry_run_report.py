"""The results of a dry run, as tables in a terminal or a log, and as a page."""

import io
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from perennial.ingestion import data_docs
from perennial.ingestion.dry_run import SourceTrial

FOLDER = "check_sources"
_SHOWN = 3
_LOG_WIDTH = 160


def show(console: Console, trials: Iterable[SourceTrial]) -> None:
    """Print the results."""
    for trial in trials:
        console.print()
        console.print(Text(headline(trial), style="bold"))
        if trial.columns:
            console.print(_columns(trial))
        for problem in trial.problems:
            console.print(Text(f"stops the day: {problem}", style="red"))
        for note in notes(trial):
            console.print(Text(note))


def text(trials: Iterable[SourceTrial]) -> str:
    """The results as plain text, for a log."""
    output = io.StringIO()
    show(Console(file=output, width=_LOG_WIDTH, color_system=None), trials)
    return output.getvalue()


def write_page(reports: Path, day: date, trials: Sequence[SourceTrial]) -> str:
    """Write the page.

    Returns:
        Its path, relative to the reports folder.
    """
    template = data_docs.templates().get_template("check_sources.html.j2")
    page = f"{FOLDER}/{day}.html"
    (reports / FOLDER).mkdir(parents=True, exist_ok=True)
    results = [(trial, headline(trial), notes(trial)) for trial in trials]
    data_docs.write(reports / page, template.render(day=day, results=results, share_text=share_text))
    return page


def headline(trial: SourceTrial) -> str:
    """The source, the number of rows and their files."""
    more = f" and {len(trial.files) - _SHOWN} more" if len(trial.files) > _SHOWN else ""
    files = f" of {', '.join(trial.files[:_SHOWN])}{more}" if trial.files else ""
    return f"{trial.table}, source {trial.source}: the first {_rows(trial.rows)}{files}"


def notes(trial: SourceTrial) -> list[str]:
    """What would become of the rows, as sentences."""
    sentences = []
    if trial.days and trial.days[0] != trial.days[1]:
        sentences.append(f"They land on the days {trial.days[0]} to {trial.days[1]}.")
    if trial.new:
        sentences.append(f"Ignored, because no column is made of them: {', '.join(trial.new)}.")
    if trial.left_out:
        sentences.append(f"Left out by `where` or `keep`: {_rows(trial.left_out)}.")
    if trial.columns and not trial.problems:
        sentences.append(f"Refused: {_rows(trial.refused)}.")
    sentences += [f"  {reason.code}: {_rows(reason.rows)}; {reason.example}" for reason in trial.reasons]
    for column, rows in (trial.unknown or {}).items():
        sentences.append(
            f"Neither in the lake nor in the samples: {column} in {_rows(rows)}. When the day is ingested, "
            "all of its rows are read; rows whose id is still unknown are refused."
        )
    return sentences


def share_text(nulls: float | None) -> str:
    """The share of nulls in percent; empty if it is not known."""
    if nulls is None:
        return ""
    return f"{nulls:.1%}" if 0 < nulls < 1 else f"{nulls:.0%}"


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _columns(trial: SourceTrial) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("column", "comes from", "type in source", "type in contract", "empty", "examples"):
        table.add_column(name, justify="right" if name == "empty" else "left", overflow="fold")
    for column in trial.columns:
        samples = " | ".join(column.samples)
        cells = (
            column.name,
            column.origin,
            column.source_type,
            column.contract_type,
            share_text(column.nulls),
            samples,
        )
        table.add_row(*map(Text, cells))
    return table
