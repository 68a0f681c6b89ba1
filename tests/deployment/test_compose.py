"""docker-compose.yaml keeps the compose specification, gives away no secret, and waits for what it needs."""

import ast
import json
import re
import shlex
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from perennial.foundation.settings import Settings
from tests.deployment.compose import COMPOSE, EXAMPLE, REPOSITORY, example, file, filled, services, variables

SECRET = re.compile(r"PASSWORD$|SECRET|FERNET|TOKEN$|REDISCLI_AUTH|_KEY$")
IN_AN_ADDRESS = re.compile(r"://[^/@\s]*:([^@\s]*)@")
COMMANDS = """
import json, sys
from airflow.cli import cli_parser
from mlflow.cli import server
for program, *arguments in json.load(sys.stdin):
    if program == "airflow":
        cli_parser.get_parser().parse_args(arguments)
    else:
        server.make_context("server", arguments[1:])
"""


def test_the_file_keeps_the_compose_specification() -> None:
    schema = json.loads((files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text())
    jsonschema.validate(file(), schema)


def test_every_service_that_the_design_asks_for_is_there() -> None:
    assert set(services()) == {
        *("postgres", "redis", "mlflow", "airflow-init", "api-server", "scheduler", "dag-processor"),
        *("triggerer", "worker", "worker-models"),
    }


def test_every_variable_is_documented_and_every_documented_one_is_used() -> None:
    used = {name for name, _, _ in variables(COMPOSE.read_text())}
    assert used == set(example())


def test_a_variable_has_a_default_that_is_documented_or_says_what_is_missing() -> None:
    for name, operator, text in variables(COMPOSE.read_text()):
        if operator == "?":
            assert ".env.example" in text, name
            assert example()[name] == "", f"{name} has a value that everybody knows"
        else:
            assert operator == "-", f"{name} has neither a default nor a sentence"
            assert example()[name] == text, name


def test_the_file_holds_no_secret() -> None:
    for service, node in services().items():
        for name, value in node.get("environment", {}).items():
            secrets = IN_AN_ADDRESS.findall(str(value)) + re.findall(r'"password": "([^"]*)"', str(value))
            if SECRET.search(name) and not str(value).startswith("/"):
                secrets.append(str(value))
            for secret in secrets:
                found = variables(secret)
                assert len(found) == 1, f"{service}: {name}"
                assert found[0][1] == "?", f"{service}: {name} has a default"
                assert secret.startswith("${"), f"{service}: {name}"
                assert secret.endswith("}"), f"{service}: {name}"


def test_neither_file_holds_what_looks_like_a_key() -> None:
    for path in (COMPOSE, EXAMPLE):
        assert re.findall(r"\b(?=\w*\d)(?=\w*[a-z])[A-Za-z0-9+/_-]{20,}={0,2}\b", path.read_text()) == []


def test_no_task_can_reach_airflows_database_or_the_key_that_signs_tokens() -> None:
    for service in ("worker", "worker-models"):
        environment = services()[service]["environment"]
        assert "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" not in environment
        assert "AIRFLOW__API_AUTH__JWT_SECRET" not in environment
        assert "AIRFLOW__CORE__FERNET_KEY" not in environment


def test_only_the_worker_that_takes_in_sees_contact_data() -> None:
    for service, node in services().items():
        mounts = any("/vault" in mount for mount in filled(node.get("volumes", []), {}))
        assert mounts == (service in ("worker", "airflow-init")), service
        assert ("PERENNIAL_PSEUDONYM_KEY" in node.get("environment", {})) == (service == "worker"), service


def test_only_pages_are_published_and_only_on_loopback() -> None:
    published = {name: node["ports"] for name, node in services().items() if "ports" in node}
    assert set(published) == {"api-server", "mlflow"}
    for ports in published.values():
        assert all(port.startswith("127.0.0.1:") for port in ports)


def test_whoever_is_waited_for_can_say_that_it_is_ready() -> None:
    for name, node in services().items():
        for needed, how in node.get("depends_on", {}).items():
            if how["condition"] == "service_completed_successfully":
                assert services()[needed]["restart"] == "no", f"{name} waits for ever for the end of {needed}"
            else:
                assert how["condition"] == "service_healthy", f"{name} does not wait for {needed}"
                assert "healthcheck" in services()[needed], f"{name} waits for {needed}, which cannot tell"


def test_every_service_but_the_init_is_started_again_and_watched() -> None:
    for name, node in services().items():
        if name != "airflow-init":
            assert node["restart"] == "unless-stopped", name
            assert "healthcheck" in node, name


def test_images_are_ours_or_have_a_version() -> None:
    for name, node in services().items():
        image, _, tag = node["image"].partition(":")
        assert (image == "perennial") == ("build" in node), name
        assert tag not in ("", "latest"), name


def test_volumes_and_configs_are_declared_and_used() -> None:
    for kind in ("volumes", "configs"):
        mounted = {
            mount["source"] if isinstance(mount, dict) else mount.partition(":")[0]
            for node in services().values()
            for mount in filled(node.get(kind, []), {})
        }
        assert {name for name in mounted if not name.startswith(("/", "."))} == set(file()[kind])
        assert all((REPOSITORY / name).exists() for name in mounted if name.startswith("."))


def test_every_setting_of_ours_is_a_field_of_settings() -> None:
    names = {
        name.removeprefix("PERENNIAL_").lower()
        for node in services().values()
        for name in node.get("environment", {})
        if name.startswith("PERENNIAL_")
    }
    assert names == set(Settings.model_fields)


def test_the_settings_of_a_worker_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {name: value or "made-up" for name, value in example().items()}
    secrets["PERENNIAL_PSEUDONYM_KEY"] = "made-up" * 5
    for service in ("worker", "worker-models"):
        for name, value in filled(services()[service]["environment"], secrets).items():
            if name.startswith("PERENNIAL_"):
                monkeypatch.setenv(name, value)
        assert Settings().ledger == "postgresql+psycopg2://perennial:made-up@postgres/perennial"


def test_the_connections_are_what_airflow_can_read() -> None:
    secrets = {name: value or "made-up" for name, value in example().items()}
    for service in ("worker", "worker-models", "api-server"):
        connection = json.loads(filled(services()[service]["environment"]["AIRFLOW_CONN_MLFLOW"], secrets))
        assert (connection["conn_type"], connection["host"], connection["port"]) == ("http", "mlflow", 5000)
        assert connection.get("password", "") == ("" if service == "api-server" else "made-up")


def test_airflow_and_mlflow_understand_every_command(tmp_path: Path) -> None:
    commands = []
    for node in services().values():
        command = filled(node.get("command", []), {})
        check = filled(node.get("healthcheck", {}).get("test", ""), {})
        commands += [
            line for line in (command, shlex.split(check)) if line and line[0] in ("airflow", "mlflow")
        ]
    assert len(commands) == 10
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS],
        env={"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor"},
        input=json.dumps(commands),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_every_queue_that_a_task_asks_for_has_a_worker() -> None:
    served = set()
    for node in services().values():
        command = node.get("command", [])
        if "--queues" in command:
            served |= set(command[command.index("--queues") + 1].split(","))
    environment = services()["scheduler"]["environment"]
    asked = {environment["AIRFLOW__OPERATORS__DEFAULT_QUEUE"]}
    for path in [*REPOSITORY.glob("dags/*.py"), *REPOSITORY.glob("include/perennial/orchestration/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "queue" and isinstance(node.value, ast.Constant):
                asked.add(node.value.value)
    assert asked <= served
