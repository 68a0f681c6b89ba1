import asyncio
import logging
from datetime import date
from typing import Any

import pytest

from perennial.orchestration.alerts import day_is_late, tell


def day_before(day: date) -> date:
    return date(2017, 12, 1)


def own_files(day: date) -> date:
    return day


def nothing(day: date) -> None:
    return None


def broken(day: date) -> None:
    raise ConnectionError("the database is away")


def places(day: date) -> list[str]:
    return [f"events/{day}/*", f"users/{day}.csv"]


def alert(missing: str, **run: Any) -> str | None:
    """What Airflow gets when a run has missed its deadline."""
    known = {"dag_id": "ingest", "partition_key": "2017-12-02", "conf": None, "state": "running"}
    times = {"queued_at": "2017-12-03T03:00:00Z", "start_date": "2017-12-03T03:00:01Z"}
    context = {"dag_run": known | times | run, "deadline": {}}
    questions = {"watched": f"{__name__}.{missing}", "looked_for": f"{__name__}.places"}
    return asyncio.run(day_is_late(**questions, context=context))


def test_a_late_day_without_files_is_told_with_every_place(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.CRITICAL, "perennial.alerts"):
        sentence = alert("own_files")
    assert sentence == (
        "ingest of 2017-12-02 is late: queued at 2017-12-03T03:00:00Z and not done, it waits for its files, "
        "looked for at events/2017-12-02/*, users/2017-12-02.csv."
    )
    assert caplog.messages == [sentence]


def test_a_late_day_names_the_day_that_it_waits_for():
    assert "it waits for 2017-12-01." in alert("day_before")


def test_a_late_day_that_waits_for_nothing_sends_the_reader_to_its_tasks():
    assert "nothing seems to be missing" in alert("nothing")


def test_an_alert_is_given_also_when_nobody_knows_why():
    assert alert("broken").endswith("what it waits for could not be found out: the database is away.")


def test_the_day_of_a_run_by_hand_is_that_of_its_form():
    assert "ingest of 2017-12-05 is late" in alert(
        "own_files", partition_key=None, conf={"day": "2017-12-05"}
    )


@pytest.mark.parametrize("state", ["queued", "failed", "success"])
def test_a_run_that_has_not_begun_or_is_over_raises_no_alert(state: str, caplog: pytest.LogCaptureFixture):
    assert alert("own_files", state=state) is None
    assert caplog.messages == []


def test_a_task_that_found_something_tells_it_and_others_are_silent(caplog: pytest.LogCaptureFixture):
    class Task:
        dag_id, task_id = "score_customers", "watch"

    for returned in (None, 7, {"report": "models/2017-12-01.html"}):
        tell({"ti": Task()}, returned)
    assert not caplog.records
    tell({"ti": Task()}, {"alert": "customers have drifted"})
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("perennial.alerts", logging.CRITICAL)
    assert record.getMessage() == "score_customers.watch: customers have drifted"
