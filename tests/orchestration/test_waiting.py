import asyncio
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.models.trigger import Trigger
from airflow.sdk.exceptions import AirflowSkipException, TaskDeferred
from airflow.triggers.base import TriggerEvent

from perennial.foundation.ledger import open_ledger
from perennial.orchestration import waiting
from perennial.orchestration.waiting import PATIENCE, DayMissing, Lookout, Wait, wait_for_turn

NOV_30, DEC_1, DEC_2 = date(2017, 11, 30), date(2017, 12, 1), date(2017, 12, 2)


def never_due(day: date) -> date:
    raise AssertionError(day)


def own_files(day: date) -> date:
    return day


def places(day: date) -> list[str]:
    return [f"events/{day}/*", f"users/{day}.csv"]


def nothing(day: date) -> None:
    return None


def broken(day: date) -> None:
    raise ConnectionError("the database is away")


def slow(day: date) -> None:
    time.sleep(0.5)


def rendered(sensor: Wait, day: date) -> Wait:
    """As Airflow hands it to a worker: with its day filled in."""
    sensor.day = str(day)
    return sensor


def waits(day: date, missing: Callable[[date], object], **kwargs: object) -> Wait:
    watched = f"{__name__}.{missing.__name__}"
    return rendered(Wait(task_id="wait", missing=missing, watched=watched, **kwargs), day)


def long_ago() -> str:
    return (datetime.now(UTC) - PATIENCE - timedelta(minutes=1)).isoformat()


def deferred(sensor: Wait) -> Lookout:
    """The trigger that the first look leaves behind, made again from what the metadata database holds."""
    with pytest.raises(TaskDeferred) as deferral:
        sensor.execute({})
    assert deferral.value.method_name == "look_again"
    row = Trigger.from_object(deferral.value.trigger)
    assert row.classpath == "perennial.orchestration.waiting.Lookout"
    return Lookout(**row.kwargs)


def lookout(missing: Callable[[date], object]) -> Lookout:
    """A trigger that has just begun to look."""
    return Lookout(f"{__name__}.{missing.__name__}", {}, str(DEC_2), datetime.now(UTC).isoformat(), 60.0)


def in_a_run(began: datetime) -> dict[str, object]:
    """What a task knows of its run."""
    run = SimpleNamespace(dag_id="ingest", partition_key=str(DEC_2), start_date=began)
    return {"dag_run": run, "params": {}}


async def first_event(trigger: Lookout) -> TriggerEvent:
    return await anext(trigger.run())


@pytest.fixture(autouse=True)
def no_time_to_lose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "SHORTEST_PAUSE", 0.05)


@pytest.fixture
def ledger_behind(shop: Path) -> None:
    ledger = open_ledger()
    for day in (NOV_30, DEC_1, DEC_2):
        ledger.close([day], announced_with=day)
    with ledger.once("decide_contacts", NOV_30):
        pass


@pytest.mark.usefixtures("ledger_behind")
def test_a_day_whose_turn_it_is_passes_without_a_trigger():
    assert rendered(wait_for_turn("decide_contacts"), DEC_1).execute({}) is None


@pytest.mark.usefixtures("ledger_behind")
def test_the_slot_is_given_back_until_the_day_before_is_done():
    sensor = rendered(wait_for_turn("decide_contacts"), DEC_2)
    trigger = deferred(sensor)

    async def meanwhile() -> tuple[bool, TriggerEvent]:
        looking = asyncio.create_task(first_event(trigger))
        await asyncio.sleep(0.3)
        still_looking = not looking.done()
        with open_ledger().once("decide_contacts", DEC_1):
            pass
        return still_looking, await asyncio.wait_for(looking, 5)

    still_looking, event = asyncio.run(meanwhile())
    assert still_looking
    assert sensor.look_again({}, event.payload) is None


@pytest.mark.usefixtures("ledger_behind")
def test_when_patience_ends_the_missing_day_is_named():
    sensor = rendered(wait_for_turn("decide_contacts"), DEC_2)
    trigger = deferred(sensor)
    trigger.since = long_ago()
    event = asyncio.run(first_event(trigger))
    with pytest.raises(DayMissing, match=r"after 12 hours .* of 2017-12-02 still waits for 2017-12-01$"):
        sensor.look_again({}, event.payload)


def test_when_patience_ends_without_files_every_place_is_named():
    sensor = waits(DEC_2, own_files, looked_for=f"{__name__}.places")
    with pytest.raises(
        DayMissing, match=r"its files, looked for at events/2017-12-02/\*, users/2017-12-02.csv$"
    ):
        sensor.look_again({}, long_ago())


def test_a_wait_that_another_triggerer_takes_up_ends_when_it_would_have_ended():
    sensor = waits(DEC_2, own_files, patience=timedelta(seconds=0.4))
    trigger = deferred(sensor)

    async def killed() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(first_event(trigger), 0.1)

    asyncio.run(killed())
    event = asyncio.run(first_event(Lookout(**trigger.serialize()[1])))
    assert event.payload == trigger.since
    with pytest.raises(DayMissing):
        sensor.look_again({}, event.payload)


def test_a_task_that_is_woken_too_early_waits_on_from_its_first_look():
    sensor = waits(DEC_2, own_files)
    since = deferred(sensor).since
    with pytest.raises(TaskDeferred) as deferral:
        sensor.look_again({}, since)
    assert deferral.value.trigger.since == since


def test_a_wait_is_woken_when_its_run_is_late_and_at_the_end_of_patience():
    hour, now = timedelta(hours=1), datetime.now(UTC)
    sensor = waits(DEC_2, own_files, looked_for=f"{__name__}.places", late_after=3 * hour, patience=12 * hour)
    with pytest.raises(TaskDeferred) as early:
        sensor.execute(in_a_run(now - hour))
    assert early.value.trigger.patience_seconds == pytest.approx(2 * 3600, abs=5)
    began = now - 4 * hour
    with pytest.raises(TaskDeferred) as late:
        sensor.look_again(in_a_run(began), began.isoformat(), **early.value.kwargs)
    assert late.value.trigger.patience_seconds == pytest.approx(12 * 3600)


def test_a_late_day_raises_one_alert_and_waits_on(caplog: pytest.LogCaptureFixture):
    began = datetime.now(UTC) - timedelta(hours=4)
    sensor = waits(DEC_2, own_files, looked_for=f"{__name__}.places", late_after=timedelta(hours=3))
    kept: dict[str, bool] = {}
    for _ in range(3):
        with pytest.raises(TaskDeferred) as deferral:
            sensor.look_again(in_a_run(began), began.isoformat(), **kept)
        kept = deferral.value.kwargs
    (message,) = [record.getMessage() for record in caplog.records if record.name == "perennial.alerts"]
    assert message.startswith("ingest of 2017-12-02 is late: its run began at ")
    assert message.endswith(
        "it waits for its files, looked for at events/2017-12-02/*, users/2017-12-02.csv."
    )


def test_a_run_that_came_to_its_wait_late_raises_the_alert_at_the_first_look(
    caplog: pytest.LogCaptureFixture,
):
    sensor = waits(DEC_2, own_files, late_after=timedelta(hours=3))
    with pytest.raises(TaskDeferred) as deferral:
        sensor.execute(in_a_run(datetime.now(UTC) - timedelta(hours=4)))
    assert [record.name for record in caplog.records].count("perennial.alerts") == 1
    assert deferral.value.kwargs == {"alerted": True}


def test_a_wait_that_older_code_left_behind_goes_on():
    stored = {
        "watched": f"{__name__}.nothing",
        "given": {},
        "day": "2017-12-02",
        "since": datetime.now(UTC).isoformat(),
        "patience_seconds": 43200.0,
    }
    event = asyncio.run(first_event(Lookout(**stored)))
    sensor = waits(DEC_2, nothing, late_after=timedelta(hours=3))
    assert sensor.look_again({}, event.payload) is None


def test_a_question_that_fails_wakes_the_task_which_fails_with_its_words():
    sensor = waits(DEC_2, broken)
    event = asyncio.run(first_event(lookout(broken)))
    with pytest.raises(ConnectionError, match="the database is away"):
        sensor.look_again({}, event.payload)


def test_a_look_does_not_hold_up_the_other_triggers():
    async def longest_wait() -> float:
        looking, loop = asyncio.create_task(first_event(lookout(slow))), asyncio.get_running_loop()
        waits = []
        while not looking.done():
            began = loop.time()
            await asyncio.sleep(0.01)
            waits.append(loop.time() - began)
        return max(waits)

    assert asyncio.run(longest_wait()) < 0.3


def test_a_day_with_nothing_to_do_is_skipped_without_looking_further():
    sensor = waits(DEC_1, never_due, skip_if=lambda day: day == DEC_1)
    with pytest.raises(AirflowSkipException, match="2017-12-01"):
        sensor.execute({})
