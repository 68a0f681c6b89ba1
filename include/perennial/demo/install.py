"""Creates the virtual environment, installs the pinned requirements, and renews the pins.

It runs by path with a bare Python, before anything is installed: `python3.11
include/perennial/demo/install.py run | dev | lock`. So it imports only the standard library. The output of
pip goes to a log; the screen shows one line.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
VENV = REPOSITORY / ".venv"
CONSTRAINTS = REPOSITORY / "constraints.txt"
REQUIREMENTS = {"run": "requirements.txt", "dev": "requirements-dev.txt"}
NOT_LOCKED = re.compile(r"^(nvidia-|triton|cuda-|pip==|setuptools==|wheel==)", re.IGNORECASE)
LOCK_HEADER = "# Every pin. Made again by `make lock`; no CUDA packages, no local version suffixes.\n"


class InstallError(Exception):
    """The installation failed. The message is one sentence and, if there is one, the log to read."""


def install(kind: str) -> float | None:
    """Install what `run` or `dev` needs. Returns the seconds it took, or None if nothing had to be done.

    Raises:
        InstallError: this Python is too old or has no venv, or pip failed.
    """
    stamp = VENV / f"installed-{kind}"
    fingerprint = _fingerprint(kind)
    if stamp.exists() and stamp.read_text() == fingerprint and _python(VENV).exists():
        return None
    began = time.monotonic()
    log = _log("install")
    if not _python(VENV).exists():
        _make(VENV, log)
    arguments = ["install", "-r", REQUIREMENTS[kind]]
    if CONSTRAINTS.exists():
        arguments += ["-c", CONSTRAINTS.name]
    _pip(VENV, arguments, log, f"installing {REQUIREMENTS[kind]} into .venv (some minutes, once)")
    stamp.write_text(fingerprint)
    return time.monotonic() - began


def lock() -> None:
    """Write constraints.txt: the versions to which the requirements resolve today.

    uv resolves them in seconds; pip takes too long. uv uses PyPI and does not read pip's settings:
    `UV_DEFAULT_INDEX` names another index.

    Raises:
        InstallError: pip or uv failed.
    """
    log = _log("lock")
    with tempfile.TemporaryDirectory() as folder:
        venv, pins_file = Path(folder) / "venv", Path(folder) / "pins.txt"
        _make(venv, log)
        _pip(venv, ["install", "uv"], log, "installing uv")
        compile_ = [str(venv / "bin" / "uv"), "pip", "compile", REQUIREMENTS["dev"], "-o", str(pins_file)]
        options = ["--no-header", "--no-annotate", "--no-emit-index-url", "--python", str(_python(venv))]
        if _logged([*compile_, *options], log, f"resolving {REQUIREMENTS['dev']}"):
            raise InstallError(f"uv failed.\n{_tail(log)}\nRead {log}")
        resolved = pins(pins_file.read_text())
    CONSTRAINTS.write_text(LOCK_HEADER + "".join(f"{pin}\n" for pin in resolved))
    print(f"constraints.txt: {len(resolved)} pins")


def pins(resolved: str) -> list[str]:
    """The pins for any machine: without CUDA packages and without local suffixes such as `+cpu`."""
    lines = (line.strip() for line in resolved.splitlines())
    pin_lines = (
        line for line in lines if "==" in line and not line.startswith("#") and not NOT_LOCKED.match(line)
    )
    return sorted((line.split("+", 1)[0] for line in pin_lines), key=str.lower)


def _make(folder: Path, log: Path) -> None:
    if folder.exists() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").exists():
        raise InstallError(
            f"{folder} contains files but is not a virtual environment (it has no pyvenv.cfg). "
            "It was not changed. Move it elsewhere, then try again."
        )
    if sys.version_info < (3, 11):  # noqa: UP036 - the user may run an older one
        raise InstallError(f"Python 3.11 or later is needed; {sys.executable} is {sys.version.split()[0]}.")
    exit_status = _logged([sys.executable, "-m", "venv", "--clear", str(folder)], log, "creating .venv")
    if exit_status:
        raise InstallError(
            f"{sys.executable} could not make a virtual environment (Debian: python3-venv).\n{_tail(log)}"
        )


def _pip(venv: Path, arguments: Sequence[str], log: Path, line: str) -> None:
    quiet = ["--disable-pip-version-check", "--no-input", "--root-user-action", "ignore"]
    command = [str(_python(venv)), "-m", "pip", *arguments, *quiet]
    if _logged(command, log, line):
        raise InstallError(f"pip failed.\n{_tail(log)}\nRead {log}")


def _logged(command: Sequence[str], log: Path, line: str) -> int:
    """Run a command with its output in the log and one line on the screen. Returns its exit status."""
    began = time.monotonic()
    interactive = sys.stdout.isatty()
    print(line, end="" if interactive else "\n", flush=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=REPOSITORY, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            while process.poll() is None:
                if interactive:
                    print(f"\r{line}: {time.monotonic() - began:.0f} s", end="", flush=True)
                time.sleep(0.2)
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise
    if interactive:
        print("\r\033[K", end="", flush=True)
    return process.returncode


def _tail(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _log(name: str) -> Path:
    """Path of a log of the install. An existing file is appended to, because it may be the user's."""
    root = Path(os.environ.get("PERENNIAL_STATE") or REPOSITORY / ".perennial").expanduser().resolve()
    log = root / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    return log


def _python(venv: Path) -> Path:
    return venv / "bin" / "python"


def _fingerprint(kind: str) -> str:
    files = [REPOSITORY / name for name in {*REQUIREMENTS.values(), CONSTRAINTS.name}]
    if kind == "run":
        files.remove(REPOSITORY / REQUIREMENTS["dev"])
    texts = [path.read_bytes() for path in sorted(files) if path.exists()]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()


def main(arguments: list[str]) -> int:
    """Run one command. An install writes its seconds to `.venv/install-seconds`, which `make run` reads."""
    kind = arguments[0] if arguments else ""
    try:
        if kind == "lock":
            lock()
            return 0
        if kind not in REQUIREMENTS:
            print("usage: install.py run | dev | lock", file=sys.stderr)
            return 2
        seconds = install(kind)
    except InstallError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    seconds_file = VENV / "install-seconds"
    seconds_file.unlink(missing_ok=True)
    if seconds is not None:
        seconds_file.write_text(f"{seconds:.1f}")
        print(f"installed in {seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
