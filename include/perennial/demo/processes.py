"""Processes that outlive the command that started them: found again, and ended with all their children."""

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
    """A process in a session of its own. The time of its start tells it from a later one with its number."""

    pid: int
    started: float

    def alive(self) -> bool:
        """Whether it still runs (a zombie does not)."""
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

    The session finds what lost its parent, the folder what made a session of its own or whose leader nobody
    remembers. (Airflow's processes overwrite their environment with their title: a mark there is lost.)
    """
    sessions = {leader.pid for leader in leaders if not _number_taken(leader)}
    python = Path(sys.executable).resolve()
    found = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            if os.getsid(process.pid) in sessions or (
                folder and Path(process.exe()) == python and Path(process.cwd()) == folder
            ):
                found.append(process)
    return found


def kill_all(leaders: Iterable[Leader], folder: Path | None = None, seconds: float = 10) -> None:
    """End every member now, the older before the younger, and wait until none is left."""
    leaders = list(leaders)
    deadline = time.monotonic() + seconds
    while (left := members(leaders, folder)) and time.monotonic() < deadline:
        kill(left)
        time.sleep(0.05)


def terminate_all(leaders: Iterable[Leader], folder: Path | None = None, seconds: float = 15) -> None:
    """Ask every leader to end, wait, then kill what is left of their sessions."""
    leaders = list(leaders)
    for leader in leaders:
        if leader.alive():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(leader.pid, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while any(leader.alive() for leader in leaders) and time.monotonic() < deadline:
        time.sleep(0.1)
    kill_all(leaders, folder)


def kill(found: Iterable[psutil.Process]) -> None:
    """Kill processes, the older first: a parent cannot report the end of its child then."""
    for process in sorted(found, key=_age):
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            process.send_signal(signal.SIGKILL)


def listener(port: int) -> str | None:
    """Who listens on a TCP port of this machine, as far as we may know: 'name (pid)'."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections(kind="tcp"):
            here = connection.laddr
            if connection.status == psutil.CONN_LISTEN and here and here.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return None


def _number_taken(leader: Leader) -> bool:
    """Whether a later process has the dead leader's number, so that the session is a stranger's."""
    try:
        return psutil.Process(leader.pid).create_time() != leader.started
    except psutil.NoSuchProcess:
        return False


def _age(process: psutil.Process) -> float:
    try:
        return process.create_time()
    except psutil.NoSuchProcess:
        return 0.0
