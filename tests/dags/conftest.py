"""The DAG files as Airflow itself reads them."""

import json
import os
import tempfile

# Airflow reads its home when it is first imported; the tests get one of their own.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="perennial-airflow-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.encoders import small_encoder, two_encoders
from tests.learning import endpoint

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

__all__ = ["endpoint", "small_encoder", "two_encoders"]

DAGS_FOLDER = Path(__file__).resolve().parents[2] / "dags"


@pytest.fixture(scope="session")
def metadata_database() -> None:
    """Airflow's own tables, in the home of the tests."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture
def airflow(metadata_database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow can run the DAGs of the folder by `dag.test()`."""
    bundle = {
        "name": "dags-folder",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(DAGS_FOLDER)},
    }
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))


@pytest.fixture(scope="session")
def bag() -> "DagBag":
    """All DAGs of the folder."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(dag_folder=DAGS_FOLDER)
