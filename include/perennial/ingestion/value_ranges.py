"""The limits of each column: which numbers the rules allow, and how long a text may be.

Every rule over numbers only compares the number with two limits. A number may therefore be replaced by any
other number on the same side of every limit: the result of the rules is the same. A million prices become
three representatives.
"""

from dataclasses import dataclass
from itertools import pairwise

import ibis
import ibis.expr.types as ir

from perennial.foundation import contracts
from perennial.foundation.contracts import Contract
from perennial.ingestion.source_settings import delivered

LONGEST_ID = 255
"""The most characters of an id."""
LONGEST_TEXT = 10_000
"""The most characters of any other text."""


@dataclass(frozen=True)
class Limit:
    """The smallest and largest allowed number of a column; None: no limit.

    event_types: the limit holds only for events of these types; empty: for every row.
    """

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


def longest_texts(contract: Contract) -> dict[str, int]:
    """The table's text columns without a closed set of values → the most characters that each may have."""
    texts = [name for name in delivered(contract) if contract.schema.field(name).type == contracts.TEXT]
    free = [name for name in texts if not contract.allowed(name)]
    return {name: LONGEST_ID if name.endswith("_id") else LONGEST_TEXT for name in free}


def cut_points(contract: Contract) -> dict[str, tuple[float, ...]]:
    """Column → its limits, ascending. The result of a rule can change only at these numbers."""
    cuts: dict[str, set[float]] = {}
    for limit in limits(contract):
        ends = {float(end) for end in (limit.least, limit.most) if end is not None}
        cuts.setdefault(limit.column, set()).update(ends)
    return {column: tuple(sorted(numbers)) for column, numbers in cuts.items()}


def representatives(cuts: tuple[float, ...]) -> tuple[float, ...]:
    """One number for each cut point, each gap between two of them, and both outer sides; ascending.

    Every number gets the same results from the rules as its representative, which `place` finds.
    """
    between = [(below + above) / 2 for below, above in pairwise(cuts)]
    return tuple(sorted((cuts[0] - 1, *cuts, *between, cuts[-1] + 1)))


def place(value: ir.NumericValue, cuts: tuple[float, ...]) -> ir.IntegerValue:
    """The index of the value's representative, from 0.

    A value at a cut point is its own representative. The representative between two cut points is their
    mean; outside of all, it is the outermost cut point minus or plus 1.
    """
    steps = [step for n, cut in enumerate(cuts) for step in ((value < cut, 2 * n), (value == cut, 2 * n + 1))]
    return ibis.cases(*steps, else_=2 * len(cuts))
