import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from perennial.demo import processes

TREE = """
import subprocess, sys, time
child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
for session in (False, True):
    subprocess.Popen([sys.executable, "-c", child], start_new_session=session)
print("ready", flush=True)
time.sleep(600)
"""


def launch(folder: Path, code: str) -> processes.Leader:
    log = folder / "log"
    leader = processes.launch([sys.executable, "-c", code], {}, folder, log)
    deadline = time.monotonic() + 10
    while "ready" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    return leader


def test_a_tree_ends_with_children_that_ignore_sigterm_or_left_the_session(tmp_path: Path) -> None:
    leader = launch(tmp_path, TREE)
    tree = psutil.Process(leader.pid).children()
    assert len(tree) == 2
    assert len(processes.members([leader])) == 2, "the leader and the child that stayed in its session"
    assert len(processes.members([leader], tmp_path)) == 3
    processes.terminate_all([leader], tmp_path, seconds=5)
    assert processes.members([leader], tmp_path) == []
    assert not leader.alive()
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in tree)


def test_children_of_a_killed_leader_are_found_and_ended(tmp_path: Path) -> None:
    leader = launch(tmp_path, TREE)
    psutil.Process(leader.pid).send_signal(signal.SIGKILL)
    psutil.Process(leader.pid).wait(5)
    assert not leader.alive()
    assert len(processes.members([leader])) == 1
    assert len(processes.members([], tmp_path)) == 2, "by the folder, even if the leader is not recorded"
    processes.kill_all([], tmp_path)
    assert processes.members([leader], tmp_path) == []


def test_a_process_with_the_reused_pid_of_a_leader_is_not_ended() -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        mistaken = processes.Leader(stranger.pid, started=1.0)
        assert not mistaken.alive()
        processes.terminate_all([mistaken], seconds=0.2)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_the_listener_of_a_port_is_named() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        listener = processes.listener(server.getsockname()[1])
    if sys.platform == "linux":
        assert listener is not None
        assert str(psutil.Process().pid) in listener


@pytest.mark.parametrize("seconds", [0.0])
def test_ending_nothing_is_no_error(seconds: float, tmp_path: Path) -> None:
    processes.terminate_all([], tmp_path, seconds)
