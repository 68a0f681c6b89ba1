"""Airflow connections as plain endpoints and URLs, which the code below the DAG files takes."""

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
"""Type of connection → SQLAlchemy's name for it; a connection's extra `sqlalchemy_scheme` overrides it."""
_LIBPQ = ("sslmode", "sslrootcert", "sslcert", "sslkey", "application_name", "connect_timeout", "options")
_SNOWFLAKE = ("warehouse", "role")


def mlflow() -> Endpoint:
    """The MLflow server: the Airflow connection `mlflow`."""
    return _endpoint("mlflow")


def databases(ids: Iterable[str]) -> dict[str, str]:
    """Connections to databases as SQLAlchemy URLs. They contain passwords: never log them.

    Raises:
        ValueError: there is no such connection, its type is unknown, or its driver is not installed.
    """
    return {conn_id: _url(conn_id) for conn_id in ids}


def _url(conn_id: str) -> str:
    # SQLAlchemy is loaded in tasks alone.
    from sqlalchemy.exc import ArgumentError

    try:
        connection = Connection.get(conn_id)
    except AirflowNotFoundException:
        name = f"AIRFLOW_CONN_{conn_id.upper()}"
        raise ValueError(
            f"no connection {conn_id!r}: make it in Airflow, or set the variable {name}"
        ) from None
    try:
        url = _address(connection)
        url.get_dialect().import_dbapi()
    except (ArgumentError, ImportError) as error:
        cause = f"{error.name} is not installed" if isinstance(error, ModuleNotFoundError) else error
        raise ValueError(f"connection {conn_id} ({connection.conn_type}): no driver: {cause}") from None
    return url.render_as_string(hide_password=False)


def _address(connection: Connection) -> "URL":
    from sqlalchemy import URL

    extra: dict[str, Any] = connection.extra_dejson
    scheme = extra.get("sqlalchemy_scheme") or _SCHEMES.get(connection.conn_type or "")
    if not scheme:
        raise ValueError(
            f"connection {connection.conn_id}: found the type {connection.conn_type!r}; allowed are "
            f"{', '.join(_SCHEMES)}, or any with the extra 'sqlalchemy_scheme'"
        )
    host, database = connection.host, connection.schema
    if scheme.startswith("sqlite"):
        return URL.create(scheme, database=host or database)
    query = {name: str(extra[name]) for name in _LIBPQ if scheme.startswith("postgresql") and name in extra}
    if scheme == "snowflake":
        host = extra.get("account") or host
        database = "/".join(filter(None, (extra.get("database"), database)))
        query = {name: str(extra[name]) for name in _SNOWFLAKE if name in extra}
    query |= extra.get("sqlalchemy_query") or {}
    return URL.create(
        scheme,
        connection.login or None,
        connection.password or None,
        host or None,
        connection.port,
        database or None,
        query,
    )


def _endpoint(conn_id: str) -> Endpoint:
    connection = Connection.get(conn_id)
    host = connection.host or ""
    if "://" not in host:
        host = f"{connection.schema or 'http'}://{connection.host}"
    url = f"{host}:{connection.port}" if connection.port else host
    return Endpoint(url, connection.login or "", connection.password or "")
