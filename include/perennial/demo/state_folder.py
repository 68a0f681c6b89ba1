"""Which files in the state folder the demo made, and how `make clean` removes them, and no others.

`PERENNIAL_STATE` may name any folder, also one with the user's own files. A folder is removed only if all of
these conditions are met:

- It is `.perennial` in the repository, or it contains the demo's marker or its file `env` (older versions
  made no marker), or it contains only the logs of an install.
- Every entry has a name that the demo uses, is not a link, and was not there before the demo (see `mark`).
- The landing folder, in which shops drop files, contains only the demo shop's files.
- It contains no git repository.

The module needs only the standard library: `python -m perennial.demo.state_folder` runs without a virtual
environment.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from perennial.demo.errors import TroubleError

REPOSITORY = Path(__file__).resolve().parents[3]
DEFAULT = REPOSITORY / ".perennial"
MARKER = ".perennial-state"
"""File in a state folder: JSON, the names of the entries that were there before the demo."""
FOLDERS = frozenset(
    ("airflow", "evaluations", "lake", "landing", "logs", "mlflow", "reports", "servers", "staging", "vault")
)
FILES = frozenset(
    (
        *(MARKER, "benchmarks.json", "env", "env.new", "lock", "servers.json", "servers.json.new"),
        *("ledger.db", "ledger.db-journal", "ledger.db-shm", "ledger.db-wal"),
    )
)
LANDING_FILES = (
    *(("assignments", "households"), ("campaigns", "campaigns"), ("contacts", "households")),
    *(("events", "purchases"), ("events", "redemptions"), ("items", "products")),
    *(("promotions", "promotions"), ("users", "households")),
)
"""What `complete_journey` lands, each in a folder for each day: table, file."""
INSTALL_LOGS = frozenset(("install.log", "lock.log"))
_DAY = r"\d{4}-\d{2}-\d{2}"
_LANDED = re.compile(
    "|".join(
        (
            r"\.{1,2}complete_journey\.json(\.\d+)?",
            *(rf"{table}/{_DAY}/\.?{name}\.parquet(\.\d+)?" for table, name in LANDING_FILES),
        )
    )
)
_ENV_LINE = re.compile(r"(AIRFLOW|MLFLOW|PERENNIAL)_[A-Z_]+=\S*")
_SHOWN_ENTRIES = 5


def mark(root: Path) -> None:
    """Make the state folder. If it is new to the demo, write the names of its entries to the marker."""
    root.mkdir(parents=True, exist_ok=True)
    if root == DEFAULT or (root / MARKER).exists() or _is_env(root / "env"):
        return
    earlier = sorted(entry.name for entry in root.iterdir() if not _is_left_by_install(entry))
    (root / MARKER).write_text(json.dumps(earlier))


def require_removable(root: Path) -> None:
    """Raise TroubleError, which names the entries, if the demo did not make everything in the folder."""
    if not root.exists():
        return
    foreign = list(_foreign_entries(root))
    if foreign:
        more = f" and {len(foreign) - _SHOWN_ENTRIES} more" if len(foreign) > _SHOWN_ENTRIES else ""
        raise TroubleError(
            f"Nothing was removed from {root} ({'default' if root == DEFAULT else 'PERENNIAL_STATE'}): "
            f"found {', '.join(foreign[:_SHOWN_ENTRIES])}{more}, which the demo did not make. "
            "Allowed is a folder without other entries: "
            "move them elsewhere, or remove the folder yourself."
        )


def remove(root: Path) -> bool:
    """Remove what the demo made, and the folder if it is empty then. False if there was nothing to remove.

    Raises:
        TroubleError: the folder holds something else, or a file cannot be removed.
    """
    require_removable(root)
    if not root.exists() or not any(root.iterdir()):
        return False
    # The entries that identify the folder are removed last, so that a call after a kill can finish.
    entries = sorted(root.iterdir(), key=lambda entry: (entry.name in (MARKER, "env"), entry.name))
    try:
        for entry in entries:
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)
    except OSError as error:
        raise TroubleError(f"{root} could not be removed completely: {error}.") from error
    with suppress(OSError):
        root.rmdir()
    return True


def _foreign_entries(root: Path) -> Iterator[str]:
    """Paths, relative to the folder, of everything that the demo did not make."""
    if not root.is_dir():
        yield "a file, not a folder"
        return
    entries = sorted(root.iterdir())
    if _holds_a_home(root) or not _is_recognised(root, entries):
        yield from (entry.name for entry in entries)
        return
    earlier = _entries_before_demo(root)
    for entry in entries:
        is_known = entry.name in (FOLDERS if entry.is_dir() else FILES) and not entry.is_symlink()
        if entry.name == "env":
            is_known = is_known and _is_env(entry)
        if not is_known or entry.name in earlier:
            yield entry.name
        elif entry.is_dir():
            yield from _foreign_files_within(entry)


def _foreign_files_within(folder: Path) -> Iterator[str]:
    """Git repositories, and files in the landing folder that are not the demo shop's."""
    for path, folders, files in os.walk(folder):
        relative = Path(path).relative_to(folder)
        if ".git" in (*folders, *files):
            yield (folder.name / relative / ".git").as_posix()
        elif folder.name == "landing":
            links = [name for name in folders if (Path(path) / name).is_symlink()]
            for name in sorted((*files, *links)):
                if not _LANDED.fullmatch((relative / name).as_posix()):
                    yield (folder.name / relative / name).as_posix()


def _holds_a_home(root: Path) -> bool:
    """Whether the user's home or the repository is this folder or lies in it."""
    return any(folder.resolve().is_relative_to(root) for folder in (Path.home(), REPOSITORY))


def _is_recognised(root: Path, entries: list[Path]) -> bool:
    if root == DEFAULT or (root / MARKER).is_file() or _is_env(root / "env"):
        return True
    return all(map(_is_left_by_install, entries))


def _is_left_by_install(entry: Path) -> bool:
    """Whether `make` leaves this entry before the demo has run: logs of the install, or an empty lock."""
    if entry.is_symlink():
        return False
    if entry.name == "logs" and entry.is_dir():
        return all(log.name in INSTALL_LOGS and log.is_file() for log in entry.iterdir())
    return entry.name == "lock" and entry.is_file() and entry.stat().st_size == 0


def _is_env(path: Path) -> bool:
    """Whether the file holds the demo's passwords and keys, and nothing else."""
    if path.is_symlink() or not path.is_file():
        return False
    lines = path.read_text(errors="replace").split("\n")
    passwords = {"AIRFLOW_PASSWORD", "MLFLOW_PASSWORD"}
    return passwords <= {line.partition("=")[0] for line in lines} and all(
        _ENV_LINE.fullmatch(line) for line in lines if line
    )


def _entries_before_demo(root: Path) -> set[str]:
    """The names in the marker. Raises TroubleError if the marker cannot be read."""
    marker = root / MARKER
    if not marker.exists():
        return set()
    try:
        names = json.loads(marker.read_text())
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise TypeError(f"found {type(names).__name__}")
        return set(names)
    except (ValueError, TypeError) as error:
        raise TroubleError(
            f"{root} was not removed: its file {MARKER} cannot be read. It must be a JSON list of names."
        ) from error


def main() -> int:
    """Remove the state folder of the environment."""
    from perennial.demo.environment import State

    root = State.from_environment().root
    try:
        print(f"Removed {root}." if remove(root) else f"Nothing to remove in {root}.")
    except TroubleError as trouble:
        print(f"clean stopped: {trouble.sentence}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
