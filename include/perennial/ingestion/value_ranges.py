"""The limits of each column, in one place: what the rules allow, and what a judge need know of a number.

Every rule over numbers asks only whether a number lies between two limits. So a number may be replaced by
another that lies on the same side of every limit, and is judged the same: a million prices become three.
"""

from dataclasses import dataclass
from itertools import pairwise

import ibis
import ibis.expr.types as ir

from perennial.foundation import contracts
from perennial.foundation.contracts import Contract
from perennial.ingestion.source_settings import delivered

LONGEST_ID = 255
"""Characters of an id."""
LONGEST_TEXT = 10_000
"""Characters of any other text."""


@dataclass(frozen=True)
class Limit:
    """Between which numbers a column must lie; `event_types`: of which events only (empty: every row)."""

    column: str
    least: float | None = None
    most: float | None = None
    event_types: tuple[str, ...] = ()


_LIMITS = {
    "events": (
        Limit("quantity", least=1, event_types=("purchase",)),
        Limit("revenue", least=0, event_types=("purchase",)),
        Limit("revenue", most=0, event_types=("return",)),
        Limit("unit_price", least=0),
        Limit("shelf_discount", least=0),
        Limit("coupon_discount", least=0),
    ),
    "items": (Limit("price", least=0), Limit("unit_cost", least=0)),
    "assignments": (Limit("propensity", least=0, most=1),),
}


def limits(contract: Contract) -> tuple[Limit, ...]:
    """The limits of the table's columns, in the order in which a refused row names them."""
    return _LIMITS.get(contract.name, ())


def longest(contract: Contract) -> dict[str, int]:
    """The texts of the table that any value may stand in → how many characters each may have."""
    texts = [name for name in delivered(contract) if contract.schema.field(name).type == contracts.TEXT]
    free = [name for name in texts if not contract.allowed(name)]
    return {name: LONGEST_ID if name.endswith("_id") else LONGEST_TEXT for name in free}


def cut_points(contract: Contract) -> dict[str, tuple[float, ...]]:
    """Column → its limits, ascending: where the judgement of a number can change."""
    cuts: dict[str, set[float]] = {}
    for limit in limits(contract):
        found = {float(end) for end in (limit.least, limit.most) if end is not None}
        cuts.setdefault(limit.column, set()).update(found)
    return {column: tuple(sorted(found)) for column, found in cuts.items()}


def representatives(cuts: tuple[float, ...]) -> tuple[float, ...]:
    """The numbers, ascending, one of which every rule judges like any given number: see `place`."""
    between = [(below + above) / 2 for below, above in pairwise(cuts)]
    return tuple(sorted((cuts[0] - 1, *cuts, *between, cuts[-1] + 1)))


def place(value: ir.NumericValue, cuts: tuple[float, ...]) -> ir.IntegerValue:
    """Which of the representatives stands for the value, from 0.

    A value at a cut point stands for itself; between two of them their middle stands for it; outside, the
    outermost one less or more 1.
    """
    steps = [step for n, cut in enumerate(cuts) for step in ((value < cut, 2 * n), (value == cut, 2 * n + 1))]
    return ibis.cases(*steps, else_=2 * len(cuts))
