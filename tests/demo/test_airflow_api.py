from collections.abc import Iterator
from datetime import date

import pytest

from perennial.demo import airflow_api
from perennial.demo.airflow_api import AirflowApi
from perennial.demo.errors import TroubleError
from tests.demo.airflow_double import PASSWORD, Double, run, serve


@pytest.fixture
def airflow() -> Iterator[Double]:
    with serve(Double()) as double:
        yield double


@pytest.fixture
def api(airflow: Double) -> AirflowApi:
    return AirflowApi(airflow.url, "admin", PASSWORD)


def test_all_pages_are_read(airflow: Double, api: AirflowApi) -> None:
    airflow.collections["dagRuns"] = [run("ingest", f"run {n}", "success") for n in range(250)]
    assert [dag_run.run for dag_run in api.runs()] == [f"run {n}" for n in range(250)]


def test_an_expired_login_is_renewed(airflow: Double, api: AirflowApi) -> None:
    assert api.runs() == []
    airflow.token = "second"
    assert api.runs() == []


def test_a_wrong_password_raises_an_error_with_a_sentence(airflow: Double) -> None:
    with pytest.raises(TroubleError, match="refused our login"):
        AirflowApi(airflow.url, "admin", "wrong").runs()


def test_a_refusal_contains_airflows_own_message(airflow: Double, api: AirflowApi) -> None:
    airflow.refuse = "There is already a running backfill for dag ingest"
    with pytest.raises(TroubleError, match="already a running backfill"):
        api.backfill("ingest", date(2017, 12, 1), date(2017, 12, 3), at_once=3)


def test_reading_waits_for_a_server_that_is_busy(airflow: Double, api: AirflowApi) -> None:
    assert api.runs() == []
    airflow.busy = 1
    assert api.runs() == []


def test_a_write_is_not_done_twice(airflow: Double, api: AirflowApi) -> None:
    assert api.runs() == []
    airflow.busy = 1
    with pytest.raises(TroubleError, match="503 busy"):
        api.trigger("load_history", "once", {})


def test_a_server_that_never_answers_raises_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(airflow_api, "PATIENCE_SECONDS", 0)
    with pytest.raises(TroubleError, match="does not answer"):
        AirflowApi("http://127.0.0.1:1", "admin", PASSWORD).runs()


def test_a_backfill_includes_its_last_day_at_any_hour_of_the_cron(airflow: Double, api: AirflowApi) -> None:
    api.backfill("ingest", date(2017, 12, 1), date(2017, 12, 3), at_once=3)
    _, _, body = airflow.requests[-1]
    assert (body["from_date"], body["to_date"]) == ("2017-12-01T00:00:00Z", "2017-12-03T23:59:59Z")
    assert body["reprocess_behavior"] == "none"
