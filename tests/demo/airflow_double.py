"""A small HTTP server with the part of Airflow's API that the client uses, over real sockets."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

PASSWORD = "open sesame"


@dataclass
class Double:
    """The content of the server, and the requests that it received."""

    collections: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    token: str = "first"
    busy: int = 0
    """How many of the next requests are answered with 503."""
    refuse: str = ""
    url: str = ""


@contextmanager
def serve(double: Double) -> Iterator[Double]:
    """Serve it on a free port during the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._handle("GET")

        def do_POST(self) -> None:
            self._handle("POST")

        def do_PATCH(self) -> None:
            self._handle("PATCH")

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def _handle(self, method: str) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            url = urlsplit(self.path)
            if double.busy:
                double.busy -= 1
                return self._answer(503, {"detail": "busy"})
            if url.path == "/auth/token":
                known = body == {"username": "admin", "password": PASSWORD}
                content = {"access_token": double.token} if known else {"detail": "no such user"}
                return self._answer(201 if known else 401, content)
            if self.headers.get("Authorization") != f"Bearer {double.token}":
                return self._answer(401, {"detail": "expired"})
            double.requests.append((method, url.path, body))
            if double.refuse:
                return self._answer(409, {"detail": double.refuse})
            if method != "GET":
                return self._answer(200, {})
            name = url.path.rsplit("/", 1)[-1]
            keys = {"dagRuns": "dag_runs", "taskInstances": "task_instances", "importErrors": "import_errors"}
            params = parse_qs(url.query)
            offset, limit = int(params["offset"][0]), int(params["limit"][0])
            entries = double.collections.get(name, [])
            if "state" in params:
                entries = [entry for entry in entries if entry["state"] in params["state"]]
            page = {keys.get(name, name): entries[offset : offset + limit], "total_entries": len(entries)}
            return self._answer(200, page)

        def _answer(self, status: int, content: dict[str, Any]) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    double.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield double
    finally:
        server.shutdown()
        server.server_close()


def run(dag: str, name: str, state: str, key: str | None = None) -> dict[str, Any]:
    """A DAG run in the format of Airflow's API."""
    return {
        "dag_id": dag,
        "dag_run_id": name,
        "state": state,
        "partition_key": key,
        "run_type": "backfill",
        "start_date": "2026-01-02T03:04:05.678Z",
        "end_date": None,
    }


def task(dag: str, name: str, task_id: str, state: str, index: int = -1, attempt: int = 1) -> dict[str, Any]:
    """A task instance in the format of Airflow's API."""
    return {
        "dag_id": dag,
        "dag_run_id": name,
        "task_id": task_id,
        "map_index": index,
        "state": state,
        "try_number": attempt,
        "duration": 1.5,
        "start_date": "2026-01-02T03:04:05Z",
        "end_date": "2026-01-02T03:04:06.500Z",
    }
