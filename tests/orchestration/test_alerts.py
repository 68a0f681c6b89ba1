import logging
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from perennial.orchestration import alerts
from perennial.orchestration.alerts import deadline, if_late, run_is_late, tell

BEGAN = datetime(2017, 12, 3, 3, tzinfo=UTC)


def context(began: datetime = BEGAN, key: str | None = "2017-12-02") -> dict[str, Any]:
    """What Airflow hands to a task of `ingest`."""
    run = SimpleNamespace(dag_id="ingest", partition_key=key, start_date=began)
    task = SimpleNamespace(dag_id="ingest", task_id="publish", try_number=2)
    return {"dag_run": run, "params": {"day": "2017-12-05"}, "ti": task}


def work(seconds: float, began: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that takes so long, in a run that is late after a tenth of a second."""
    monkeypatch.setattr(alerts, "get_current_context", lambda: context(began))
    with if_late(timedelta(seconds=0.1)):
        time.sleep(seconds)


def test_the_alert_about_a_late_day_says_since_when_and_why(caplog: pytest.LogCaptureFixture):
    run_is_late(context(), "it waits for 2017-12-01")
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("perennial.alerts", logging.CRITICAL)
    assert record.getMessage() == (
        "ingest of 2017-12-02 is late: its run began at 2017-12-03 03:00:00+00:00 and is not done; "
        "it waits for 2017-12-01."
    )


def test_the_day_of_a_run_by_hand_is_that_of_its_form(caplog: pytest.LogCaptureFixture):
    run_is_late(context(key=None), "it waits for 2017-12-01")
    assert caplog.messages[0].startswith("ingest of 2017-12-05 is late")


def test_a_run_is_late_so_long_after_it_began_whatever_its_day():
    assert deadline(context(), timedelta(hours=3)) == datetime(2017, 12, 3, 6, tzinfo=UTC)


def test_work_that_goes_on_when_the_run_is_late_raises_one_alert(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    work(0.5, datetime.now(UTC), monkeypatch)
    (message,) = caplog.messages
    assert message.endswith("is not done; its task publish is at work, try 2.")


def test_work_that_begins_when_the_run_is_late_raises_one_alert(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    work(0.2, BEGAN, monkeypatch)
    assert len(caplog.messages) == 1


def test_work_that_is_done_in_time_raises_no_alert(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    work(0, datetime.now(UTC), monkeypatch)
    time.sleep(0.3)
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
