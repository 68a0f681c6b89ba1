"""Keeping the lake small: old days are dropped, small files joined, and files without a use removed.

A version is kept if it was the newest at some time in the kept days. Each step is one atomic commit, or
removes only what no reader needs: a run that was killed can be run again, and the content is equal.

There is no clock here: `now` is an argument. Delta's own vacuum and log clean-up go by the machine's clock
and the ages of files; they are given the versions to keep.
"""

import logging
import math
import shutil
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from pydantic import Field, field_validator

from perennial.foundation import config, contracts, staging
from perennial.foundation.config import Part
from perennial.foundation.lake import Lake, LakeError, open_lake, open_vault
from perennial.foundation.lake.table import Table
from perennial.foundation.settings import settings

logger = logging.getLogger(__name__)
FULL_FILE_BYTES = 100 * 2**20
"""At this size Delta begins another file."""
LEFTOVER_AFTER = timedelta(days=2)
"""Longer than any task runs: files in the staging folder that are older have no owner any more."""

MADE_AGAIN = ("profiles", "scores", "recommendations")
"""Tables whose old days may be dropped: they can be computed again. Others hold facts or decisions."""

Days = Annotated[int, Field(ge=1)]
Report = dict[str, object]


class Upkeep(Part):
    """`lake.yaml`: what is kept."""

    kept_days: Days = 30
    keep: dict[str, Days] = Field(default_factory=dict)

    @field_validator("keep")
    @classmethod
    def _made_again(cls, keep: dict[str, int]) -> dict[str, int]:
        if others := sorted(keep.keys() - set(MADE_AGAIN)):
            raise ValueError(f"days of {', '.join(others)} cannot be dropped; allowed are {MADE_AGAIN}")
        return keep


def upkeep(kept_days: int | None = None) -> Upkeep:
    """The settings of `lake.yaml`, with another `kept_days` if one is given."""
    declared = config.load("lake", Upkeep)
    return declared if kept_days is None else Upkeep(kept_days=kept_days, keep=declared.keep)


def maintain(
    tables: Sequence[str], now: datetime, kept_days: int | None = None, *, dry_run: bool = False
) -> dict[str, Report]:
    """Tidy these tables (none named: all) and the staging folder; a report for each table.

    Args:
        tables: their names.
        now: from when the kept days are counted back.
        kept_days: instead of the number in `lake.yaml`.
        dry_run: only report what would be done.

    Raises:
        LakeError: tables could not be tidied; the other tables are tidied all the same.
    """
    limits, reports, failed = upkeep(kept_days), {}, {}
    for name in tables or contracts.CONTRACTS:
        try:
            reports[name] = tidy(_home(name).table(name), limits, now, dry_run=dry_run)
            logger.info("%s: %s", name, reports[name])
        except Exception as error:
            logger.exception("%s could not be tidied", name)
            failed[name] = error
    left = sweep(settings().staging, now - LEFTOVER_AFTER, dry_run=dry_run)
    logger.info("left by killed tasks in the staging folder: %s", left or "nothing")
    if failed:
        reasons = "; ".join(f"{name}: {error}" for name, error in failed.items())
        raise LakeError(
            f"{len(failed)} of {len(reports) + len(failed)} tables could not be tidied: {reasons}"
        )
    return reports


def tidy(table: Table, limits: Upkeep, now: datetime, *, dry_run: bool = False) -> Report:
    """Drop old days, join small files, remove unneeded files; a report of the table before and after."""
    opened = table.open()
    if opened is None:
        return {}
    before = files(opened)
    late = _late_days(before, limits.keep.get(table.contract.name))
    crowded = [day for day in crowded_days(before) if day not in late]
    if not dry_run:
        if late:
            table.replace(table.contract.schema.empty_table(), min(late), max(late))
        for day in crowded:
            table.rewrite(day)
    kept = oldest_kept(_opened(table), now - timedelta(days=limits.kept_days))
    removed = _remove(table, kept, limits.kept_days, dry_run=dry_run)
    return {
        "dropped_days": len(late),
        "joined_days": len(crowded),
        "removed_files": removed,
        "oldest_version": kept,
        "before": _figures(opened),
        "after": _figures(_opened(table)),
    }


def files(opened: DeltaTable) -> pa.Table:
    """The files of a version: `day` (null where the table is not split by day), `bytes`, `rows`."""
    listed = pa.table(opened.get_add_actions(flatten=True))
    split = opened.metadata().partition_columns
    day = listed[f"partition.{split[0]}"] if split else pa.nulls(len(listed), pa.date32())
    return pa.table({"day": day, "bytes": listed["size_bytes"], "rows": listed["num_records"]})


def crowded_days(listed: pa.Table) -> list[date | None]:
    """The days that have at least twice as many files as they need."""
    days = listed.group_by("day").aggregate([("bytes", "count"), ("bytes", "sum")]).to_pylist()
    needed = {row["day"]: max(1, math.ceil(row["bytes_sum"] / FULL_FILE_BYTES)) for row in days}
    return [row["day"] for row in days if row["bytes_count"] >= 2 * needed[row["day"]]]


def oldest_kept(opened: DeltaTable, since: datetime) -> int:
    """The version that was the newest at `since`; the oldest one if the table or its log is younger."""
    made = {entry["version"]: entry["timestamp"] for entry in opened.history()}
    younger = [version for version, stamp in made.items() if stamp > since.timestamp() * 1000]
    return max(min(younger, default=opened.version() + 1) - 1, min(made))


def sweep(folder: Path, before: datetime, *, dry_run: bool = False) -> list[str]:
    """Remove what tasks made here and nobody has touched since `before`; the names of what was removed."""
    made = [path for path in folder.glob("*") if staging.is_made(path.name)]
    made += [path for path in folder.glob(f"{staging.SPILL}/*") if staging.is_spilled(path.name)]
    old = [path for path in made if _touched(path) < before.timestamp()]
    for path in () if dry_run else old:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return sorted(path.name for path in old)


def _remove(table: Table, kept: int, kept_days: int, *, dry_run: bool) -> int:
    """Remove data files and log entries that no version from `kept` on needs; how many data files.

    A file that no log names was left by a killed writer, or a checkpoint lost the record of its removal. Only
    a `full` vacuum finds it, by its age; one more day is for slow writers.
    """
    removed: list[str] = []
    if not dry_run:
        table.commit(lambda: _write_retention(_opened(table), kept_days))

    def vacuum() -> None:
        removed[:] = _opened(table).vacuum(
            (kept_days + 1) * 24,
            dry_run=dry_run,
            enforce_retention_duration=not dry_run,
            full=True,
            keep_versions=[kept],
        )

    table.commit(vacuum)
    if not dry_run:
        _clean_log(table, kept)
    return len(removed)


def _write_retention(opened: DeltaTable, kept_days: int) -> None:
    """Write into the table what is kept: other tools keep it too, and only ours cleans the log."""
    kept = f"interval {kept_days} days"
    wanted = {
        "delta.deletedFileRetentionDuration": kept,
        "delta.logRetentionDuration": kept,
        "delta.enableExpiredLogCleanup": "false",
    }
    if not wanted.items() <= opened.metadata().configuration.items():
        opened.alter.set_table_properties(wanted)


def _clean_log(table: Table, kept: int) -> None:
    """Remove the log before the oldest kept version; checkpoints of the rest keep opening quick."""
    oldest = _opened(table, kept)
    if kept:
        oldest.create_checkpoint()
        oldest.cleanup_metadata()
    _opened(table).create_checkpoint()


def _late_days(listed: pa.Table, keep: int | None) -> list[date]:
    newest = pc.max(listed["day"]).as_py()
    if keep is None or newest is None:
        return []
    return sorted({day for day in listed["day"].to_pylist() if day < newest - timedelta(days=keep)})


def _figures(opened: DeltaTable) -> Report:
    """A version in numbers."""
    listed = files(opened)
    oldest, newest = (best(listed["day"]).as_py() for best in (pc.min, pc.max))
    return {
        "version": opened.version(),
        "rows": pc.sum(listed["rows"]).as_py() or 0,
        "files": len(listed),
        "bytes": pc.sum(listed["bytes"]).as_py() or 0,
        "oldest": oldest and oldest.isoformat(),
        "newest": newest and newest.isoformat(),
    }


def _opened(table: Table, version: int | None = None) -> DeltaTable:
    opened = table.open(version)
    assert opened is not None, f"{table.contract.name} is gone"
    return opened


def _home(name: str) -> Lake:
    """The lake or the vault, whichever has the table."""
    return open_vault() if name == contracts.CONTACTS.name else open_lake()


def _touched(path: Path) -> float:
    """When a file at or below the path was last written."""
    try:
        return max(each.stat().st_mtime for each in (path, *path.rglob("*")))
    except FileNotFoundError:
        return math.inf
