"""Airflow connections as the plain endpoints that everything below the DAG files takes."""

from airflow.sdk import Connection

from perennial.foundation.endpoint import Endpoint


def mlflow() -> Endpoint:
    """The MLflow server: the Airflow connection `mlflow`."""
    return _endpoint("mlflow")


def _endpoint(conn_id: str) -> Endpoint:
    found = Connection.get(conn_id)
    host = found.host if "://" in (found.host or "") else f"{found.schema or 'http'}://{found.host}"
    url = f"{host}:{found.port}" if found.port else host
    return Endpoint(url, found.login or "", found.password or "")
