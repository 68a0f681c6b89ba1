"""The proofs of `profiles`: who is this customer, will they come back, and may a model say so?"""

from collections.abc import Callable, Iterator

from tests.acceptance.lines import Line
from tests.acceptance.profiles_again import again
from tests.acceptance.profiles_benchmark import benchmark
from tests.acceptance.profiles_best_hour import best_hours
from tests.acceptance.profiles_engines import engines
from tests.acceptance.profiles_gate import gate
from tests.acceptance.profiles_price_response import price_responses
from tests.acceptance.profiles_reasons import reasoned
from tests.acceptance.profiles_return import returns

CASES: dict[str, Callable[[], Iterator[Line]]] = {
    "return": returns,
    "reasons": reasoned,
    "again": again,
    "gate": gate,
    "price_response": price_responses,
    "best_hour": best_hours,
    "engines": engines,
    "benchmark": benchmark,
}
