"""This code's figures beside those of another commit, and beside what that commit differs from itself.

Three processes make the demo's year in a lake of their own: the base commit, the base commit again, and this
code. What the base made is kept in the machine's temporary folder, so a second run makes only this code's.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from perennial.demo.environment import REPOSITORY
from tests.acceptance import house_base, house_steps
from tests.acceptance.house_comparison import FLOAT64, Agreement, Difference, agreement, close, compare
from tests.acceptance.lines import Line

BY_ROW = ("item_embeddings", "profiles", "effects", "scores")
FIGURES = (
    ("return_model", "log_loss"),
    ("return_model", "auc"),
    ("recommender", "ndcg_10"),
    ("recommender", "ndcg_10_repeat"),
    ("recommender", "ndcg_10_explore"),
)


@dataclass(frozen=True)
class Dump:
    """What one code made of the demo's year."""

    folder: Path

    def table(self, name: str) -> pa.Table:
        """One table."""
        return pq.read_table(self.folder / f"{name}.parquet")

    @property
    def written(self) -> dict:
        """The keys of the tables, the models' metrics and verdicts."""
        return json.loads((self.folder / house_steps.FIGURES).read_text())

    def metrics(self, model: str) -> dict[str, float]:
        """What MLflow holds of the model's candidate."""
        return self.written["metrics"][model]


def figures() -> Iterator[Line]:
    """The figures of this code are those of another commit."""
    of = house_base.commit()
    base, again = (_made_once(of, name) for name in ("first", "again"))
    print(f"  {of[:12]}: {base.folder} and {again.folder}", flush=True)
    ours = _made(REPOSITORY, house_base.kept(of) / f"figures-of-{REPOSITORY.name}")
    for dump, name in ((base, "base"), (ours, "this code")):
        seconds = dump.written["seconds"]
        print(f"  {name}: {sum(seconds.values()):.0f} s, configured by {dump.written['config']}")
    yield from compared(base, again, ours)


def compared(base: Dump, again: Dump, ours: Dump) -> Iterator[Line]:
    """What this code differs from the base, held against what the base differs from itself."""
    for name in BY_ROW:
        by_itself, by_us = (_differences(base, other, name) for other in (again, ours))
        _beside(name, by_itself, by_us)
        yield rows_differ(f"house.figures_{name}", by_us, by_itself)
    by_itself, by_us = (_agreement(base, other) for other in (again, ours))
    _beside("recommendations", by_itself, by_us)
    yield places_equal("house.figures_recommendations", by_us, by_itself)
    for model, metric in FIGURES:
        yield from _metric(model, metric, base, again, ours)
    for model in house_steps.MODELS:
        by_itself, by_us = (_other_metrics(base, other, model) for other in (again, ours))
        _beside(f"{model}, all metrics", by_itself, by_us)
        verdicts = [dump.written["verdicts"][model] for dump in (base, again, ours)]
        print(f"  {model}, verdicts: {' | '.join(verdicts)}")


def rows_differ(name: str, ours: Difference, bar: Difference) -> Line:
    """No more rows may differ than the base differs from itself."""
    first = f"({ours.first.replace(' ', '_')})" if ours.first else ""
    figure = f"{ours.rows}_rows_differ{first}_of_{ours.of}"
    return Line(name, figure, f"<={bar.rows}_as_base_from_itself", ours.rows <= bar.rows)


def places_equal(name: str, ours: Agreement, bar: Agreement) -> Line:
    """As many places must hold the same item as when the base runs twice, with scores as close."""
    figure = f"{ours.equal:.6f}_of_places_equal_scores_within_{ours.greatest:.3g}"
    wanted = f">={bar.equal:.6f}_within_{max(bar.greatest, FLOAT64):.3g}_as_base_from_itself"
    as_close = ours.greatest <= max(bar.greatest, FLOAT64)
    return Line(name, figure, wanted, ours.equal >= bar.equal and as_close)


def metric_differs(name: str, base: float, again: float, ours: float | None) -> Line:
    """The figure may be as far from the base's as the base's own second one, or a rounding error."""
    if ours is None:
        return Line(name, "missing", f"{base:.6f}", False)
    bar = max(abs(again - base), FLOAT64)
    return Line(name, f"{ours:.6f}_off_by_{abs(ours - base):.3g}", f"<={bar:.3g}", abs(ours - base) <= bar)


def _metric(model: str, metric: str, base: Dump, again: Dump, ours: Dump) -> Iterator[Line]:
    values = [dump.metrics(model).get(metric) for dump in (base, again, ours)]
    print(f"  {model} {metric}: base {values[0]}, again {values[1]} | this code {values[2]}")
    yield metric_differs(f"house.figures_{model}_{metric}", *values)


def _differences(base: Dump, other: Dump, name: str) -> Difference:
    return compare(base.table(name), other.table(name), base.written["keys"][name])


def _agreement(base: Dump, other: Dump) -> Agreement:
    name = "recommendations"
    return agreement(base.table(name), other.table(name), base.written["keys"][name])


def _other_metrics(base: Dump, other: Dump, model: str) -> str:
    """How many of all metrics differ, in words; what only one has is named."""
    left, right = base.metrics(model), other.metrics(model)
    differ = [name for name in left.keys() & right.keys() if not close(left[name], right[name], FLOAT64)]
    alone = sorted(left.keys() ^ right.keys())
    named = f"; only one has {', '.join(alone)}" if alone else ""
    shown = f" ({', '.join(sorted(differ)[:3])}, …)" if differ else ""
    return f"{len(differ)} of {len(left)} differ{shown}{named}"


def _beside(name: str, by_itself: object, by_us: object) -> None:
    print(f"  {name}: base and base again: {by_itself}\n  {name}: base and this code: {by_us}", flush=True)


def _made_once(of: str, name: str) -> Dump:
    """What the commit makes, made once."""
    folder = house_base.kept(of) / f"figures-{house_steps.LAYOUT}-{name}"
    if not (folder / house_steps.FIGURES).exists():
        _made(house_base.code(of), folder)
    return Dump(folder)


def _made(code: Path, folder: Path) -> Dump:
    """What the code makes; `figures.json` is written last.

    Raises:
        RuntimeError: it failed; with the end of what it said.
    """
    house_base.emptied(folder)
    print(f"  {code}:", flush=True)
    with (folder / "log").open("w") as log:
        status = subprocess.run(
            [sys.executable, "-P", str(Path(house_steps.__file__)), str(folder)],
            env=house_base.environment(code),
            cwd=folder,
            stderr=log,
            check=False,
        ).returncode
    if status:
        raise RuntimeError(f"{code}: status {status}: {(folder / 'log').read_text()[-2000:]}")
    return Dump(folder)
