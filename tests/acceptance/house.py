"""The proofs of the tidy-up: what moved in the code changed no figure, and what lies in a shop goes on."""

from collections.abc import Callable, Iterator

from tests.acceptance.house_figures import figures
from tests.acceptance.house_goes_on import goes_on
from tests.acceptance.lines import Line

CASES: dict[str, Callable[[], Iterator[Line]]] = {
    "figures": figures,
    "goes_on": goes_on,
}
