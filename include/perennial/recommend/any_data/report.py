"""A comparison in plain words and in tables of Markdown: who wins where, by how much, and is that sure?"""

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from perennial.recommend.any_data.trial import Trial
from perennial.recommend.evaluation.baselines import RANKER
from perennial.recommend.evaluation.comparison import (
    HISTORIES,
    JUDGED_BY,
    LESS_BEST,
    LESS_RANKER,
    SLICES,
    Comparison,
)
from perennial.recommend.evaluation.ranking_task import WARM_PURCHASES, Slice

PICTURE = "who_wins.svg"
_FEW = 200
_COLUMNS = {
    JUDGED_BY: "NDCG@10 (95 %)",
    LESS_RANKER: "less ranker (95 %, paired)",
    "recall_10": "recall@10",
    "precision_10": "precision@10",
    "hit_10": "hit@10",
    "ndcg_20": "NDCG@20",
    "recall_20": "recall@20",
    "coverage_10": "coverage@10",
    "novelty_10": "novelty@10",
    "diversity_10": "diversity@10",
}
_WITH_ENDS = (JUDGED_BY, LESS_RANKER)
_ABSENT = {
    Slice.ALL: "Nobody bought anything that is ranked.",
    Slice.REPEAT: "Nobody bought anything again, so there is nothing to judge.",
    Slice.EXPLORE: "Nobody bought anything for the first time, so there is nothing to judge.",
    Slice.COLD: "Nobody bought a cold item, so there is nothing to judge.",
}
Figure = Mapping[str, float]
Ways = Mapping[str, Mapping[str, Figure]]
"""By way and measure: `customers, value, low, high`."""
Figures = Mapping[str, Ways]
"""The same by slice."""


def labels(found: Comparison) -> dict[str, str]:
    """What each slice is called."""
    first, second = found.thirds
    return {
        Slice.ALL: "all items",
        Slice.REPEAT: "bought before",
        Slice.EXPLORE: "never bought",
        Slice.COLD: f"cold items (under {WARM_PURCHASES})",
        HISTORIES[0]: f"history under {first}",
        HISTORIES[1]: f"history {first} to {second - 1}",
        HISTORIES[2]: f"history from {second}",
    }


def summary(found: Comparison) -> list[str]:
    """Who wins on each slice of the protocol, a sentence each; and whether probabilities are honest."""
    held, called = _held(found.figures), labels(found)
    said = []
    for part, absent in _ABSENT.items():
        ranked = _ranked(held, part)
        said.append(f"{called[part].capitalize()}: {_winner(ranked) if ranked else absent}")
    said += _honest(held)
    judged = max((row["customers"] for row in found.figures.to_pylist()), default=0)
    if judged < _FEW:
        said.append(f"Only {judged:,} customers were judged: even large differences may be chance.")
    if judged < found.of_all:
        said.append(f"{judged:,} of {found.of_all:,} customers were judged, drawn by chance.")
    return said


def text(tried: Trial, notes: Sequence[str]) -> str:
    """The whole report.

    Args:
        tried: what came of it.
        notes: what was taken for what, what was left out, what else there is to know, a sentence each.
    """
    found = tried.comparison
    held, called = _held(found.figures), labels(found)
    parts = [part for part in SLICES[:4] if _ranked(held, part)]
    blocks = [
        "# Who recommends best?",
        f"Foreseen: {tried.tested}. Looked at: {tried.customers:,} customers; {found.warm:,} items that were "
        f"bought at least {WARM_PURCHASES} times before are ranked, {found.cold:,} others (cold) apart.",
        "\n".join(f"- {sentence}" for sentence in summary(found)),
        f"![Who wins where]({PICTURE})",
        *(f"## {called[part].capitalize()}\n\n{_table(_ranked(held, part))}" for part in parts),
        *_by_history(held, called),
        "## What was read\n\n" + "\n".join(f"- {note}" for note in notes),
    ]
    return "\n\n".join(blocks) + "\n"


def _held(figures: pa.Table) -> Figures:
    found: dict[str, dict[str, dict[str, Figure]]] = {}
    for row in figures.to_pylist():
        found.setdefault(row["slice"], {}).setdefault(row["way"], {})[row["measure"]] = row
    return found


def _ranked(held: Figures, part: str) -> Ways:
    """The ways by which anybody was judged on a slice."""
    return {way: measures for way, measures in held.get(part, {}).items() if JUDGED_BY in measures}


def _winner(ways: Ways) -> str:
    """Who wins, against whom, by how much, and whether that is sure."""
    best, *others = _best_first(ways)
    worth, customers = ways[best][JUDGED_BY]["value"], ways[best][JUDGED_BY]["customers"]
    other = RANKER if RANKER in others else others[0]
    its, behind = ways[other][JUDGED_BY]["value"], ways[other][LESS_BEST]
    who = f"{_name(other)} has {its:.4f}" if other == RANKER else f"next is {_name(other)} with {its:.4f}"
    if behind["value"] == 0:
        both = f"{_name(best)} and {_name(other)}"
        return f"{both} are level with NDCG@10 {worth:.4f}, of {customers:,} customers."
    less, low, high = (-behind[end] for end in ("value", "high", "low"))
    share = f" ({less / its:+.1%})" if its > 0 else ""
    verb, sure = ("wins", "sure") if low > 0 else ("is ahead", "not sure")
    return (
        f"{_name(best)} {verb} with NDCG@10 {worth:.4f}, of {customers:,} customers; {who}. "
        f"The difference {less:+.4f}{share} is {sure}, 95 %: {low:+.4f} to {high:+.4f}."
    )


def _honest(held: Figures) -> Iterator[str]:
    """Are the ranker's probabilities what comes true?"""
    for part, name in ((Slice.REPEAT, "bought before"), (Slice.EXPLORE, "never bought")):
        of_ranker = held.get(part, {}).get(RANKER, {})
        if "calibration_error" in of_ranker:
            measures = ("mean_probability", "came_true", "calibration_error")
            said, true, error = (of_ranker[measure]["value"] for measure in measures)
            yield (
                f"Probabilities of what was {name}: the ranker says {said:.2%} on average, {true:.2%} came "
                f"true; over ten bins the two are {error:.2%} apart."
            )


def _table(ways: Ways) -> str:
    there = [name for name in _COLUMNS if any(name in measures for measures in ways.values())]
    rows = [
        [_name(way), *(_cell(ways[way].get(name), ends=name in _WITH_ENDS) for name in there)]
        for way in _best_first(ways)
    ]
    return _markdown(["way", *(_COLUMNS[name] for name in there)], rows)


def _by_history(held: Figures, called: Mapping[str, str]) -> Iterator[str]:
    parts = [part for part in HISTORIES if part in held]
    if parts:
        header = ["way", *(f"{called[part]} ({_customers(held[part]):,} customers)" for part in parts)]
        rows = [
            [_name(way), *(_cell(held[part][way].get(JUDGED_BY), ends=True) for part in parts)]
            for way in _best_first(held[parts[0]])
        ]
        title = "## NDCG@10 of all items, by how many different ones a customer had bought"
        yield f"{title}\n\n{_markdown(header, rows)}"


def _customers(ways: Ways) -> int:
    return int(next(iter(ways.values()))[JUDGED_BY]["customers"])


def _best_first(ways: Ways) -> list[str]:
    return sorted(ways, key=lambda way: -ways[way][JUDGED_BY]["value"])


def _name(way: str) -> str:
    return "the ranker" if way == RANKER else way.replace("_", " ")


def _cell(figure: Figure | None, *, ends: bool) -> str:
    if figure is None:
        return ""
    value = f"{figure['value']:.4f}"
    return f"{value} ({figure['low']:.4f} to {figure['high']:.4f})" if ends else value


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns are as wide as their widest cell, so that it reads well as plain text too."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [header, ["-" * width for width in widths], *rows]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)
