"""Every Airflow setting that the demo makes is one that the installed Airflow knows."""

from pathlib import Path

import pytest
import yaml

from perennial.demo.environment import State


def known_options() -> set[str]:
    import importlib.util

    package = importlib.util.find_spec("airflow")
    assert package is not None
    assert package.submodule_search_locations is not None
    sections: dict[str, dict[str, dict[str, object]]] = {}
    for folder in package.submodule_search_locations:
        file = Path(folder) / "config_templates" / "config.yml"
        if file.exists():
            sections = yaml.safe_load(file.read_text())
    assert sections
    return {
        f"AIRFLOW__{section.upper()}__{name.upper()}"
        for section, content in sections.items()
        for name in content["options"]
    }


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    return State(tmp_path).settings()


def test_every_option_exists(settings: dict[str, str]) -> None:
    ours = {name for name in settings if name.startswith("AIRFLOW__")}
    assert ours - known_options() == set()


def test_every_preloaded_module_can_be_found(settings: dict[str, str]) -> None:
    import importlib.util

    for name in settings["AIRFLOW__CORE__MP_FORKSERVER_PRELOAD"].split(","):
        assert importlib.util.find_spec(name.partition(".")[0]) is not None, name
