"""Keeping the lake small: old days dropped, small files joined, what no kept version needs removed.

A version is kept that was the newest at some time in the kept days. Each step is one atomic commit, or takes
away only what nobody reads: killed anywhere and run again, the content is equal.

There is no clock here: `now` is an argument. Delta's own vacuum and log clean-up go by the machine's clock
and the ages of files; which versions are kept is told to them.
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
"""Delta begins a further file at this size."""
LEFTOVER_AFTER = timedelta(days=2)
"""Longer than any task runs: what is older in the staging folder has lost its owner."""

MADE_AGAIN = ("profiles", "scores", "recommendations")
"""Tables whose old days may go: they can be made again. The others hold what happened or was decided."""

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
    """What `lake.yaml` says, with another `kept_days` if one is given."""
    found = config.load("lake", Upkeep)
    return found if kept_days is None else Upkeep(kept_days=kept_days, keep=found.keep)


def maintain(
    tables: Sequence[str], now: datetime, kept_days: int | None = None, *, dry_run: bool = False
) -> dict[str, Report]:
    """Tidy these tables (none named: all) and the staging folder; for each table what was done.

    Args:
        tables: their names.
        now: from when the kept days are counted back.
        kept_days: another number than `lake.yaml` has.
        dry_run: only say what would be done.

    Raises:
        LakeError: some tables could not be tidied; the others are done all the same.
    """
    chosen, reports, failed = upkeep(kept_days), {}, {}
    for name in tables or contracts.CONTRACTS:
        try:
            reports[name] = tidy(_home(name).table(name), chosen, now, dry_run=dry_run)
            logger.info("%s: %s", name, reports[name])
        except Exception as error:
            logger.exception("%s could not be tidied", name)
            failed[name] = error
    left = sweep(settings().staging, now - LEFTOVER_AFTER, dry_run=dry_run)
    logger.info("left by killed tasks in the staging folder: %s", left or "nothing")
    if failed:
        said = "; ".join(f"{name}: {error}" for name, error in failed.items())
        raise LakeError(f"{len(failed)} of {len(reports) + len(failed)} tables could not be tidied: {said}")
    return reports


def tidy(table: Table, chosen: Upkeep, now: datetime, *, dry_run: bool = False) -> Report:
    """Drop, join, remove; what the table holds, before and after, and what was done."""
    found = table.open()
    if found is None:
        return {}
    before = files(found)
    late = _late_days(before, chosen.keep.get(table.contract.name))
    crowded = [day for day in crowded_days(before) if day not in late]
    if not dry_run:
        if late:
            table.replace(table.contract.schema.empty_table(), min(late), max(late))
        for day in crowded:
            table.rewrite(day)
    kept = oldest_kept(_opened(table), now - timedelta(days=chosen.kept_days))
    removed = _remove(table, kept, chosen.kept_days, dry_run=dry_run)
    return {
        "dropped_days": len(late),
        "joined_days": len(crowded),
        "removed_files": removed,
        "oldest_version": kept,
        "before": _figures(found),
        "after": _figures(_opened(table)),
    }


def files(found: DeltaTable) -> pa.Table:
    """The files of a version: `day` (null where the table is not split by day), `bytes`, `rows`."""
    listed = pa.table(found.get_add_actions(flatten=True))
    split = found.metadata().partition_columns
    day = listed[f"partition.{split[0]}"] if split else pa.nulls(len(listed), pa.date32())
    return pa.table({"day": day, "bytes": listed["size_bytes"], "rows": listed["num_records"]})


def crowded_days(listed: pa.Table) -> list[date | None]:
    """The days that have at least twice as many files as they need."""
    days = listed.group_by("day").aggregate([("bytes", "count"), ("bytes", "sum")]).to_pylist()
    needed = {row["day"]: max(1, math.ceil(row["bytes_sum"] / FULL_FILE_BYTES)) for row in days}
    return [row["day"] for row in days if row["bytes_count"] >= 2 * needed[row["day"]]]


def oldest_kept(found: DeltaTable, since: datetime) -> int:
    """The version that was the newest at `since`; the oldest there is, if the table or its log is younger."""
    made = {entry["version"]: entry["timestamp"] for entry in found.history()}
    younger = [version for version, stamp in made.items() if stamp > since.timestamp() * 1000]
    return max(min(younger, default=found.version() + 1) - 1, min(made))


def sweep(folder: Path, before: datetime, *, dry_run: bool = False) -> list[str]:
    """Remove what tasks made here and nobody has touched since `before`; the names of what went."""
    made = [each for each in folder.glob("*") if staging.is_made(each.name)]
    made += [each for each in folder.glob(f"{staging.SPILL}/*") if staging.is_spilled(each.name)]
    old = [each for each in made if _touched(each) < before.timestamp()]
    for each in () if dry_run else old:
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each, ignore_errors=True)
        else:
            each.unlink(missing_ok=True)
    return sorted(each.name for each in old)


def _remove(table: Table, kept: int, kept_days: int, *, dry_run: bool) -> int:
    """Remove data files and log entries that no version from `kept` on needs; how many data files.

    A file that no log names was left by a killed writer, or its removal was forgotten by a checkpoint. Only a
    `full` vacuum finds it, by its age: a day more for writers that took long.
    """
    removed: list[str] = []
    if not dry_run:
        table.commit(lambda: _say_how_long(_opened(table), kept_days))

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


def _say_how_long(found: DeltaTable, kept_days: int) -> None:
    """Write into the table what is kept, so that other tools keep it too, and ours alone cleans the log."""
    kept = f"interval {kept_days} days"
    wanted = {
        "delta.deletedFileRetentionDuration": kept,
        "delta.logRetentionDuration": kept,
        "delta.enableExpiredLogCleanup": "false",
    }
    if not wanted.items() <= found.metadata().configuration.items():
        found.alter.set_table_properties(wanted)


def _clean_log(table: Table, kept: int) -> None:
    """Remove the log before the oldest kept version, and sum up the rest so that opening stays quick."""
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


def _figures(found: DeltaTable) -> Report:
    """A version in a few numbers."""
    listed = files(found)
    oldest, newest = (best(listed["day"]).as_py() for best in (pc.min, pc.max))
    return {
        "version": found.version(),
        "rows": pc.sum(listed["rows"]).as_py() or 0,
        "files": len(listed),
        "bytes": pc.sum(listed["bytes"]).as_py() or 0,
        "oldest": oldest and oldest.isoformat(),
        "newest": newest and newest.isoformat(),
    }


def _opened(table: Table, version: int | None = None) -> DeltaTable:
    found = table.open(version)
    assert found is not None, f"{table.contract.name} went away"
    return found


def _home(name: str) -> Lake:
    """Where a table is."""
    return open_vault() if name == contracts.CONTACTS.name else open_lake()


def _touched(path: Path) -> float:
    """When anything at or below a path was last written."""
    try:
        return max(each.stat().st_mtime for each in (path, *path.rglob("*")))
    except FileNotFoundError:
        return math.inf
