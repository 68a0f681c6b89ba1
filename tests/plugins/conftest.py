"""A real Airflow web server with our plugins and its own database, where a DAG that returns links has run."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import pytest
import requests

REPOSITORY = Path(__file__).resolve().parents[2]
AIRFLOW = str(Path(sys.executable).with_name("airflow"))
RUN_ID = "0123456789abcdef0123456789abcdef"
PASSWORD = "only for this test"
DAG = f'''
from airflow.sdk import dag, task

@dag(schedule=None)
def linked():
    @task
    def trained() -> dict:
        return {{"mlflow_run": "{RUN_ID}", "report": "campaigns/18 and 19.html"}}

    @task
    def reported(page: str) -> dict:
        return {{"report": page}}

    @task
    def hostile() -> dict:
        return {{"mlflow_run": "x/../../evil", "report": "../secret.html"}}

    @task
    def plain() -> list[int]:
        return [1]

    @task
    def refused(ti=None) -> dict:
        ti.xcom_push("return_value", {{"report": "data_docs/2017-12-01/index.html"}})
        raise RuntimeError("a rule failed")

    @task(trigger_rule="all_done")
    def afterwards() -> None:
        """Lets the run succeed whatever came before."""

    refused() >> afterwards()
    trained()
    reported.expand(page=["a.html", "b.html"])
    hostile()
    plain()

linked()
'''


@dataclass(frozen=True)
class Server:
    """The address of the web server, and the folder of the reports."""

    url: str
    reports: Path

    def token(self) -> str:
        """A token for the user who may only read."""
        body = {"username": "ana", "password": PASSWORD}
        response = requests.post(f"{self.url}/auth/token", json=body, timeout=30)
        response.raise_for_status()
        return response.json()["access_token"]

    def get(self, path: str, token: str | None = None, accept: str = "text/html") -> "Answer":
        """One page as a browser asks for it, with its login in the cookie `_token`.

        The path is sent as it stands and no redirect is followed: a client library would tidy up "..".
        """
        connection = HTTPConnection(self.url.removeprefix("http://"), timeout=30)
        headers = {"Accept": accept} | ({"Cookie": f"_token={token}"} if token else {})
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        answer = Answer(response.status, dict(response.headers.items()), response.read().decode())
        connection.close()
        return answer


@dataclass(frozen=True)
class Answer:
    """A response; header names are in lower case."""

    status: int
    headers: dict[str, str]
    text: str


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("airflow")
    reports = home / "reports"
    (reports / "campaigns").mkdir(parents=True)
    (reports / "campaigns" / "18 and 19.html").write_text("<h1>Lift of campaign 18</h1>")
    (reports / "script<x>.html").write_text("<h1>odd name</h1>")
    (reports / "data_docs" / "2017-12-01").mkdir(parents=True)
    (reports / "data_docs" / "index.html").write_text("<h1>Data Docs</h1>")
    (reports / "data_docs" / "2017-12-01" / "items.html").write_text("<h1>items</h1>")
    (home / "secret.html").write_text("secret")
    (reports / "escape.html").symlink_to(home / "secret.html")
    (home / "dags").mkdir()
    (home / "dags" / "linked.py").write_text(DAG)
    (home / "passwords.json").write_text(json.dumps({"ana": PASSWORD}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **{
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AIRFLOW_", "PERENNIAL_"))
        },
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(REPOSITORY / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "ana:viewer",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW_CONN_MLFLOW": '{"conn_type": "http", "host": "mlflow", "port": 5000, "login": "admin", '
        '"password": "pw", "extra": {"public_url": "http://127.0.0.1:5000"}}',
        "PERENNIAL_REPORTS": str(reports),
        "PYTHONPATH": str(REPOSITORY / "include"),
    }
    log = home / "server.log"

    def airflow(*arguments: str) -> None:
        done = subprocess.run(
            [AIRFLOW, *arguments], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    airflow("db", "migrate")
    airflow("dags", "reserialize")
    airflow("dags", "test", "linked")
    command = [AIRFLOW, "api-server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    with (
        log.open("w") as output,
        subprocess.Popen(command, env=environment, stdout=output, stderr=output) as process,
    ):
        try:
            url = f"http://127.0.0.1:{port}"
            _await(url, process, log)
            yield Server(url, reports)
        finally:
            process.terminate()
            process.wait(timeout=30)


def _await(url: str, process: subprocess.Popen, log: Path) -> None:
    for _ in range(240):
        assert process.poll() is None, log.read_text()
        try:
            if requests.get(f"{url}/api/v2/version", timeout=5).ok:
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.5)
    raise AssertionError(log.read_text())
