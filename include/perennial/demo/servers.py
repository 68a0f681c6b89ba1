"""Airflow and MLflow on this machine: started, watched and stopped.

Five processes, each leading a session of its own: Airflow's API server, scheduler (whose LocalExecutor runs
the tasks), DAG processor and triggerer, and MLflow. `servers.json` remembers them.
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
"""Where days wait for their turn."""
SERVERS = (MLFLOW, API_SERVER, SCHEDULER, DAG_PROCESSOR, TRIGGERER)


@dataclass(frozen=True)
class Server:
    """A server that we started, and with which settings."""

    leader: Leader
    fingerprint: str


def start(state: State, say: Callable[[str], None]) -> None:
    """Make all servers run and answer; those that run already with the same settings are left alone.

    Raises TroubleError for a port in use, too little disk space, and a server that ends or does not answer.
    """
    _require_space(state)
    state.write_credentials()
    fingerprint = _fingerprint(state)
    known = recorded(state)
    kept = {
        name: server
        for name, server in known.items()
        if server.leader.alive() and server.fingerprint == fingerprint
    }
    if kept.keys() == set(SERVERS):
        say("servers are running")
        _await_answers(state, kept, say)
        return
    _end(
        state, [server.leader for server in known.values()], spare=[server.leader for server in kept.values()]
    )
    _require_ports(state, kept)
    started = _launch_missing(state, kept, fingerprint, say)
    _await_answers(state, started, say)


def stop(state: State) -> int:
    """End the servers and every child. Returns how many processes there were; none is left."""
    leaders = [server.leader for server in recorded(state).values()]
    found = len(processes.members(leaders, state.workplace))
    _end(state, leaders)
    if left := processes.members(leaders, state.workplace):
        raise TroubleError(
            f"{len(left)} processes could not be ended: {', '.join(str(one.pid) for one in left)}."
        )
    if leaders:
        (state.root / "servers.json").unlink(missing_ok=True)
    return found


def require_alive(state: State) -> None:
    """Raise TroubleError when a server has ended, or all were stopped."""
    known = recorded(state)
    if not known:
        raise TroubleError("The servers were stopped. `make run` starts them again and goes on.")
    for name, server in known.items():
        if not server.leader.alive():
            raise TroubleError(
                f"{name} has ended. `make run` starts it again and goes on.", _log(state, name)
            )


def _end(state: State, leaders: list[Leader], spare: Iterable[Leader] = ()) -> None:
    """End the leaders' sessions and what else works in our folder, but for the sessions to spare.

    Tasks go first, their supervisors before them: nobody is left to report a failure and use up a retry. A
    scheduler that then ends in good order lets the next one take those tasks up at once.
    """
    spared = {process.pid for process in processes.members(spare)}
    ended = [leader for leader in leaders if leader.pid not in spared]
    heads = {leader.pid for leader in ended}
    found = processes.members(ended, state.workplace)
    processes.kill([one for one in found if one.pid not in heads | spared])
    processes.terminate_all(ended)


def _launch_missing(
    state: State, kept: dict[str, Server], fingerprint: str, say: Callable[[str], None]
) -> dict[str, Server]:
    environment = state.environment()
    servers = dict(kept)

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
    """What starts a server."""
    airflow = [sys.executable, "-m", "airflow"]
    return {
        API_SERVER: [*airflow, "api-server"],
        # The API server reads the task logs from the disk: no log server, which would not bind to loopback.
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
    say("making Airflow's database")
    _run_logged(state, "airflow-migrate", ["-m", "airflow", "db", "migrate"], environment)
    marker.write_text(version)


def _remove_deadlines(state: State) -> None:
    """Remove the deadlines that `ingest` once gave to its runs: Airflow fails to clear a run that has one."""
    with _airflow_database(state) as database:
        database.execute("DELETE FROM deadline")


def _declare_schedulers_dead(state: State) -> None:
    """Tell Airflow that no scheduler is left, as we know and it would find out after its threshold.

    The next scheduler then takes up the tasks of a killed one as soon as it starts, without using up a retry.
    """
    with _airflow_database(state) as database:
        database.execute(
            "UPDATE job SET state = 'failed' WHERE job_type = 'SchedulerJob' AND state = 'running'"
        )


@contextlib.contextmanager
def _airflow_database(state: State) -> Iterator[sqlite3.Connection]:
    """Airflow's own database; what the block writes is committed at its end."""
    with (
        contextlib.closing(sqlite3.connect(state.airflow_home / "airflow.db", timeout=60)) as database,
        database,
    ):
        yield database


def _migrate_mlflow(state: State, environment: dict[str, str]) -> None:
    """A database of another MLflow is brought up to date; a new one is made by the server itself."""
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
    """Wait until every server answers. Raises TroubleError when one ends or START_SECONDS have passed."""
    deadline = time.monotonic() + START_SECONDS
    while silent := _silent(state):
        say(f"waiting for {' and '.join(silent)} to answer")
        for name, server in servers.items():
            if not server.leader.alive():
                raise TroubleError(f"{name} ended while it was starting.", _log(state, name))
        if time.monotonic() > deadline:
            raise TroubleError(
                f"{silent[0]} does not answer after {START_SECONDS} s.", _log(state, silent[0])
            )
        time.sleep(0.5)


def _silent(state: State) -> list[str]:
    silent = [] if _get(f"{state.mlflow_url}/health") is not None else [MLFLOW]
    health = _get(f"{state.airflow_url}/api/v2/monitor/health")
    if health is None:
        return [*silent, API_SERVER]
    parts = {SCHEDULER: "scheduler", DAG_PROCESSOR: "dag_processor"}
    report = health.json()
    return silent + [name for name, part in parts.items() if report[part]["status"] != "healthy"]


def _get(url: str) -> requests.Response | None:
    with requests.Session() as session:
        session.trust_env = False
        try:
            answer = session.get(url, timeout=5)
        except requests.RequestException:
            return None
    return answer if answer.ok else None


def _require_space(state: State) -> None:
    state.root.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(state.root).free
    if free < LEAST_FREE_BYTES:
        raise TroubleError(
            f"Only {free / 1024**3:.1f} GB are free where {state.root} lies; the demo needs "
            f"{LEAST_FREE_BYTES / 1024**3:.0f} GB. Free some, or set PERENNIAL_STATE to another folder."
        )


def _require_ports(state: State, running: Iterable[str]) -> None:
    wanted = {
        API_SERVER: (state.airflow_port, "PERENNIAL_AIRFLOW_PORT"),
        MLFLOW: (state.mlflow_port, "PERENNIAL_MLFLOW_PORT"),
    }
    for name, (port, variable) in wanted.items():
        if name not in running and _taken(port):
            by = processes.listener(port)
            raise TroubleError(
                f"Port {port}, which {name} needs, is in use{f' by {by}' if by else ''}. "
                f"Stop that, or set {variable} to another port."
            )


def _taken(port: int) -> bool:
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
    """Changes when the servers would run differently: other settings, versions or plugins."""
    versions = [importlib.metadata.version(name) for name in ("apache-airflow-core", "mlflow")]
    plugins = [
        (str(path), path.stat().st_mtime_ns) for path in sorted((REPOSITORY / "plugins").rglob("*.py"))
    ]
    known = json.dumps([state.server_settings(), versions, plugins, sys.executable], sort_keys=True)
    return hashlib.sha256(known.encode()).hexdigest()


def _log(state: State, name: str) -> Path:
    return state.logs / f"{name}.log"


def recorded(state: State) -> dict[str, Server]:
    """The servers that were started for a state folder and not stopped since, by name.

    Raises TroubleError for a file of that name that is not the demo's.
    """
    path = state.root / "servers.json"
    if not path.exists():
        return {}
    try:
        return {
            name: Server(Leader(**one["leader"]), one["fingerprint"])
            for name, one in json.loads(path.read_text()).items()
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise TroubleError(
            f"{path} is not the demo's list of servers, and was left as it is. "
            "Set PERENNIAL_STATE to another folder."
        ) from error


def _record(state: State, servers: dict[str, Server]) -> None:
    fresh = state.root / "servers.json.new"
    fresh.write_text(json.dumps({name: asdict(server) for name, server in servers.items()}, indent=1))
    fresh.replace(state.root / "servers.json")
