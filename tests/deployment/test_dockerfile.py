"""The image holds what the services need, from the pins that the tests ran with."""

import re
from fnmatch import fnmatch

import pytest

from tests.deployment.compose import REPOSITORY, services

DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()


@pytest.fixture(scope="module")
def pins() -> dict[str, str]:
    """The version of every package in constraints.txt."""
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def copied() -> list[str]:
    """The sources of every COPY."""
    sources = []
    for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE):
        *from_here, _ = line.split()
        sources += [source.rstrip("/") for source in from_here]
    return sources


def test_what_is_copied_exists_and_reaches_the_engine() -> None:
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    kept = [line.removeprefix("!") for line in lines if line.startswith("!")]
    assert copied() == ["requirements.txt", "constraints.txt", "include", "plugins", "dags"]
    for source in copied():
        assert (REPOSITORY / source).exists(), source
        assert any(fnmatch(source, pattern) for pattern in kept), f"{source} is ignored"
    assert set(kept) <= set(copied())


def test_the_version_that_the_file_names_is_the_one_that_is_pinned(pins: dict[str, str]) -> None:
    assert re.findall(r"Airflow (\d[\d.]+\d)", DOCKERFILE) == [pins["apache-airflow"]]
    assert pins["apache-airflow"] == pins["apache-airflow-core"]


def test_the_pins_bring_no_graphics_card_packages_and_all_drivers(pins: dict[str, str]) -> None:
    assert pins["torch"] == "2.13.0"
    assert [name for name in pins if name.startswith(("nvidia-", "cuda-", "triton"))] == []
    for driver in ("psycopg2-binary", "asyncpg", "redis", "celery", "apache-airflow-providers-celery"):
        assert driver in pins


def test_every_pin_is_used_and_nothing_is_installed_beside_them() -> None:
    installs = re.findall(r"pip install(?:[^\n]*\\\n)*[^\n]*", DOCKERFILE)
    assert len(installs) == 1
    assert "--constraint /opt/perennial/constraints.txt" in installs[0]
    assert "--requirement /opt/perennial/requirements.txt" in installs[0]


def test_services_run_as_a_user_without_rights() -> None:
    users = re.findall(r"^USER (\w+)$", DOCKERFILE, re.MULTILINE)
    assert users == ["airflow"]
    assert DOCKERFILE.index("USER airflow") > DOCKERFILE.index("COPY dags/")
    assert not any("user" in node or "privileged" in node for node in services().values())


def test_a_new_volume_belongs_to_the_user_of_the_image() -> None:
    owned = set(re.findall(r"^\s+(/\S+ .*?)(?: \\)?$", DOCKERFILE, re.MULTILINE))
    folders = {folder for line in owned for folder in line.split() if folder.startswith("/")}
    for name, node in services().items():
        if node["image"] == "perennial:local":
            targets = [mount.removesuffix(":ro").rpartition(":")[2] for mount in node.get("volumes", [])]
            for target in targets:
                assert target in folders or target == "/opt/perennial/include/config", f"{name}: {target}"


def test_code_and_settings_lie_where_the_environment_says() -> None:
    assert "PYTHONPATH=/opt/perennial/include" in DOCKERFILE
    assert "COPY include/ /opt/perennial/include/" in DOCKERFILE
    assert "AIRFLOW__CORE__DAGS_FOLDER=/opt/perennial/dags" in DOCKERFILE
    assert "COPY dags/ /opt/perennial/dags/" in DOCKERFILE
    assert "AIRFLOW__CORE__PLUGINS_FOLDER=/opt/perennial/plugins" in DOCKERFILE
    assert "COPY plugins/ /opt/perennial/plugins/" in DOCKERFILE
