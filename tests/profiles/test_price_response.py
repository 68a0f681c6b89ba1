import math

import ibis
import numpy as np
import pyarrow as pa
import pytest

from perennial.profiles import price_population, price_response
from perennial.profiles.price_population import EVIDENCE_COLUMNS
from perennial.profiles.price_response import Learnt
from perennial.profiles.settings import PriceResponseSettings
from tests.acceptance import profiles_price_response
from tests.profiles.tables import MONDAY, day, rows_of

CHOSEN = PriceResponseSettings(weeks_compared=13, pieces_counted=12)
ORDERS = 1000


def table(names: str, *rows: tuple) -> ibis.Table:
    columns = names.split()
    return ibis.memtable(pa.Table.from_pylist([dict(zip(columns, row, strict=True)) for row in rows]))


def curve(tenth: float) -> ibis.Table:
    """Everybody buys so many times as much at a tenth off, and no more at greater discounts."""
    rises = [math.log(tenth) * min(percent, 10) / 10 for percent in range(96)]
    return ibis.memtable(pa.table({"percent": range(96), "rise": rises}))


def evidence(weeks: ibis.Table, *bought: tuple, tenth: float = 2.0) -> dict:
    """By customer and heap of items; purchases given as customer, item, day, pieces."""
    rows = [(who, item, day(number), pieces, 1.0) for who, item, number, pieces in bought]
    lines = table("customer item occurred_on quantity list_value", *rows)
    offered = price_response.offers(weeks, curve(tenth))
    shared = price_response.compared(offered)
    found = price_response.evidence(lines, offered, shared, CHOSEN).to_pyarrow().to_pylist()
    return {(row.pop("customer"), row.pop("fold")): row for row in found}


def offers(*rows: tuple) -> ibis.Table:
    """Weeks of items given as item, weeks from now, percent off, first and last customer."""
    this = int(price_response.week_of(table("occurred_on", (MONDAY,))).to_pyarrow()[0].as_py())
    stretch = this // CHOSEN.weeks_compared
    told = [
        (item, this + week, stretch, percent, ORDERS, low, high) for item, week, percent, low, high in rows
    ]
    return table("item week stretch percent season first last", *told)


def test_a_purchase_tells_where_it_fell_among_the_weeks_weighted_by_what_all_would_buy():
    found = evidence(offers((1, 0, 0, 5, 6), (1, 1, 10, 5, 6), (2, 0, 0, 5, 6)), (5, 1, 7, 3), (5, 2, 0, 9))
    # A third of the expected sales fall upon the week without, two thirds upon the week with a discount.
    told = {"s_x": 3 * (1 - 2 / 3), "s_z": 0, "j_xx": 3 * 2 / 9, "j_xz": 0, "j_zz": 0}
    assert found == {(5, 1): pytest.approx(told, abs=1e-5), (5, 2): dict.fromkeys(EVIDENCE_COLUMNS, 0)}


def test_a_discount_beyond_the_tenth_tells_of_both_steps():
    weeks = offers((1, 0, 0, 5, 6), (1, 1, 15, 5, 6), (1, 2, 40, 5, 6))
    told = evidence(weeks, (5, 1, 14, 1), tenth=1.0)[5, 1]
    x, z = np.array([0, 1, 1]), np.array([0, 0.5, 1])
    both = np.cov(x, z, bias=True)
    expected = (1 - x.mean(), 1 - z.mean(), both[0, 0], both[0, 1], both[1, 1])
    assert [told[name] for name in EVIDENCE_COLUMNS] == pytest.approx(expected, abs=1e-5)


def test_weeks_that_only_the_customer_shows_tell_nothing_of_the_customer_but_of_others():
    weeks = offers((1, 0, 0, 5, 6), (1, 1, 10, 5, 5), (1, 2, 10, 5, 6))
    found = evidence(weeks, (5, 1, 7, 4), (5, 1, 14, 1), (6, 1, 14, 1))
    assert found[5, 1]["s_x"] == pytest.approx(1 - 2 / 3, abs=1e-5)
    assert found[6, 1]["s_x"] == pytest.approx(1 - 4 / 5, abs=1e-5)


def responses(told: ibis.Table, *customers: int, tenth: float = 1.5) -> dict:
    everybody = table("customer", *((number,) for number in customers))
    learnt = Learnt(curve(tenth), told, population(told))
    return rows_of(price_response.responses(learnt, everybody), "customer")


def population(told: ibis.Table) -> ibis.Table:
    means = ibis.memtable(price_population.means(told).to_pyarrow())
    return ibis.memtable(price_population.population(told, means).to_pyarrow())


def drawn(customers: int, t: np.ndarray, phi: float, mean: tuple[float, float]) -> ibis.Table:
    """Evidence as the model has it, in eight heaps of items each."""
    rng = np.random.default_rng(customers)
    own = rng.multivariate_normal(mean, t, customers)
    information = np.array([[2.0, 0.8], [0.8, 1.0]])
    rows = []
    for who in range(customers):
        some = information * rng.gamma(1, 1)
        for fold in range(8):
            score = rng.multivariate_normal(some @ own[who], phi * some)
            rows.append((who, fold, *score, some[0, 0], some[0, 1], some[1, 1]))
    return table("customer fold s_x s_z j_xx j_xz j_zz", *rows)


def test_what_all_customers_have_in_common_is_found_again():
    t = np.array([[0.1, 0.04], [0.04, 0.06]])
    (found,) = population(drawn(3000, t, 2.5, (-0.1, 0.1))).to_pyarrow().to_pylist()
    assert (found["mean_x"], found["mean_z"]) == pytest.approx((-0.1, 0.1), abs=0.03)
    assert [found[name] for name in ("t_xx", "t_xz", "t_zz")] == pytest.approx([0.1, 0.04, 0.06], abs=0.02)
    assert found["phi"] == pytest.approx(2.5, rel=0.1)
    assert found["mean_variance"] < 0.02**2


def test_what_is_not_known_of_a_customer_is_what_is_known_of_all():
    told = drawn(300, np.diag([0.1, 0.05]), 2.0, (0, 0))
    found = responses(told, 0, 1000, 1001)
    assert found[1000] == found[1001]
    new = found[1000]
    assert new["price_response"] == pytest.approx(1.5, rel=0.1)
    assert not new["price_response_known"]
    assert new["price_response_low"] < 1 < 2 < new["price_response_high"]
    assert math.log(new["price_response"]) == pytest.approx(
        (math.log(new["price_response_low"]) + math.log(new["price_response_high"])) / 2
    )


def test_a_customer_who_is_well_known_has_a_narrower_interval_about_their_own_response():
    rows = [(who, fold, 0.0, 0.0, 0.1, 0.0, 0.1) for who in range(200) for fold in range(8)]
    rows += [
        (who, fold, sign * 20.0, 0.0, 80.0, 0.0, 1.0)
        for who, sign in ((900, 1), (901, -1))
        for fold in range(8)
    ]
    found = responses(table("customer fold s_x s_z j_xx j_xz j_zz", *rows), 0, 900, 901, 1000)
    eager, wary, few, new = (found[who] for who in (900, 901, 0, 1000))
    assert wary["price_response_high"] < new["price_response"] < eager["price_response_low"]
    assert (eager["price_response_known"], few["price_response_known"]) == (True, False)
    assert eager["price_response"] == pytest.approx(1.5 * math.exp(0.25), rel=0.05)


def test_where_nothing_was_ever_reduced_nobody_has_a_response():
    for told in ([(0, 0, 0.0, 0.0, 0.0, 0.0, 0.0)], []):
        rows = pa.Table.from_pylist(
            [dict(zip(("customer", "fold", *EVIDENCE_COLUMNS), row, strict=True)) for row in told],
            schema=pa.schema(
                [
                    ("customer", pa.int64()),
                    ("fold", pa.int64()),
                    *((name, pa.float64()) for name in EVIDENCE_COLUMNS),
                ]
            ),
        )
        assert responses(ibis.memtable(rows), 0) == {}


def test_the_proof_against_planted_responses_holds_in_a_shop():
    figures = profiles_price_response._judged(0)
    assert 0.9 < figures["covered"] < 0.995
    assert figures["error"] < 0.85 * figures["error_population"]
    assert figures["width_known"] < 0.8
