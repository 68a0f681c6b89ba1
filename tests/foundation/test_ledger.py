import threading
from datetime import date
from pathlib import Path

import pytest

from perennial.foundation.ledger import Ledger, OutOfOrderError, Turn, open_ledger

NOV_29, NOV_30, DEC_1, DEC_2 = date(2017, 11, 29), date(2017, 11, 30), date(2017, 12, 1), date(2017, 12, 2)
DEC_3 = date(2017, 12, 3)


@pytest.fixture
def ledger(shop: Path) -> Ledger:
    found = open_ledger()
    found.close([NOV_29, NOV_30], announced_with=NOV_30)
    for day in (DEC_1, DEC_2):
        found.close([day], announced_with=day)
    return found


def do(ledger: Ledger, day: date) -> bool:
    with ledger.once("decide", day) as is_open:
        return is_open


def test_a_stretch_is_announced_with_its_last_day(ledger: Ledger):
    assert ledger.announced_before(DEC_1) == NOV_30
    assert ledger.announced_before(NOV_30) is None
    assert ledger.closed_days() == {NOV_29, NOV_30, DEC_1, DEC_2}


def test_closing_a_closed_day_again_changes_nothing(ledger: Ledger):
    ledger.close([NOV_29], announced_with=NOV_29)
    assert ledger.announced_before(NOV_30) is None


def test_without_a_frontier_any_day_can_be_the_first(ledger: Ledger):
    assert ledger.turn("decide", DEC_1) == Turn(open=True)


def test_days_go_in_order_and_the_one_that_is_missing_is_named(ledger: Ledger):
    assert do(ledger, NOV_30)
    assert ledger.turn("decide", DEC_2).waits_for == DEC_1
    with pytest.raises(OutOfOrderError, match="2017-12-02 has to wait for 2017-12-01"):
        do(ledger, DEC_2)
    assert do(ledger, DEC_1)
    assert do(ledger, DEC_2)
    assert ledger.frontier("decide") == DEC_2


def test_a_day_that_was_done_is_never_open_again(ledger: Ledger):
    do(ledger, DEC_1)
    assert not do(ledger, DEC_1)
    assert not do(ledger, NOV_30)
    assert ledger.frontier("decide") == DEC_1


def test_a_step_that_fails_does_not_move_its_frontier(ledger: Ledger):
    with pytest.raises(KeyError), ledger.once("decide", NOV_30):
        raise KeyError
    assert ledger.frontier("decide") is None
    assert do(ledger, NOV_30)


def test_of_two_at_the_same_time_one_finds_the_day_open(ledger: Ledger):
    found: list[bool] = []
    both_ready = threading.Barrier(2)

    def work() -> None:
        both_ready.wait()
        found.append(do(ledger, NOV_30))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [False, True]


def test_steps_do_not_wait_for_each_other(ledger: Ledger):
    do(ledger, DEC_2)
    assert ledger.turn("train_models", NOV_30) == Turn(open=True)


def test_in_a_standstill_no_day_is_closed_and_no_work_begins(ledger: Ledger):
    ledger.begin("backfill", "this")
    seen = []
    with ledger.standstill() as closed:
        assert closed == {NOV_29, NOV_30, DEC_1, DEC_2}
        others = [
            threading.Thread(target=lambda: (ledger.close([DEC_3], DEC_3), seen.append("closed"))),
            threading.Thread(target=lambda: (ledger.begin("backfill", "that"), seen.append("begun"))),
        ]
        for other in others:
            other.start()
        others[0].join(0.3)
        assert not seen
        assert ledger.closed_days() == closed
        assert ledger.about("backfill") == "this"
    for other in others:
        other.join()
    assert sorted(seen) == ["begun", "closed"]
    assert DEC_3 in ledger.closed_days()
    assert ledger.about("backfill") == "that"
    assert ledger.about("other") is None


def test_while_a_step_stands_it_does_no_day(ledger: Ledger):
    assert do(ledger, DEC_2)
    seen = []
    with ledger.standing("decide") as frontier:
        assert frontier == DEC_2
        other = threading.Thread(target=lambda: seen.append(do(ledger, DEC_3)))
        other.start()
        other.join(0.3)
        assert not seen
    other.join()
    assert seen == [True]
    with ledger.standing("never begun") as frontier:
        assert frontier is None
