"""What importing a DAG file loads, and how long it takes beyond Airflow's own import."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("pandas", "torch", "mlflow", "great_expectations", "transformers", "lightgbm", "sklearn", "duckdb")
PROBE = """
import json, runpy, sys, time
import airflow.sdk, airflow.sdk.exceptions
before = set(sys.modules)
seconds = {}
for path in sys.argv[1:]:
    start = time.process_time()
    runpy.run_path(path)
    seconds[path] = time.process_time() - start
print(json.dumps([seconds, sorted(set(sys.modules) - before)]))
"""


def measure(airflow_home: Path) -> tuple[dict[str, float], list[str]]:
    """Import every DAG file in a fresh process: CPU seconds of each, and the modules that they loaded."""
    paths = [str(path) for path in sorted((ROOT / "dags").glob("*.py"))]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "include"), "AIRFLOW_HOME": str(airflow_home)}
    command = [sys.executable, "-c", PROBE, *paths]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    seconds, modules = json.loads(found.stdout.splitlines()[-1])
    return seconds, modules


def heavy(modules: list[str]) -> list[str]:
    """Those of the modules that only tasks may load."""
    return sorted({module.split(".")[0] for module in modules} & set(HEAVY))


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, float], list[str]]:
    return measure(tmp_path_factory.mktemp("airflow"))


def test_a_dag_file_is_imported_in_under_half_a_second(probe: tuple[dict[str, float], list[str]]):
    assert probe[0]
    for path, seconds in probe[0].items():
        assert seconds < 0.5, path


def test_importing_dag_files_loads_nothing_heavy(probe: tuple[dict[str, float], list[str]]):
    assert heavy(probe[1]) == []
