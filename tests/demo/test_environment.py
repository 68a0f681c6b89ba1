import json
import stat
from pathlib import Path

import pytest

from perennial.demo.environment import REPOSITORY, State


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state", 18081, 15001)


def test_secrets_are_made_once_and_only_the_owner_can_read_them(state: State) -> None:
    first = dict(state.secrets)
    file = state.root / "env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(set(first.values())) == len(first)
    assert dict(State(state.root).secrets) == first
    assert file.read_text() == "".join(f"{name}={value}\n" for name, value in first.items())


def test_a_lost_secret_is_made_again_and_the_others_are_kept(state: State) -> None:
    before = dict(state.secrets)
    kept = [line for line in (state.root / "env").read_text().splitlines() if "FERNET" not in line]
    (state.root / "env").write_text("\n".join(kept))
    after = dict(State(state.root).secrets)
    assert after["AIRFLOW_FERNET_KEY"] not in ("", before["AIRFLOW_FERNET_KEY"])
    assert {**after, "AIRFLOW_FERNET_KEY": ""} == {**before, "AIRFLOW_FERNET_KEY": ""}


def test_the_files_with_logins_are_private(state: State) -> None:
    state.write_credentials()
    for file in (state.airflow_home / "passwords.json", state.mlflow_home / "auth.ini"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_servers_bind_to_loopback_and_require_a_login(state: State) -> None:
    settings = state.settings()
    assert settings["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert settings["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] == "admin:admin"
    assert "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS" not in settings


def test_tasks_reach_mlflow_by_a_connection_with_its_login(state: State) -> None:
    connection = json.loads(state.settings()["AIRFLOW_CONN_MLFLOW"])
    assert (connection["host"], connection["port"]) == ("127.0.0.1", 15001)
    assert (connection["login"], connection["password"]) == ("admin", state.secrets["MLFLOW_PASSWORD"])


def test_inherited_airflow_settings_do_not_reach_the_servers(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    monkeypatch.setenv("AIRFLOW__CORE__UNIT_TEST_MODE", "True")
    environment = state.environment()
    assert environment["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert "AIRFLOW__CORE__UNIT_TEST_MODE" not in environment


def test_the_environment_names_folder_ports_and_dags() -> None:
    named = {
        "PERENNIAL_STATE": "somewhere",
        "PERENNIAL_AIRFLOW_PORT": "1234",
        "PERENNIAL_MLFLOW_PORT": "1235",
    }
    assert State.from_environment(named) == State(Path("somewhere").resolve(), 1234, 1235)
    assert State.from_environment({}) == State(REPOSITORY / ".perennial", 8080, 5000)
