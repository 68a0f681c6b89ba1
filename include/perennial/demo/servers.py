"""Starts, checks and stops Airflow and MLflow on this machine.

There are five processes, each in its own session: Airflow's API server, scheduler (whose LocalExecutor runs
the tasks), DAG processor and triggerer, and MLflow. `servers.json` in the state folder lists them.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import requests

from perennial.demo import processes
from perennial.demo.environment import LOOPBACK, REPOSITORY, State
from perennial.demo.errors import TroubleError
from perennial.demo.processes import Leader

LEAST_FREE_BYTES = 2 * 1024**3
START_SECONDS = 240
API_SERVER, SCHEDULER, DAG_PROCESSOR, MLFLOW = (
    "airflow-api-server",
    "airflow-scheduler",
    "airflow-dag-processor",
    "mlflow",
)
TRIGGERER = "airflow-triggerer"
"""Runs the deferred tasks that wait for an earlier day."""
SERVERS = (MLFLOW, API_SERVER, SCHEDULER, DAG_PROCESSOR, TRIGGERER)


@dataclass(frozen=True)
class Server:
    """A server that we started, and the fingerprint of its settings."""

    leader: Leader
    fingerprint: str


def start(state: State, say: Callable[[str], None]) -> None:
    """Start all servers and wait until they answer. Servers that run with the same settings are kept.

    Raises TroubleError if a port is in use, disk space is short, or a server ends or does not answer.
    """
    _require_space(state)
    state.write_credentials()
    fingerprint = _fingerprint(state)
    recorded_servers = recorded(state)
    reused = {
        name: server
        for name, server in recorded_servers.items()
        if server.leader.alive() and server.fingerprint == fingerprint
    }
    if reused.keys() == set(SERVERS):
        say("servers are running")
        _await_answers(state, reused, say)
        return
    _end(
        state,
        [server.leader for server in recorded_servers.values()],
        spare=[server.leader for server in reused.values()],
    )
    _require_ports(state, reused)
    running = _launch_missing(state, reused, fingerprint, say)
    _await_answers(state, running, say)


def stop(state: State) -> int:
    """End the servers and all their children. Returns the number of ended processes; none is left."""
    leaders = [server.leader for server in recorded(state).values()]
    count = len(processes.members(leaders, state.workplace))
    _end(state, leaders)
    if remaining := processes.members(leaders, state.workplace):
        pids = ", ".join(str(process.pid) for process in remaining)
        raise TroubleError(f"{len(remaining)} processes could not be ended: {pids}.")
    if leaders:
        (state.root / "servers.json").unlink(missing_ok=True)
    return count


def require_alive(state: State) -> None:
    """Raise TroubleError if a server has ended or all were stopped."""
    servers = recorded(state)
    if not servers:
        raise TroubleError("The servers were stopped. `make run` starts them again and continues.")
    for name, server in servers.items():
        if not server.leader.alive():
            raise TroubleError(
                f"{name} has ended. `make run` starts it again and continues.", _log(state, name)
            )


def _end(state: State, leaders: list[Leader], spare: Iterable[Leader] = ()) -> None:
    """End the leaders' sessions and all other processes in our folder, except the sessions in `spare`.

    Supervisors are killed first, then their tasks, so that no supervisor reports a failure and uses up a
    retry. Then the scheduler ends in the regular way, and the next one starts those tasks again at once.
    """
    spared_pids = {process.pid for process in processes.members(spare)}
    leaders_to_end = [leader for leader in leaders if leader.pid not in spared_pids]
    leader_pids = {leader.pid for leader in leaders_to_end}
    living = processes.members(leaders_to_end, state.workplace)
    processes.kill([process for process in living if process.pid not in leader_pids | spared_pids])
    processes.terminate_all(leaders_to_end)


def _launch_missing(
    state: State, reused: dict[str, Server], fingerprint: str, say: Callable[[str], None]
) -> dict[str, Server]:
    environment = state.environment()
    servers = dict(reused)

    def launch(name: str) -> None:
        leader = processes.launch(command(state, name), environment, state.workplace, _log(state, name))
        servers[name] = Server(leader, fingerprint)
        _record(state, servers)

    say("starting MLflow and Airflow")
    if MLFLOW not in servers:
        _migrate_mlflow(state, environment)
        launch(MLFLOW)
    _migrate_airflow(state, environment, say)
    if SCHEDULER not in servers:
        _declare_schedulers_dead(state)
        _remove_deadlines(state)
    for name in (API_SERVER, SCHEDULER, DAG_PROCESSOR, TRIGGERER):
        if name not in servers:
            launch(name)
    return servers


def command(state: State, name: str) -> list[str]:
    """The command that starts a server."""
    airflow = [sys.executable, "-m", "airflow"]
    return {
        API_SERVER: [*airflow, "api-server"],
        # The API server reads the task logs from the disk. A log server would not bind to loopback.
        SCHEDULER: [*airflow, "scheduler", "--skip-serve-logs"],
        DAG_PROCESSOR: [*airflow, "dag-processor"],
        TRIGGERER: [*airflow, "triggerer", "--skip-serve-logs"],
        MLFLOW: [
            *(sys.executable, "-m", "mlflow", "server"),
            *("--app-name", "basic-auth"),
            *("--backend-store-uri", _mlflow_database(state)),
            *("--serve-artifacts", "--artifacts-destination", str(state.mlflow_home / "artifacts")),
            *("--host", LOOPBACK, "--port", str(state.mlflow_port)),
            *("--allowed-hosts", ",".join(f"{h}:{state.mlflow_port}" for h in (LOOPBACK, "localhost"))),
            *("--workers", "1"),
        ],
    }[name]


def _mlflow_database(state: State) -> str:
    return f"sqlite:///{state.mlflow_home / 'mlflow.db'}"


def _migrate_airflow(state: State, environment: dict[str, str], say: Callable[[str], None]) -> None:
    version = importlib.metadata.version("apache-airflow-core")
    marker = state.airflow_home / "version"
    if marker.exists() and marker.read_text() == version and (state.airflow_home / "airflow.db").exists():
        return
    say("creating Airflow's database")
    _run_logged(state, "airflow-migrate", ["-m", "airflow", "db", "migrate"], environment)
    marker.write_text(version)


def _remove_deadlines(state: State) -> None:
    """Remove the deadlines that older versions of `ingest` made. Airflow cannot clear a run that has one."""
    with _airflow_database(state) as database:
        database.execute("DELETE FROM deadline")


def _declare_schedulers_dead(state: State) -> None:
    """Mark all schedulers as failed in Airflow's database, instead of waiting for its threshold.

    The next scheduler then takes over the tasks of a killed one at its start, without using up a retry.
    """
    with _airflow_database(state) as database:
        database.execute(
            "UPDATE job SET state = 'failed' WHERE job_type = 'SchedulerJob' AND state = 'running'"
        )


@contextlib.contextmanager
def _airflow_database(state: State) -> Iterator[sqlite3.Connection]:
    """Airflow's database. The changes of the block are committed at its end."""
    with (
        contextlib.closing(sqlite3.connect(state.airflow_home / "airflow.db", timeout=60)) as database,
        database,
    ):
        yield database


def _migrate_mlflow(state: State, environment: dict[str, str]) -> None:
    """Upgrade the database of another MLflow version. The server itself creates a new database."""
    version = importlib.metadata.version("mlflow")
    marker = state.mlflow_home / "version"
    if (state.mlflow_home / "mlflow.db").exists() and (not marker.exists() or marker.read_text() != version):
        _run_logged(
            state, "mlflow-migrate", ["-m", "mlflow", "db", "upgrade", _mlflow_database(state)], environment
        )
    marker.write_text(version)


def _run_logged(state: State, name: str, arguments: list[str], environment: dict[str, str]) -> None:
    log = _log(state, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        done = subprocess.run(
            [sys.executable, *arguments],
            env=environment,
            cwd=state.workplace,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        raise TroubleError(f"{name} failed.", log)


def _await_answers(state: State, servers: dict[str, Server], say: Callable[[str], None]) -> None:
    """Wait until every server answers. Raises TroubleError if one ends or START_SECONDS have passed."""
    deadline = time.monotonic() + START_SECONDS
    while not_answering := _servers_not_answering(state):
        say(f"waiting for {' and '.join(not_answering)} to answer")
        for name, server in servers.items():
            if not server.leader.alive():
                raise TroubleError(f"{name} ended while it was starting.", _log(state, name))
        if time.monotonic() > deadline:
            raise TroubleError(
                f"{not_answering[0]} does not answer after {START_SECONDS} s.", _log(state, not_answering[0])
            )
        time.sleep(0.5)


def _servers_not_answering(state: State) -> list[str]:
    not_answering = [] if _get(f"{state.mlflow_url}/health") is not None else [MLFLOW]
    health = _get(f"{state.airflow_url}/api/v2/monitor/health")
    if health is None:
        return [*not_answering, API_SERVER]
    parts = {SCHEDULER: "scheduler", DAG_PROCESSOR: "dag_processor"}
    status = health.json()
    return not_answering + [name for name, part in parts.items() if status[part]["status"] != "healthy"]


def _get(url: str) -> requests.Response | None:
    with requests.Session() as session:
        session.trust_env = False
        try:
            response = session.get(url, timeout=5)
        except requests.RequestException:
            return None
    return response if response.ok else None


def _require_space(state: State) -> None:
    state.root.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(state.root).free
    if free < LEAST_FREE_BYTES:
        raise TroubleError(
            f"Only {free / 1024**3:.1f} GB are free on the disk of {state.root}; the demo needs "
            f"{LEAST_FREE_BYTES / 1024**3:.0f} GB. Free disk space, or set PERENNIAL_STATE to another folder."
        )


def _require_ports(state: State, running: Iterable[str]) -> None:
    ports = {
        API_SERVER: (state.airflow_port, "PERENNIAL_AIRFLOW_PORT"),
        MLFLOW: (state.mlflow_port, "PERENNIAL_MLFLOW_PORT"),
    }
    for name, (port, variable) in ports.items():
        if name not in running and _port_is_used(port):
            listener = processes.listener(port)
            raise TroubleError(
                f"Port {port}, which {name} needs, is in use{f' by {listener}' if listener else ''}. "
                f"Stop that process, or set {variable} to another port."
            )


def _port_is_used(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.connect_ex((LOOPBACK, port)) == 0:
            return True
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return True
    return False


def _fingerprint(state: State) -> str:
    """Hash of everything that changes how the servers run: settings, versions, plugins."""
    versions = [importlib.metadata.version(name) for name in ("apache-airflow-core", "mlflow")]
    plugins = [
        (str(path), path.stat().st_mtime_ns) for path in sorted((REPOSITORY / "plugins").rglob("*.py"))
    ]
    description = json.dumps([state.server_settings(), versions, plugins, sys.executable], sort_keys=True)
    return hashlib.sha256(description.encode()).hexdigest()


def _log(state: State, name: str) -> Path:
    return state.logs / f"{name}.log"


def recorded(state: State) -> dict[str, Server]:
    """Name → server, for the servers that were started for a state folder and not stopped since.

    Raises TroubleError if `servers.json` was not written by the demo.
    """
    path = state.root / "servers.json"
    if not path.exists():
        return {}
    try:
        return {
            name: Server(Leader(**entry["leader"]), entry["fingerprint"])
            for name, entry in json.loads(path.read_text()).items()
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise TroubleError(
            f"{path} is not the demo's list of servers and was not changed. "
            "Set PERENNIAL_STATE to another folder."
        ) from error


def _record(state: State, servers: dict[str, Server]) -> None:
    temporary = state.root / "servers.json.new"
    temporary.write_text(json.dumps({name: asdict(server) for name, server in servers.items()}, indent=1))
    temporary.replace(state.root / "servers.json")
