"""Processes that die: work done by forks of this process, each in a shop of its own, and ended by SIGKILL."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

FOLDERS = ("lake", "vault", "landing", "reports", "staging")
_KEY = "a key for tests, of no use elsewhere"


def watch(owner: Any, name: str, before: Callable[[str], None], naming: Callable[..., str]) -> None:
    """From now on `before` is told of each call of a function, by the name that its arguments give it."""
    original = getattr(owner, name)

    def watched(*args: Any, **options: Any) -> Any:
        before(naming(*args))
        return original(*args, **options)

    setattr(owner, name, watched)


def settle(shop: Path) -> None:
    """This process works in the shop from now on."""
    from perennial.foundation import ledger, settings

    os.chdir(shop)
    for name in FOLDERS:
        os.environ[f"PERENNIAL_{name.upper()}"] = str(shop / name)
    os.environ |= {"PERENNIAL_LEDGER": f"sqlite:///{shop}/ledger.db", "PERENNIAL_PSEUDONYM_KEY": _KEY}
    settings.settings.cache_clear()
    ledger.open_ledger.cache_clear()


@contextmanager
def settled(shop: Path) -> Iterator[None]:
    """This process works in the shop for a while."""
    from perennial.foundation import ledger, settings

    before = dict(os.environ)
    with chdir(shop):
        try:
            settle(shop)
            yield
        finally:
            os.environ.clear()
            os.environ |= before
            settings.settings.cache_clear()
            ledger.open_ledger.cache_clear()


def forked(work: Callable[[], Any], shop: Path) -> Any:
    """What `work` answers, done by a fork in the shop.

    Raises:
        RuntimeError: the fork failed; with what it said.
    """
    reading, writing = os.pipe()
    pid = _fork(work, shop, writing)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    _, status = os.waitpid(pid, 0)
    if status:
        raise RuntimeError(said or f"died: {status}")
    return json.loads(said)


def killed(work: Callable[[], object], shop: Path, moment: float = 600) -> int:
    """The signal that ended a fork: its own, or ours after so many seconds; 0 if it was done before."""
    with Path(os.devnull).open("w") as nothing:
        pid = _fork(work, shop, nothing.fileno())
        end = time.monotonic() + moment
        while time.monotonic() < end:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
            time.sleep(0.005)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return signal.SIGKILL


def copied(source: Path, target: Path) -> Path:
    """A copy of a shop, in the place of whatever was there."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return target


def _fork(work: Callable[[], object], shop: Path, answer: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        settle(shop)
        os.write(answer, json.dumps(work()).encode())
        status = 0
    except BaseException as error:
        os.write(answer, f"{type(error).__name__}: {error}".encode()[:4000])
    os._exit(status)
