import ibis
import pyarrow as pa
import pytest

from perennial.profiles.drawing import LifeCycle
from perennial.profiles.life_cycle import stages, usual_gaps
from tests.profiles.tables import day, event, orders, rows_of

CHOSEN = LifeCycle(
    new_days=28,
    own_gaps_needed=3,
    lapsing_gaps=3,
    lapsing_days=21,
    lapsed_gaps=8,
    lapsed_days=56,
    returned_days=28,
)
MONTHLY = (0, 30, 60, 90)
WEEKLY = tuple(range(0, 64, 7))


def stage(bought: tuple[int, ...], today: int, joined: int = 0) -> str:
    """The stage of a customer who ordered on these days, in a shop where others come weekly."""
    rows = [event(number, f"o{number}") for number in bought]
    rows += [event(number, f"w{number}", customer_id="weekly") for number in WEEKLY]
    joins = pa.table({"customer_id": ["c1", "weekly"], "joined_on": [day(joined), day(0)]})
    return rows_of(stages(orders(*rows), ibis.memtable(joins), day(today), CHOSEN))["c1"]["life_cycle"]


@pytest.mark.parametrize(
    ("bought", "today", "joined", "expected"),
    [
        ((), 27, 0, "new"),
        ((), 28, 0, "lapsed"),
        ((80,), 100, 80, "new"),
        (WEEKLY, 83, 0, "active"),
        (WEEKLY, 84, 0, "lapsing"),
        (WEEKLY, 118, 0, "lapsing"),
        (WEEKLY, 119, 0, "lapsed"),
        (MONTHLY, 179, 0, "active"),
        (MONTHLY, 180, 0, "lapsing"),
        (MONTHLY, 330, 0, "lapsed"),
        ((*WEEKLY, 130), 157, 0, "lapsing"),
        ((*WEEKLY, 130), 150, 0, "returned"),
        ((*WEEKLY, 130, 137, 144, 151), 160, 0, "active"),
        ((0,), 20, -100, "active"),
        ((0,), 21, -100, "lapsing"),
        ((0,), 56, -100, "lapsed"),
    ],
)
def test_the_stage_is_measured_in_the_customers_own_gaps(
    bought: tuple, today: int, joined: int, expected: str
):
    assert stage(bought, today, joined) == expected


def test_thin_histories_borrow_the_median_customers_gap():
    rows = [event(number, f"o{number}", customer_id="monthly") for number in MONTHLY]
    rows += [event(number, f"p{number}", customer_id="thin") for number in (0, 1, 2)]
    names = ["monthly", "thin", "silent"]
    joins = ibis.memtable(pa.table({"customer_id": names, "joined_on": [day(0)] * 3}))
    found = rows_of(usual_gaps(orders(*rows), joins, CHOSEN))
    assert {name: row["usual_gap_days"] for name, row in found.items()} == dict.fromkeys(names, 30)


def test_in_a_shop_without_gaps_the_days_alone_decide():
    joins = ibis.memtable(pa.table({"customer_id": ["c1"], "joined_on": [day(-100)]}))
    for today, expected in ((20, "active"), (21, "lapsing"), (56, "lapsed")):
        found = rows_of(stages(orders(event(0, "a")), joins, day(today), CHOSEN))
        assert found["c1"]["life_cycle"] == expected
