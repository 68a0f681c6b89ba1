from datetime import date

import ibis
import pyarrow as pa
import pytest

from perennial.profiles.life_cycle import stages, usual_gaps
from perennial.profiles.settings import LifeCycleSettings
from tests.profiles.tables import day, event, orders, rows_of

CHOSEN = LifeCycleSettings(
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


def rows(bought: tuple[int, ...], *todays: int, joined: int = 0) -> list[dict]:
    """The section of a customer who ordered on these days, on several days; others come weekly.

    One shop has them all: each day has a customer of its own, whose past is moved to end on the same day.
    """
    last = max(todays)
    events, joins = [], {"weekly": day(0)}
    for today in todays:
        moved = last - today
        joins[f"{today}"] = day(joined + moved)
        events += [
            event(number + moved, f"{today}-{number}", customer_id=f"{today}")
            for number in bought
            if number <= today
        ]
    events += [event(number, f"w{number}", customer_id="weekly") for number in WEEKLY]
    people = pa.table({"customer_id": list(joins), "joined_on": list(joins.values())})
    found = rows_of(stages(orders(*events), ibis.memtable(people), day(last), CHOSEN))
    return [moved_back(found[f"{today}"], last - today) for today in todays]


def moved_back(row: dict, days: int) -> dict:
    """The row with its dates as numbers of days from the first, of a customer who was not moved."""
    return {
        name: (value - day(days)).days if isinstance(value, date) else value for name, value in row.items()
    }


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
    assert rows(bought, today, joined=joined)[0]["life_cycle"] == expected


@pytest.mark.parametrize(
    ("bought", "today", "joined", "since", "lapsing", "lapsed"),
    [
        ((), 20, 0, 0, None, 28),
        ((), 30, 0, 28, None, 28),
        ((0,), 10, 0, 0, 28, 56),
        ((0,), 30, -100, 21, 21, 56),
        ((3,), 20, -100, 3, 24, 59),
        (WEEKLY, 70, 0, 28, 84, 119),
        (WEEKLY, 90, 0, 84, 84, 119),
        (WEEKLY, 130, 0, 119, 84, 119),
        ((*WEEKLY, 130), 140, 0, 130, 151, 186),
        ((*WEEKLY, 130, 137, 144, 151), 160, 0, 158, 172, 207),
        ((*WEEKLY, 90, 97, 104), 110, 0, 90, 125, 160),
        ((40,), 45, 0, 40, 61, 96),
    ],
)
def test_the_dates_of_the_stage_are_those_on_which_it_changes(
    bought: tuple, today: int, joined: int, since: int, lapsing: int | None, lapsed: int
):
    (found,) = rows(bought, today, joined=joined)
    dates = ("life_cycle_since", "lapsing_on", "lapsed_on")
    assert tuple(found[name] for name in dates) == (since, lapsing, lapsed)


@pytest.mark.parametrize("bought", [WEEKLY, MONTHLY, (0,), (), (0, 7, 14, 21, 100)])
def test_a_stage_holds_from_its_first_day_until_the_next(bought: tuple):
    last = max(bought, default=0)
    days = range(last, last + 150)
    found = dict(zip(days, rows(bought, *days), strict=True))
    for today, row in found.items():
        since = row["life_cycle_since"]
        assert since <= today
        if since > last:
            assert found[since]["life_cycle"] == row["life_cycle"] != found[since - 1]["life_cycle"]
        for stage in ("lapsing", "lapsed"):
            on = row[f"{stage}_on"]
            assert on not in found or found[on]["life_cycle"] == stage


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
