"""Airflow imports every plugin in each of its processes, those of the tasks too: it has to be cheap."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
MEASURE = """
import sys, time
import airflow.sdk, airflow.plugins_manager
from airflow.sdk import BaseOperatorLink
started = time.process_time()
import perennial_links, perennial_reports
print(time.process_time() - started, *sorted({name.partition(".")[0] for name in sys.modules}))
"""
HEAVY = {
    "pandas",
    "torch",
    "mlflow",
    "great_expectations",
    "pyarrow",
    "duckdb",
    "ibis",
    "deltalake",
    "fastapi",
}


def test_importing_the_plugins_is_cheap_and_loads_nothing_heavy(tmp_path: Path) -> None:
    environment = os.environ | {
        "AIRFLOW_HOME": str(tmp_path),
        "PYTHONPATH": f"{REPOSITORY / 'include'}{os.pathsep}{REPOSITORY / 'plugins'}",
    }
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], env=environment, capture_output=True, text=True, check=True
    )
    seconds, *modules = done.stdout.splitlines()[-1].split()
    assert HEAVY.isdisjoint(modules)
    assert float(seconds) < 0.5
