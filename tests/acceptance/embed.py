"""The proofs of embeddings: every item and customer in a language model's space, quickly, and again."""

from collections.abc import Callable, Iterator

from tests.acceptance.embed_again import again
from tests.acceptance.embed_customers import customers
from tests.acceptance.embed_kills import kills
from tests.acceptance.embed_speed import benchmark, whole_numbers, without_amx
from tests.acceptance.embed_switch import switch
from tests.acceptance.lines import Line

CASES: dict[str, Callable[[], Iterator[Line]]] = {
    "benchmark": benchmark,
    "without_amx": without_amx,
    "whole_numbers": whole_numbers,
    "again": again,
    "kills": kills,
    "switch": switch,
    "customers": customers,
}
