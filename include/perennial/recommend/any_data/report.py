"""A comparison in plain words and Markdown tables: which method wins where, by how much, and is that sure?"""

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
from tabulate import tabulate

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
_FEW_CUSTOMERS = 200
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
_WITH_INTERVAL = (JUDGED_BY, LESS_RANKER)
_ABSENT = {
    Slice.ALL: "No customer bought a ranked item.",
    Slice.REPEAT: "No customer bought an item again, so there is nothing to judge.",
    Slice.EXPLORE: "No customer bought an item for the first time, so there is nothing to judge.",
    Slice.COLD: "No customer bought a cold item, so there is nothing to judge.",
}
Figure = Mapping[str, float]
"""`customers, value, low, high`."""
Methods = Mapping[str, Mapping[str, Figure]]
"""By method and measure."""
Figures = Mapping[str, Methods]
"""By slice, method and measure."""


def labels(comparison: Comparison) -> dict[str, str]:
    """The title of each slice."""
    middling, long = comparison.history_bounds
    return {
        Slice.ALL: "all items",
        Slice.REPEAT: "bought before",
        Slice.EXPLORE: "never bought",
        Slice.COLD: f"cold items (under {WARM_PURCHASES})",
        HISTORIES[0]: f"history under {middling}",
        HISTORIES[1]: f"history {middling} to {long - 1}",
        HISTORIES[2]: f"history from {long}",
    }


def summary(comparison: Comparison) -> list[str]:
    """Sentences: which method wins on each slice of the protocol, and how good the probabilities are."""
    figures, titles = _by_slice(comparison.figures), labels(comparison)
    sentences = []
    for part, absent in _ABSENT.items():
        methods = _judged_methods(figures, part)
        sentences.append(f"{titles[part].capitalize()}: {_winner(methods) if methods else absent}")
    sentences += _calibration(figures)
    judged = max((row["customers"] for row in comparison.figures.to_pylist()), default=0)
    if judged < _FEW_CUSTOMERS:
        sentences.append(f"Only {judged:,} customers were judged: even large differences may be chance.")
    if judged < comparison.customers:
        sentences.append(f"{judged:,} of {comparison.customers:,} customers were judged, a random sample.")
    return sentences


def text(trial: Trial, notes: Sequence[str]) -> str:
    """The whole report as Markdown.

    Args:
        trial: the result.
        notes: which columns were read, what was left out and so on, a sentence each.
    """
    comparison = trial.comparison
    figures, titles = _by_slice(comparison.figures), labels(comparison)
    parts = [part for part in SLICES[:4] if _judged_methods(figures, part)]
    blocks = [
        "# Who recommends best?",
        f"Predicted: {trial.predicted}. Customers used: {trial.customers:,}. "
        f"Ranked: {comparison.warm_items:,} items that were bought at least {WARM_PURCHASES} times before; "
        f"and, among themselves, {comparison.cold_items:,} other items (cold).",
        "\n".join(f"- {sentence}" for sentence in summary(comparison)),
        f"![Who wins where]({PICTURE})",
        *(f"## {titles[part].capitalize()}\n\n{_table(_judged_methods(figures, part))}" for part in parts),
        *_by_history(figures, titles),
        "## What was read\n\n" + "\n".join(f"- {note}" for note in notes),
    ]
    return "\n\n".join(blocks) + "\n"


def _by_slice(figures: pa.Table) -> Figures:
    slices: dict[str, dict[str, dict[str, Figure]]] = {}
    for row in figures.to_pylist():
        slices.setdefault(row["slice"], {}).setdefault(row["way"], {})[row["measure"]] = row
    return slices


def _judged_methods(figures: Figures, part: str) -> Methods:
    """The methods with judged customers on a slice."""
    return {method: measures for method, measures in figures.get(part, {}).items() if JUDGED_BY in measures}


def _winner(methods: Methods) -> str:
    """The best method, the method it is compared with, their difference, and whether that is sure."""
    best, *others = _best_first(methods)
    best_ndcg, customers = methods[best][JUDGED_BY]["value"], methods[best][JUDGED_BY]["customers"]
    other = RANKER if RANKER in others else others[0]
    other_ndcg, behind = methods[other][JUDGED_BY]["value"], methods[other][LESS_BEST]
    if behind["value"] == 0:
        both = f"{_name(best)} and {_name(other)}"
        return f"{both} are level with NDCG@10 {best_ndcg:.4f}, of {customers:,} customers."
    less, low, high = (-behind[end] for end in ("value", "high", "low"))
    share = f" ({less / other_ndcg:+.1%})" if other_ndcg > 0 else ""
    verb, sure = ("wins", "sure") if low > 0 else ("is ahead", "not sure")
    compared_with = (
        f"{_name(other)} has {other_ndcg:.4f}"
        if other == RANKER
        else f"next is {_name(other)} with {other_ndcg:.4f}"
    )
    return (
        f"{_name(best)} {verb} with NDCG@10 {best_ndcg:.4f}, of {customers:,} customers; {compared_with}. "
        f"The difference {less:+.4f}{share} is {sure}, 95 %: {low:+.4f} to {high:+.4f}."
    )


def _calibration(figures: Figures) -> Iterator[str]:
    """How far the ranker's probabilities are from what came true."""
    for part, name in ((Slice.REPEAT, "bought before"), (Slice.EXPLORE, "never bought")):
        of_ranker = figures.get(part, {}).get(RANKER, {})
        if "calibration_error" in of_ranker:
            measures = ("mean_probability", "came_true", "calibration_error")
            probability, came_true, error = (of_ranker[measure]["value"] for measure in measures)
            yield (
                f"Probabilities of items {name}: the ranker says {probability:.2%} on average, "
                f"{came_true:.2%} came true; over ten bins the two are {error:.2%} apart."
            )


def _table(methods: Methods) -> str:
    present = [name for name in _COLUMNS if any(name in measures for measures in methods.values())]
    rows = [
        [
            _name(method),
            *(_cell(methods[method].get(name), interval=name in _WITH_INTERVAL) for name in present),
        ]
        for method in _best_first(methods)
    ]
    return _markdown(["method", *(_COLUMNS[name] for name in present)], rows)


def _by_history(figures: Figures, titles: Mapping[str, str]) -> Iterator[str]:
    parts = [part for part in HISTORIES if part in figures]
    if parts:
        header = ["method", *(f"{titles[part]} ({_customers(figures[part]):,} customers)" for part in parts)]
        rows = [
            [
                _name(method),
                *(_cell(figures[part][method].get(JUDGED_BY), interval=True) for part in parts),
            ]
            for method in _best_first(figures[parts[0]])
        ]
        title = "## NDCG@10 of all items, by how many different items a customer had bought"
        yield f"{title}\n\n{_markdown(header, rows)}"


def _customers(methods: Methods) -> int:
    return int(next(iter(methods.values()))[JUDGED_BY]["customers"])


def _best_first(methods: Methods) -> list[str]:
    return sorted(methods, key=lambda method: -methods[method][JUDGED_BY]["value"])


def _name(method: str) -> str:
    return "the ranker" if method == RANKER else method.replace("_", " ")


def _cell(figure: Figure | None, *, interval: bool) -> str:
    if figure is None:
        return ""
    value = f"{figure['value']:.4f}"
    return f"{value} ({figure['low']:.4f} to {figure['high']:.4f})" if interval else value


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns, so that it reads well as plain text too."""
    return tabulate(rows, header, tablefmt="github", disable_numparse=True)
