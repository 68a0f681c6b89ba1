import numpy as np
import pytest

from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.settings import ItemNeighboursSettings, PurchaseWeighting
from perennial.recommend.sources.item_neighbours import EVER, ItemNeighbours
from tests.recommend.exact import exact_scores
from tests.recommend.goods import GOODS, catalogue_of, history_of

RIDGE = 3.0
EVERY = PurchaseWeighting(power=0)


def histories(customers: int, seed: int) -> PurchaseHistory:
    """Customers who bought about a third of the goods, some of them twice."""
    random = np.random.default_rng(seed)

    def some() -> list[tuple[str, int]]:
        return [(name, int(random.integers(0, 300))) for name in [*GOODS] * 2 if random.random() < 0.2]

    return history_of(catalogue_of(), {f"{seed}-{n:02}": some() for n in range(customers)})


@pytest.mark.parametrize("weighing", [EVERY, PurchaseWeighting(half_life_days=90, power=0.5)])
def test_the_dual_solution_is_the_textbook_one_for_known_and_for_unknown_customers(
    weighing: PurchaseWeighting,
):
    known, others = histories(40, 0), histories(15, 1)
    bought = known.weighted(weighing).toarray().astype(np.float64)
    inverse = np.linalg.inv(bought.T @ bought + RIDGE * np.eye(bought.shape[1]))
    items = -inverse / np.diag(inverse)
    np.fill_diagonal(items, 0)
    pool = np.array([7, 1, 4])
    found = ItemNeighbours.fit("model", known, pool, ItemNeighboursSettings(weighing=weighing, ridge=RIDGE))
    for history in (known, others):
        wanted = history.weighted(weighing).toarray() @ items[:, pool]
        np.testing.assert_allclose(exact_scores(found, history)[EVER], wanted, atol=1e-5)


def test_a_purchase_says_nothing_of_the_item_itself():
    chosen = ItemNeighboursSettings(weighing=EVERY, ridge=RIDGE, lately_days=(91,), new_days=(28,))
    found = ItemNeighbours.fit("model", histories(40, 0), np.arange(len(GOODS)), chosen)
    alone = history_of(catalogue_of(), {"one": [("ale", 5)], "nobody": []})
    for said in exact_scores(found, alone).values():
        assert said[0, sorted(GOODS).index("ale")] == pytest.approx(0, abs=1e-6)
        assert (said[1] == 0).all()
