"""The proofs of `recommend`: what does each customer want next, and does every part of the answer help?"""

from collections.abc import Callable, Iterator

from tests.acceptance.lines import Line
from tests.acceptance.recommend_any_data import any_data
from tests.acceptance.recommend_cold import cold
from tests.acceptance.recommend_drop_one import drop_one
from tests.acceptance.recommend_gate import gate
from tests.acceptance.recommend_metrics import metrics
from tests.acceptance.recommend_months import months
from tests.acceptance.recommend_promoted import promoted
from tests.acceptance.recommend_rules import rules
from tests.acceptance.recommend_sequence import sequence
from tests.acceptance.recommend_speed import speed
from tests.acceptance.recommend_spread import spread

CASES: dict[str, Callable[[], Iterator[Line]]] = {
    "metrics": metrics,
    "months": months,
    "promoted": promoted,
    "cold": cold,
    "drop_one": drop_one,
    "sequence": sequence,
    "rules": rules,
    "spread": spread,
    "speed": speed,
    "any_data": any_data,
    "gate": gate,
}
