"""Which files in the state folder the demo made, and how `make clean` removes them, and no others.

`PERENNIAL_STATE` may name any folder, also one with the user's own files. A folder is removed only if all of
these hold:

- it is `.perennial` in the repository, or the demo's marker or its file `env` (older versions made no marker)
  lies in it, or it holds nothing but the logs of an install;
- every entry has a name that the demo uses, is no link, and was not there before the demo (see `mark`);
- the landing folder, in which shops drop files, holds the demo shop's files only;
- there is no git repository in it.

Needs only the standard library: without a virtual environment `python -m perennial.demo.state_folder` runs.
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
_NAMED = 5


def mark(root: Path) -> None:
    """Make the state folder; if it is new to the demo, write down what lies in it already."""
    root.mkdir(parents=True, exist_ok=True)
    if root == DEFAULT or (root / MARKER).exists() or _is_env(root / "env"):
        return
    earlier = sorted(entry.name for entry in root.iterdir() if not _is_of_an_install(entry))
    (root / MARKER).write_text(json.dumps(earlier))


def require_removable(root: Path) -> None:
    """Raise TroubleError, which says what else was found, if the folder holds what the demo did not make."""
    if not root.exists():
        return
    others = list(_others(root))
    if others:
        more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        raise TroubleError(
            f"Nothing was removed from {root} ({'default' if root == DEFAULT else 'PERENNIAL_STATE'}): "
            f"found {', '.join(others[:_NAMED])}{more}, which the demo did not make. Allowed is a folder "
            "with nothing but what the demo made: move the rest elsewhere, or remove the folder yourself."
        )


def remove(root: Path) -> bool:
    """Remove what the demo made, and the folder if that empties it; False if there was nothing.

    Raises:
        TroubleError: the folder holds something else, or a file cannot be removed.
    """
    require_removable(root)
    if not root.exists() or not any(root.iterdir()):
        return False
    # What tells that the folder is the demo's goes last: if this is killed, the next call goes on.
    entries = sorted(root.iterdir(), key=lambda entry: (entry.name in (MARKER, "env"), entry.name))
    try:
        for entry in entries:
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)
    except OSError as error:
        raise TroubleError(f"{root} could not be removed as a whole: {error}.") from error
    with suppress(OSError):
        root.rmdir()
    return True


def _others(root: Path) -> Iterator[str]:
    """Everything in the folder that the demo did not make, by its path below the folder."""
    if not root.is_dir():
        yield "a file, no folder"
        return
    entries = sorted(root.iterdir())
    if _holds_a_home(root) or not _is_recognised(root, entries):
        yield from (entry.name for entry in entries)
        return
    earlier = _earlier(root)
    for entry in entries:
        is_known = entry.name in (FOLDERS if entry.is_dir() else FILES) and not entry.is_symlink()
        if entry.name == "env":
            is_known = is_known and _is_env(entry)
        if not is_known or entry.name in earlier:
            yield entry.name
        elif entry.is_dir():
            yield from _others_within(entry)


def _others_within(folder: Path) -> Iterator[str]:
    """Git repositories, and files in the landing folder that are not the demo shop's."""
    for path, folders, files in os.walk(folder):
        place = Path(path).relative_to(folder)
        if ".git" in (*folders, *files):
            yield (folder.name / place / ".git").as_posix()
        elif folder.name == "landing":
            links = [name for name in folders if (Path(path) / name).is_symlink()]
            for name in sorted((*files, *links)):
                if not _LANDED.fullmatch((place / name).as_posix()):
                    yield (folder.name / place / name).as_posix()


def _holds_a_home(root: Path) -> bool:
    """Whether it is the user's home, the repository, or a folder around them."""
    return any(place.resolve().is_relative_to(root) for place in (Path.home(), REPOSITORY))


def _is_recognised(root: Path, entries: list[Path]) -> bool:
    if root == DEFAULT or (root / MARKER).is_file() or _is_env(root / "env"):
        return True
    return all(map(_is_of_an_install, entries))


def _is_of_an_install(entry: Path) -> bool:
    """Whether it is what `make` leaves before the demo has run: logs of the install, and an empty lock."""
    if entry.is_symlink():
        return False
    if entry.name == "logs" and entry.is_dir():
        return {each.name for each in entry.iterdir()} <= INSTALL_LOGS
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


def _earlier(root: Path) -> set[str]:
    """The names that the marker has. Raises TroubleError if it cannot be read."""
    marker = root / MARKER
    if not marker.exists():
        return set()
    try:
        return {str(name) for name in json.loads(marker.read_text())}
    except (ValueError, TypeError) as error:
        raise TroubleError(
            f"{root} was not removed: its file {MARKER} cannot be read; allowed is a JSON list of names."
        ) from error


def main() -> int:
    """Remove the state folder of the environment."""
    from perennial.demo.environment import State

    root = State.of().root
    try:
        print(f"Removed {root}." if remove(root) else f"Nothing to remove in {root}.")
    except TroubleError as trouble:
        print(f"clean stopped: {trouble.sentence}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
