"""The commit that this code is compared with: its code in a folder, and a place for what it made.

`BASE` names it. What it made does not change, so it is kept in the machine's temporary folder.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from perennial.demo.environment import REPOSITORY

BEFORE_THE_TIDY_UP = "2410137"


def commit() -> str:
    """The whole hash of the commit that `BASE` names.

    Raises:
        RuntimeError: this clone has no such commit.
    """
    name = os.environ.get("BASE") or BEFORE_THE_TIDY_UP
    command = ["git", "-C", str(REPOSITORY), "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise RuntimeError(f"BASE: this clone has no commit {name!r}; fetch it, or name another")
    return answer.stdout.strip()


def kept(of: str) -> Path:
    """The folder that keeps what a commit made."""
    folder = Path(tempfile.gettempdir()) / "perennial-house" / of
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def code(of: str) -> Path:
    """A clone of this repository at a commit, with the programs of this one."""
    clone = kept(of) / "code"
    if not clone.exists():
        unfinished = Path(tempfile.mkdtemp(prefix="clone-", dir=clone.parent))
        subprocess.run(
            ["git", "clone", "-q", "--shared", "--no-checkout", str(REPOSITORY), str(unfinished)], check=True
        )
        subprocess.run(["git", "-C", str(unfinished), "checkout", "-q", "--detach", of], check=True)
        unfinished.rename(clone)
    return clone


def environment(code: Path) -> dict[str, str]:
    """What makes a process work with the code in a folder and the demo's configuration."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PERENNIAL_")}
    demo = code / "include" / "perennial" / "demo" / "config"
    config = {"PERENNIAL_CONFIG": str(demo)} if demo.is_dir() else {}
    return plain | config | {"PYTHONPATH": f"{code / 'include'}{os.pathsep}{code}", "HF_HUB_OFFLINE": "1"}


def emptied(folder: Path) -> Path:
    """The folder, with nothing in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
