"""Every Airflow setting in docker-compose.yaml and Dockerfile exists in the Airflow that is installed."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from tests.deployment.compose import REPOSITORY, example, filled, services

SETTING = re.compile(r"AIRFLOW__([A-Z0-9_.]+?)__([A-Z0-9_]+)")
DESCRIBE = """
import json, sys
from airflow.configuration import conf
known = {}
for section, described in conf.configuration_description.items():
    for option, detail in described["options"].items():
        if "type" not in detail:
            continue  # a fallback that Airflow keeps for old releases of providers
        gone = bool(detail.get("version_deprecated") or detail.get("deprecation_reason"))
        known[f"{section}.{option}"] = {"type": detail["type"], "deprecated": gone}
for section, option, _ in conf.deprecated_options.values():
    known.setdefault(f"{section}.{option}", {"type": "string"})["deprecated"] = True
json.dump(known, sys.stdout)
"""
LOAD = """
import sqlalchemy
from sqlalchemy.ext.asyncio import create_async_engine
from airflow import settings
from airflow.configuration import conf
from airflow.executors.executor_loader import ExecutorLoader
assert ExecutorLoader.get_default_executor().__class__.__name__ == "CeleryExecutor"
settings.configure_vars()
sqlalchemy.create_engine(conf.get("celery", "result_backend").removeprefix("db+"))
sqlalchemy.create_engine(settings.SQL_ALCHEMY_CONN)
create_async_engine(settings.SQL_ALCHEMY_CONN_ASYNC)
"""


@dataclass(frozen=True)
class Setting:
    """One setting, where it was found, and its value."""

    where: str
    name: str
    value: str


def settings() -> list[Setting]:
    """All settings of the two files, with made-up secrets."""
    secrets = {name: value or "made-up" for name, value in example().items()}
    found = []
    for service, node in services().items():
        for variable, value in filled(node.get("environment", {}), secrets).items():
            if match := SETTING.fullmatch(variable):
                found.append(Setting(service, ".".join(match.groups()).lower(), value))
    dockerfile = (REPOSITORY / "Dockerfile").read_text()
    for section, option, value in re.findall(rf"{SETTING.pattern}=(\S+)", dockerfile):
        found.append(Setting("Dockerfile", f"{section}.{option}".lower(), value))
    return found


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """Every setting of the installed Airflow and its providers."""
    environment = os.environ | {"AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow"))}
    command = [sys.executable, "-c", DESCRIBE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_every_setting_is_known_and_in_force(known: dict[str, dict]) -> None:
    unknown = [(setting.where, setting.name) for setting in settings() if setting.name not in known]
    assert unknown == []
    assert [
        (setting.where, setting.name) for setting in settings() if known[setting.name]["deprecated"]
    ] == []


def test_a_setting_that_airflow_has_renamed_would_be_found(known: dict[str, dict]) -> None:
    assert known["webserver.secret_key"]["deprecated"]
    assert "core.no_such_key" not in known


def test_airflow_loads_the_executor_and_every_driver(tmp_path: Path) -> None:
    secrets = {name: value or "made-up" for name, value in example().items()}
    environment = {"AIRFLOW_HOME": str(tmp_path), **filled(services()["scheduler"]["environment"], secrets)}
    environment["AIRFLOW__CORE__FERNET_KEY"] = Fernet.generate_key().decode()
    environment["PYTHONPATH"] = str(REPOSITORY / "include")
    done = subprocess.run([sys.executable, "-c", LOAD], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_airflow_will_not_do_without_is_set() -> None:
    names = {(setting.where, setting.name) for setting in settings()}
    for service in ("airflow-init", "api-server", "scheduler", "dag-processor", "triggerer"):
        assert (service, "database.sql_alchemy_conn") in names
        assert (service, "api_auth.jwt_secret") in names
    for service in ("api-server", "scheduler", "worker", "worker-models"):
        assert (service, "celery.broker_url") in names
        assert (service, "core.execution_api_server_url") in names
        assert (service, "api.secret_key") in names
