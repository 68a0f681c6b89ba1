from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from airflow.sdk.exceptions import AirflowRescheduleException, AirflowSkipException

from perennial.foundation.ledger import open_ledger
from perennial.orchestration.waiting import PATIENCE, DayMissing, Wait, wait_for_turn

NOV_30, DEC_1, DEC_2 = date(2017, 11, 30), date(2017, 12, 1), date(2017, 12, 2)


class Instance:
    """What the sensor asks of its task instance: since when it has been looking."""

    def __init__(self, looked_for: timedelta) -> None:
        self.began = datetime.now(UTC) - looked_for

    def get_first_reschedule_date(self, context: object) -> datetime:
        return self.began


def context(looked_for: timedelta = timedelta()) -> dict[str, Instance]:
    return {"ti": Instance(looked_for)}


def rendered(sensor: Wait, day: date) -> Wait:
    """As Airflow hands it to a worker: with its day filled in."""
    sensor.day = str(day)
    return sensor


@pytest.fixture
def ledger_behind(shop: Path) -> None:
    ledger = open_ledger()
    for day in (NOV_30, DEC_1, DEC_2):
        ledger.close([day], announced_with=day)
    with ledger.once("decide_contacts", NOV_30):
        pass


@pytest.mark.usefixtures("ledger_behind")
def test_the_slot_is_given_back_until_the_day_before_is_done():
    sensor = rendered(wait_for_turn("decide_contacts"), DEC_2)
    with pytest.raises(AirflowRescheduleException):
        sensor.execute(context())
    with open_ledger().once("decide_contacts", DEC_1):
        pass
    assert sensor.poke({})


@pytest.mark.usefixtures("ledger_behind")
def test_when_patience_ends_the_missing_day_is_named():
    sensor = rendered(wait_for_turn("decide_contacts"), DEC_2)
    with pytest.raises(DayMissing, match="of 2017-12-02 still waits for 2017-12-01"):
        sensor.execute(context(PATIENCE + timedelta(minutes=1)))


def test_a_day_with_nothing_to_do_is_skipped_without_looking_further():
    def never(day: date) -> date | None:
        raise AssertionError(day)

    sensor = rendered(Wait(task_id="wait", missing=never, skip_if=lambda day: day == DEC_1), DEC_1)
    with pytest.raises(AirflowSkipException, match="2017-12-01"):
        sensor.poke({})
