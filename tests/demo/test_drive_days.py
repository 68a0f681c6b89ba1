from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from perennial.demo import drive_days
from perennial.demo.airflow_api import AirflowApi, Asset
from perennial.demo.drive_days import Board
from perennial.demo.errors import TroubleError
from tests.demo.airflow_double import PASSWORD, Double, run, serve, task

ASSETS = [
    {"name": "shop_day", "producing_tasks": ["ingest", "load_history"], "scheduled_dags": ["build_profiles"]},
    {"name": "profiles", "producing_tasks": ["build_profiles"], "scheduled_dags": ["train_models"]},
]
DAGS = ("load_history", "ingest", "build_profiles", "train_models")
UPKEEP = "maintain_lake"


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Double]:
    monkeypatch.setattr(drive_days, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(drive_days, "STALLED_SECONDS", 0.05)
    double = Double()
    double.collections["assets"] = [
        {
            name: [{"dag_id": dag} for dag in value] if isinstance(value, list) else value
            for name, value in asset.items()
        }
        for asset in ASSETS
    ]
    double.collections["dags"] = [{"dag_id": dag, "is_paused": False} for dag in (*DAGS, UPKEEP)]
    with serve(double):
        yield double


@pytest.fixture
def drive(airflow: Double, tmp_path: Path) -> Callable[[], Board]:
    for dag in (*DAGS, UPKEEP):
        (tmp_path / f"{dag}.py").touch()
    api = AirflowApi(airflow.url, "admin", PASSWORD)
    return lambda: drive_days.drive(api, tmp_path, tmp_path / "logs", lambda board: None)


def everything(state: str = "success") -> list[dict[str, object]]:
    keys = [str(drive_days.HISTORY_LAST), *map(str, drive_days.days())]
    runs = [run("load_history", drive_days.HISTORY_RUN, state)]
    runs += [run("ingest", f"i {key}", state, key) for key in keys[1:]]
    runs += [run(dag, f"{dag} {key}", state, key) for dag in DAGS[2:] for key in keys]
    return [run(UPKEEP, drive_days.UPKEEP_RUN, state), *runs]


def writes(double: Double) -> list[tuple[str, str]]:
    return [(method, path) for method, path, _ in double.requests if method != "GET"]


def test_the_order_of_dags_is_read_from_the_assets() -> None:
    def asset(name: str, producer: str, *consumers: str) -> Asset:
        return Asset(name, frozenset([producer]), frozenset(consumers))

    assets = [asset("b", "two", "three"), asset("a", "one", "two", "four"), asset("c", "three")]
    assert drive_days.downstream(assets, "one") == ["four", "two", "three"]


def test_successful_runs_are_not_repeated(airflow: Double, drive: Callable[[], Board]) -> None:
    airflow.collections["dagRuns"] = everything()
    board = drive()
    assert {board.state(step) for step in board.steps} == {"success"}
    assert writes(airflow) == []


def test_a_missing_history_is_triggered_and_missing_days_are_backfilled(
    airflow: Double, drive: Callable[[], Board]
) -> None:
    with pytest.raises(TroubleError, match="load_history was not run for 2017-11-30"):
        drive()
    assert writes(airflow) == [("POST", "/api/v2/dags/load_history/dagRuns")]
    _, _, body = airflow.requests[[r[1] for r in airflow.requests].index("/api/v2/dags/load_history/dagRuns")]
    assert body["conf"] == {"first_day": "2017-01-01", "last_day": "2017-11-30"}
    airflow.requests.clear()
    airflow.collections["dagRuns"] = [
        dag_run for dag_run in everything() if dag_run["partition_key"] in (None, "2017-11-30")
    ]
    with pytest.raises(TroubleError, match="was not run for 2017-12-01"):
        drive()
    assert writes(airflow) == [("POST", "/api/v2/backfills")]


def test_the_lake_is_maintained_after_all_days(airflow: Double, drive: Callable[[], Board]) -> None:
    airflow.collections["dagRuns"] = everything()[1:]
    with pytest.raises(TroubleError, match="maintain_lake was not run for 2017-12-03"):
        drive()
    assert writes(airflow) == [("POST", "/api/v2/dags/maintain_lake/dagRuns")]


def test_a_run_that_failed_before_is_cleared(airflow: Double, drive: Callable[[], Board]) -> None:
    airflow.collections["dagRuns"] = everything()
    airflow.collections["dagRuns"][-1]["state"] = "failed"
    with pytest.raises(TroubleError, match="train_models failed for 2017-12-03"):
        drive()
    assert writes(airflow) == [
        ("POST", "/api/v2/dags/train_models/dagRuns/train_models 2017-12-03/clear".replace(" ", "%20"))
    ]


def test_a_failed_task_is_named_with_its_log(
    airflow: Double, drive: Callable[[], Board], tmp_path: Path
) -> None:
    airflow.collections["dagRuns"] = everything()
    airflow.collections["dagRuns"][-1]["state"] = "running"
    failed = task("train_models", "train_models 2017-12-03", "fit", "failed", index=2, attempt=3)
    airflow.collections["taskInstances"] = [failed]
    with pytest.raises(TroubleError, match=r"Task fit\[2\] of train_models failed") as trouble:
        drive()
    folder = tmp_path / "logs/dag_id=train_models/run_id=train_models 2017-12-03/task_id=fit/map_index=2"
    assert trouble.value.log == folder / "attempt=3.log"


def test_a_failure_of_another_day_is_ignored(airflow: Double, drive: Callable[[], Board]) -> None:
    airflow.collections["dagRuns"] = [*everything(), run("ingest", "yesterday", "failed", "2026-01-01")]
    airflow.collections["taskInstances"] = [task("ingest", "yesterday", "publish", "failed")]
    drive()
    assert writes(airflow) == []


def test_a_dag_file_that_cannot_be_read_is_named(
    airflow: Double, drive: Callable[[], Board], tmp_path: Path
) -> None:
    (tmp_path / "broken.py").touch()
    trace = "Traceback…\nSyntaxError: invalid syntax"
    airflow.collections["importErrors"] = [{"filename": "broken.py", "stack_trace": trace}]
    with pytest.raises(TroubleError, match=r"broken\.py: SyntaxError"):
        drive()


def test_a_paused_dag_is_unpaused(airflow: Double, drive: Callable[[], Board]) -> None:
    airflow.collections["dagRuns"] = everything()
    airflow.collections["dags"][1]["is_paused"] = True
    drive()
    assert writes(airflow) == [("PATCH", "/api/v2/dags/ingest")]
