"""Starts processes that outlive this command, finds them again, and ends them with all their children."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Leader:
    """A process that leads its own session. The start time tells it from a later process with its pid."""

    pid: int
    started: float

    def alive(self) -> bool:
        """Whether it still runs. A zombie does not count."""
        try:
            process = psutil.Process(self.pid)
            return process.create_time() == self.started and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def launch(command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path) -> Leader:
    """Start a process that leads a session of its own and writes to `log` (appended)."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Leader(process.pid, psutil.Process(process.pid).create_time())


def members(leaders: Iterable[Leader], folder: Path | None = None) -> list[psutil.Process]:
    """All living processes of the leaders' sessions, and this Python's processes that work in `folder`.

    The session identifies processes that have lost their parent. The folder identifies processes that have
    their own session, or whose leader is not recorded. An environment variable cannot identify them, because
    Airflow's processes overwrite their environment with their title.
    """
    sessions = {leader.pid for leader in leaders if not _pid_is_reused(leader)}
    python = Path(sys.executable).resolve()
    living = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            if os.getsid(process.pid) in sessions or (
                folder and Path(process.exe()) == python and Path(process.cwd()) == folder
            ):
                living.append(process)
    return living


def kill_all(leaders: Iterable[Leader], folder: Path | None = None, seconds: float = 10) -> None:
    """Kill every member, the oldest first, and wait up to `seconds` until none is left."""
    leaders = list(leaders)
    deadline = time.monotonic() + seconds
    while (remaining := members(leaders, folder)) and time.monotonic() < deadline:
        kill(remaining)
        time.sleep(0.05)


def terminate_all(leaders: Iterable[Leader], folder: Path | None = None, seconds: float = 15) -> None:
    """Send SIGTERM to the leaders' process groups, wait up to `seconds`, then kill the remaining members."""
    leaders = list(leaders)
    for leader in leaders:
        if leader.alive():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(leader.pid, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while any(leader.alive() for leader in leaders) and time.monotonic() < deadline:
        time.sleep(0.1)
    kill_all(leaders, folder)


def kill(processes: Iterable[psutil.Process]) -> None:
    """Kill processes, the oldest first, so that a parent cannot report the end of its child."""
    for process in sorted(processes, key=_age):
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            process.send_signal(signal.SIGKILL)


def listener(port: int) -> str | None:
    """The process that listens on a TCP port of this machine, as 'name (pid)'; None if it is not visible."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections(kind="tcp"):
            address = connection.laddr
            if (
                connection.status == psutil.CONN_LISTEN
                and address
                and address.port == port
                and connection.pid
            ):
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return None


def _pid_is_reused(leader: Leader) -> bool:
    """Whether a later process has the pid of the ended leader, so that the session is not ours."""
    try:
        return psutil.Process(leader.pid).create_time() != leader.started
    except psutil.NoSuchProcess:
        return False


def _age(process: psutil.Process) -> float:
    try:
        return process.create_time()
    except psutil.NoSuchProcess:
        return 0.0
