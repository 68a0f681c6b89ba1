"""Airflow connections as SQLAlchemy URLs, asked for real where a database can be had."""

import getpass
import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from perennial.ingestion import reading
from perennial.ingestion.source_settings import Query
from perennial.orchestration import connections

PASSWORD = "p/w:#é@ %20"
SERVER = {"login": "us@er", "password": PASSWORD, "host": "db.example", "port": 5433, "schema": "shop"}
POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]


def connect(monkeypatch: pytest.MonkeyPatch, **parts: Any) -> str:
    """The URL of a connection as somebody would declare it."""
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(parts))
    return connections.databases(["warehouse"])["warehouse"]


def test_a_connection_becomes_the_url_of_its_database(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        sa.URL, "get_dialect", lambda url: type("Driver", (), {"import_dbapi": staticmethod(int)})
    )
    url = connect(monkeypatch, conn_type="postgres", **SERVER, extra={"sslmode": "require", "cursor": "dict"})
    found = sa.make_url(url)
    assert (found.username, found.password, found.host, found.port, found.database) == tuple(SERVER.values())
    assert dict(found.query) == {"sslmode": "require"}
    schemes = {
        "mysql": "mysql+pymysql",
        "mssql": "mssql+pymssql",
        "trino": "trino",
        "oracle": "oracle+oracledb",
    }
    for kind, scheme in schemes.items():
        found = sa.make_url(connect(monkeypatch, conn_type=kind, **SERVER))
        assert (found.drivername, found.password) == (scheme, PASSWORD)
    extra = {"sqlalchemy_scheme": "duckdb", "sqlalchemy_query": {"access_mode": "read_only"}}
    assert (
        connect(monkeypatch, conn_type="generic", host="h", extra=extra) == "duckdb://h?access_mode=read_only"
    )
    extra = {"account": "ab1.eu", "database": "lake", "warehouse": "small", "role": "reader", "region": "x"}
    found = sa.make_url(
        connect(monkeypatch, conn_type="snowflake", login="me", password=PASSWORD, schema="shop", extra=extra)
    )
    assert (found.host, found.database, dict(found.query)) == (
        "ab1.eu",
        "lake/shop",
        {"warehouse": "small", "role": "reader"},
    )


def test_what_cannot_be_asked_is_said_without_the_password(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ValueError, match="found the type 'http'; allowed are mssql, mysql") as refused:
        connect(monkeypatch, conn_type="http", **SERVER)
    assert PASSWORD not in str(refused.value)
    with pytest.raises(ValueError, match=r"connection warehouse \(trino\): no driver: .*trino") as refused:
        connect(monkeypatch, conn_type="trino", **SERVER)
    assert PASSWORD not in str(refused.value)
    with pytest.raises(
        ValueError, match=r"no connection 'nobody': make it in Airflow, or set .* AIRFLOW_CONN_NOBODY"
    ):
        connections.databases(["nobody"])
    assert connections.databases([]) == {}


def asked(url: str, folder: Path) -> list[dict[str, Any]]:
    """What a database says of a day, as ingestion reads it."""
    query = Query(connection="warehouse", query="SELECT * FROM orders WHERE day = {day}")
    reading.ask(url, query, date(2024, 5, 2), folder / "answer.parquet")
    return pq.read_table(folder / "answer.parquet").to_pylist()


def fill(url: str) -> None:
    with sa.create_engine(url).begin() as connection:
        connection.execute(sa.text("CREATE TABLE orders (no INTEGER, day DATE, paid NUMERIC(8, 2))"))
        connection.execute(sa.text("INSERT INTO orders VALUES (1, '2024-05-02', 4.50), (2, '2024-05-03', 5)"))


def test_sqlite_is_asked_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    url = connect(monkeypatch, conn_type="sqlite", host=str(tmp_path / "our shop.db"))
    fill(url)
    assert asked(url, tmp_path) == [
        {"no": "1", "day": "2024-05-02", "paid": "4.5", "_line": 1, "_broken": None}
    ]


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[int]:
    """The port of a server that wants the password."""
    if not POSTGRES:
        pytest.skip("no Postgres on this machine")
    as_user = {"user": "postgres", "group": "postgres"} if getpass.getuser() == "root" else {}
    home = Path(
        subprocess.run(["mktemp", "-d"], check=True, capture_output=True, text=True, **as_user).stdout.strip()
    )
    (tmp_path / "password").write_text(PASSWORD)
    tmp_path.chmod(0o755)
    shutil.copy(tmp_path / "password", home / "password")
    (home / "password").chmod(0o644)
    init = [POSTGRES[0] / "initdb", "-D", home / "data", "-U", "us@er", "-A", "scram-sha-256", "-E", "UTF8"]
    subprocess.run([*init, f"--pwfile={home / 'password'}"], check=True, capture_output=True, **as_user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["-p", str(port), "-k", str(home), "-h", "127.0.0.1", "-F"]
    server = subprocess.Popen(
        [POSTGRES[0] / "postgres", "-D", home / "data", *options], stderr=subprocess.DEVNULL, **as_user
    )
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield port
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)
        shutil.rmtree(home, ignore_errors=True)


def test_postgres_is_asked_with_a_password_that_needs_quoting(
    postgres: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    server = {**SERVER, "host": "127.0.0.1", "port": postgres, "schema": "postgres"}
    url = connect(monkeypatch, conn_type="postgres", **server, extra={"application_name": "perennial"})
    fill(url)
    assert asked(url, tmp_path) == [
        {"no": "1", "day": "2024-05-02", "paid": "4.50", "_line": 1, "_broken": None}
    ]
    wrong = connect(monkeypatch, conn_type="postgres", **server | {"password": "another secret"})
    with pytest.raises(
        reading.SourceError, match=r"connection warehouse: cannot be asked: .*authentication"
    ) as refused:
        asked(wrong, tmp_path)
    assert "another secret" not in str(refused.value)
