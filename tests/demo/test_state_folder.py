"""`make clean` deletes what the demo made, and refuses a folder that contains anything else."""

import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from perennial.demo import __main__ as demo
from perennial.demo import complete_journey, install, servers, state_folder
from perennial.demo.environment import REPOSITORY, State
from perennial.demo.errors import TroubleError


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that PERENNIAL_STATE names, which does not exist yet."""
    path = tmp_path / "state"
    monkeypatch.setenv("PERENNIAL_STATE", str(path))
    return path


def write(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"text of {name}")


def made_by_a_run(root: Path) -> None:
    """The content of a state folder after `make run` of a version without the marker."""
    State(root).write_credentials()
    (root / state_folder.MARKER).unlink(missing_ok=True)
    write(root, "airflow/airflow.db", "airflow/airflow.cfg", "mlflow/mlflow.db", "mlflow/artifacts/1/model")
    write(root, "ledger.db", "ledger.db-shm", "ledger.db-wal", "logs/mlflow.log", "logs/tasks/a/b.log")
    write(root, "lake/events/_delta_log/0.json", "vault/contacts/0.parquet", "reports/index.html")
    write(root, *(f"landing/{table}/2017-12-01/{name}.parquet" for table, name in state_folder.LANDING_FILES))
    write(root, "landing/.complete_journey.json", "landing/items/2017-12-01/.products.parquet.77")
    (root / "lock").touch()
    (root / "logs" / "latest").symlink_to(root / "logs" / "tasks")
    (root / "staging").mkdir()


def clean() -> None:
    demo.clean(Console(quiet=True))


def tree(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def refused(folder: Path, *names: str) -> None:
    """Clean refuses with an error that contains these names, and deletes nothing."""
    before = tree(folder)
    with pytest.raises(TroubleError) as trouble:
        clean()
    for name in (str(folder.resolve()), "Allowed is", *names):
        assert name in trouble.value.sentence
    assert tree(folder) == before


def test_a_folder_with_the_users_own_files_stays_even_with_a_file_called_env(root: Path):
    write(root, "env", "Documents/thesis.txt", "photos/a.jpg")
    refused(root, "Documents", "photos", "env")
    write(root, "1", "2", "3", "4", "5")
    refused(root, "1, 2, 3, 4, 5 and 3 more")


@pytest.mark.parametrize("name", ["notes.txt", "config/sources.yaml", ".git/HEAD", "reports/.git/HEAD"])
def test_a_file_of_the_users_beside_the_demos_stops_clean(root: Path, name: str):
    made_by_a_run(root)
    write(root, name)
    refused(root, name.removesuffix("/HEAD").removesuffix("/sources.yaml"))


@pytest.mark.parametrize(
    "name",
    [
        "events/2024-05-02/orders.csv",
        "invoices/2024-12-08/invoices.csv",
        "events/2024-05-02/products.parquet",
    ],
)
def test_a_landing_file_that_is_not_the_demo_shops_stops_clean(root: Path, name: str):
    made_by_a_run(root)
    write(root, f"landing/{name}")
    refused(root, f"landing/{name}")


def test_what_was_there_before_the_demo_stops_clean_though_it_has_a_name_of_the_demos(root: Path):
    write(root, "reports/taxes.txt", "logs/app.log", "env")
    State(root).write_credentials()
    assert "text of env" in (root / "env").read_text()
    refused(root, "env, logs, reports")


def test_a_link_in_the_folder_stops_clean_and_what_it_leads_to_stays(root: Path, tmp_path: Path):
    made_by_a_run(root)
    write(tmp_path, "elsewhere/mine.txt")
    (root / "evaluations").symlink_to(tmp_path / "elsewhere")
    refused(root, "evaluations")
    (root / "evaluations").unlink()
    (root / "landing" / "mine").symlink_to(tmp_path / "elsewhere")
    refused(root, "landing/mine")
    (root / "landing" / "mine").unlink()
    clean()
    assert not root.exists()
    assert (tmp_path / "elsewhere" / "mine.txt").exists()


def test_a_link_to_a_folder_is_judged_by_what_it_leads_to(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PERENNIAL_STATE", str(tmp_path / "link"))
    (tmp_path / "link").symlink_to(root)
    write(root, "mine.txt")
    refused(root, "mine.txt")


def test_the_home_folder_and_the_repository_are_never_removed(root: Path, monkeypatch: pytest.MonkeyPatch):
    made_by_a_run(root)
    monkeypatch.setenv("HOME", str(root))
    refused(root, "lake")
    for place in (REPOSITORY, REPOSITORY.parent, Path("/")):
        with pytest.raises(TroubleError, match="Allowed is"):
            state_folder.require_removable(place)


def test_a_folder_that_a_version_without_the_marker_made_is_removed(root: Path):
    made_by_a_run(root)
    clean()
    assert not root.exists()


def test_a_folder_that_this_version_made_is_removed(root: Path):
    State(root).write_credentials()
    assert (root / state_folder.MARKER).exists()
    write(root, "lake/events/0.parquet")
    clean()
    assert not root.exists()


def test_a_half_made_folder_is_removed(root: Path):
    write(root, "logs/install.log")
    (root / "lock").touch()
    clean()
    assert not root.exists()
    state_folder.mark(root)
    clean()
    assert not root.exists()


def test_a_folder_that_is_empty_or_not_there_is_left_as_it_is(root: Path):
    clean()
    assert not root.exists()
    root.mkdir()
    clean()
    assert root.exists()


def test_a_removal_that_was_killed_is_finished_by_the_next(root: Path, monkeypatch: pytest.MonkeyPatch):
    made_by_a_run(root)
    monkeypatch.setattr(state_folder.shutil, "rmtree", lambda path: (_ for _ in ()).throw(OSError("no")))
    with pytest.raises(TroubleError, match="could not be removed completely"):
        clean()
    monkeypatch.undo()
    assert state_folder.remove(root)
    assert not root.exists()


def test_clean_without_a_virtual_environment_keeps_the_same_rules(root: Path):
    python = f"PYTHON={sys.executable} -S"
    command = ["make", "-s", "clean", "VENV_PYTHON=/nowhere", python]
    write(root, "mine.txt")
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "mine.txt" in done.stderr
    (root / "mine.txt").unlink()
    made_by_a_run(root)
    subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=True)
    assert not root.exists()


def test_the_landing_files_are_those_of_the_demo_shop():
    assert sorted(state_folder.LANDING_FILES) == sorted(complete_journey._tables())


def test_stop_leaves_a_file_called_servers_json_that_is_not_the_demos(root: Path):
    write(root, "servers.json")
    for text in ('{"web": {"port": 80}}', "[]", "no JSON"):
        (root / "servers.json").write_text(text)
        with pytest.raises(TroubleError, match=r"servers.json is not the demo's"):
            servers.stop(State(root))
        assert (root / "servers.json").read_text() == text
    (root / "servers.json").write_text("{}")
    servers.stop(State(root))
    assert (root / "servers.json").exists()


def test_a_users_own_lines_in_a_file_called_env_stay(root: Path):
    write(root, "env")
    (root / "env").write_text("# mine\nTOKEN=a=b\n")
    secrets = dict(State(root).secrets)
    assert (root / "env").read_text().startswith("# mine\nTOKEN=a=b\n")
    assert dict(State(root).secrets) == secrets


def test_an_install_deletes_no_log_and_clears_no_folder_that_is_no_environment(root: Path):
    write(root, "logs/install.log", ".venv/mine.txt")
    log = install._log("install")
    assert log.read_text() == "text of logs/install.log"
    with pytest.raises(install.InstallError, match="is not a virtual environment"):
        install._make(root / ".venv", log)
    assert (root / ".venv" / "mine.txt").exists()


@pytest.mark.parametrize("content", ["{}", '"lake"', "[1]", "no JSON"])
def test_a_marker_that_is_no_list_of_names_stops_clean(root: Path, content: str):
    root.mkdir(parents=True, exist_ok=True)
    (root / state_folder.MARKER).write_text(content)
    with pytest.raises(TroubleError, match="must be a JSON list of names"):
        state_folder.remove(root)
    assert root.exists()
