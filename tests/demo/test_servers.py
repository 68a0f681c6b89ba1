import contextlib
import json
import socket
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from perennial.demo import processes, servers
from perennial.demo.environment import State
from perennial.demo.errors import TroubleError


@pytest.fixture
def state(tmp_path: Path) -> State:
    ports = [free_port(), free_port()]
    return State(tmp_path / "state", *ports)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("field", "variable"),
    [("airflow_port", "PERENNIAL_AIRFLOW_PORT"), ("mlflow_port", "PERENNIAL_MLFLOW_PORT")],
)
def test_a_port_in_use_raises_an_error_that_says_what_to_do(state: State, field: str, variable: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(TroubleError) as trouble:
            servers.start(replace(state, **{field: port}), lambda line: None)
    assert f"Port {port}" in trouble.value.sentence
    assert variable in trouble.value.sentence
    assert not (state.root / "servers.json").exists()


def test_too_little_disk_space_raises_an_error(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "LEAST_FREE_BYTES", 2**60)
    with pytest.raises(TroubleError, match="are free"):
        servers.start(state, lambda line: None)


def test_stop_without_servers_ends_no_process(state: State) -> None:
    assert servers.stop(state) == 0


def test_stop_ends_the_recorded_servers_and_removes_the_record(state: State) -> None:
    state.workplace.mkdir(parents=True)
    leader = record_a_process(state)
    assert servers.stop(state) >= 1
    assert not leader.alive()
    assert not (state.root / "servers.json").exists()
    with pytest.raises(TroubleError, match="were stopped"):
        servers.require_alive(state)


def test_a_server_that_died_is_named_with_its_log(state: State) -> None:
    state.workplace.mkdir(parents=True)
    leader = record_a_process(state)
    servers.require_alive(state)
    processes.kill_all([leader])
    with pytest.raises(TroubleError, match="mlflow has ended") as trouble:
        servers.require_alive(state)
    assert trouble.value.log == state.logs / "mlflow.log"


def test_deadlines_that_older_code_left_in_airflows_database_are_removed(state: State) -> None:
    state.airflow_home.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(state.airflow_home / "airflow.db")) as database:
        database.execute("CREATE TABLE deadline (id TEXT)")
        database.execute("INSERT INTO deadline VALUES ('landing')")
        database.commit()
        servers._remove_deadlines(state)
        assert database.execute("SELECT id FROM deadline").fetchall() == []


def record_a_process(state: State) -> processes.Leader:
    code = "import time; time.sleep(600)"
    leader = processes.launch([sys.executable, "-c", code], {}, state.workplace, state.logs / "mlflow.log")
    recorded = {"mlflow": {"leader": {"pid": leader.pid, "started": leader.started}, "fingerprint": "x"}}
    (state.root / "servers.json").write_text(json.dumps(recorded))
    return leader
