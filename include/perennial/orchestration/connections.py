"""Airflow connections as the plain endpoints that everything below the DAG files takes."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from perennial.foundation.endpoint import Endpoint

if TYPE_CHECKING:
    from sqlalchemy import URL

_SCHEMES = {
    "mssql": "mssql+pymssql",
    "mysql": "mysql+pymysql",
    "oracle": "oracle+oracledb",
    "postgres": "postgresql+psycopg2",
    "postgresql": "postgresql+psycopg2",
    "redshift": "redshift+psycopg2",
    "snowflake": "snowflake",
    "sqlite": "sqlite",
    "trino": "trino",
}
"""Type of connection → what SQLAlchemy calls it; the extra `sqlalchemy_scheme` may say otherwise."""
_LIBPQ = ("sslmode", "sslrootcert", "sslcert", "sslkey", "application_name", "connect_timeout", "options")
_SNOWFLAKE = ("warehouse", "role")


def mlflow() -> Endpoint:
    """The MLflow server: the Airflow connection `mlflow`."""
    return _endpoint("mlflow")


def databases(ids: Iterable[str]) -> dict[str, str]:
    """Connections to databases as SQLAlchemy URLs, passwords and all: they are for no log.

    Raises:
        ValueError: there is no such connection, its type is unknown, or its driver is not installed.
    """
    return {conn_id: _url(conn_id) for conn_id in ids}


def _url(conn_id: str) -> str:
    # SQLAlchemy is loaded in tasks alone.
    from sqlalchemy.exc import ArgumentError

    try:
        found = Connection.get(conn_id)
    except AirflowNotFoundException:
        name = f"AIRFLOW_CONN_{conn_id.upper()}"
        raise ValueError(
            f"no connection {conn_id!r}: make it in Airflow, or set the variable {name}"
        ) from None
    try:
        url = _address(found)
        url.get_dialect().import_dbapi()
    except (ArgumentError, ImportError) as error:
        said = f"{error.name} is not installed" if isinstance(error, ModuleNotFoundError) else error
        raise ValueError(f"connection {conn_id} ({found.conn_type}): no driver: {said}") from None
    return url.render_as_string(hide_password=False)


def _address(found: Connection) -> "URL":
    from sqlalchemy import URL

    extra: dict[str, Any] = found.extra_dejson
    scheme = extra.get("sqlalchemy_scheme") or _SCHEMES.get(found.conn_type or "")
    if not scheme:
        raise ValueError(
            f"connection {found.conn_id}: found the type {found.conn_type!r}; allowed are "
            f"{', '.join(_SCHEMES)}, or any with the extra 'sqlalchemy_scheme'"
        )
    host, database = found.host, found.schema
    if scheme.startswith("sqlite"):
        return URL.create(scheme, database=host or database)
    query = {name: str(extra[name]) for name in _LIBPQ if scheme.startswith("postgresql") and name in extra}
    if scheme == "snowflake":
        host = extra.get("account") or host
        database = "/".join(filter(None, (extra.get("database"), database)))
        query = {name: str(extra[name]) for name in _SNOWFLAKE if name in extra}
    query |= extra.get("sqlalchemy_query") or {}
    return URL.create(
        scheme, found.login or None, found.password or None, host or None, found.port, database or None, query
    )


def _endpoint(conn_id: str) -> Endpoint:
    found = Connection.get(conn_id)
    host = found.host if "://" in (found.host or "") else f"{found.schema or 'http'}://{found.host}"
    url = f"{host}:{found.port}" if found.port else host
    return Endpoint(url, found.login or "", found.password or "")
