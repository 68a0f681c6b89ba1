"""One look at every row that landed: of each row its place, its day and its pattern are kept, and no more.

A landing is looked at in chunks of whole days, so that memory is bounded by the chunk (an id repeated on
another day is no repetition). A single day larger than a chunk is looked at as a whole; the engine spills
what it cannot hold.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir
import pandas as pd

from perennial.foundation import engine, masking
from perennial.foundation.config import ConfigError
from perennial.foundation.contracts import Contract
from perennial.foundation.settings import settings
from perennial.ingestion import row_checks
from perennial.ingestion.days import Stretch
from perennial.ingestion.mapping import Mapped, mapped
from perennial.ingestion.normalise import stamp
from perennial.ingestion.source_settings import CustomerIds, Source, Sources
from perennial.ingestion.sources import DAY, Landed

CHUNK_ROWS = 2_000_000


@dataclass(frozen=True)
class Scan:
    """What was seen of a landing.

    rows: in the contract's columns and types, stamped, contact data hidden; computed when asked for.
    marks: `_at`, `_day`, `pattern`, `_happened` of each, held by the engine.
    counts: by day and pattern: `_day, pattern, rows`.
    patterns: each pattern once: what the suite reads, `pattern` and `rows`.
    broken: `_at`, `_day`, `_broken` of the lines that are no rows; None if there can be none.
    left_out: `_day` of each row that was left out on purpose.
    """

    rows: ir.Table
    marks: ir.Table
    counts: pd.DataFrame
    patterns: pd.DataFrame
    broken: ir.Table | None
    left_out: Sequence[ir.Table]


def scan(
    landed: Landed,
    contract: Contract,
    declared: Sources,
    stretch: Stretch,
    references: Mapping[str, ir.Table],
    held: ExitStack,
) -> Scan:
    """Look at every row. What is answered can be used until `held` closes."""
    chunks = [_mapped(landed, numbers, contract, stretch) for numbers in landed.chunks(CHUNK_ROWS)]
    rows = _pseudonymous([_stamped(chunk, contract, stretch) for chunk in chunks], contract, declared)
    read_off = row_checks.signs(contract, declared.of(contract.name).rules.nulls)
    marks = held.enter_context(_marks(rows, read_off, contract, stretch, references))
    patterns, counts = _counted(marks, read_off)
    if patterns[row_checks.SUSPECT].any():
        # Rare, and then ids may become others: everything is looked at again.
        rows = [masking.hide(part, row_checks.watched(contract), settings().key) for part in rows]
        marks = held.enter_context(_marks(rows, read_off, contract, stretch, references))
        patterns, counts = _counted(marks, read_off)
    parts = [part for chunk in chunks for _, part in chunk]
    broken = [part.broken for part in parts if part.broken is not None]
    return Scan(
        rows=ibis.union(*rows),
        marks=marks,
        counts=counts,
        patterns=patterns,
        broken=held.enter_context(engine.gathered(broken)) if broken else None,
        left_out=[part.left_out for part in parts if part.left_out is not None],
    )


def _mapped(
    landed: Landed, numbers: Sequence[int], contract: Contract, stretch: Stretch
) -> list[tuple[Source, Mapped]]:
    return [(raw.source, mapped(raw, contract, stretch.first, stretch.last)) for raw in landed.raw(numbers)]


def _stamped(chunk: Sequence[tuple[Source, Mapped]], contract: Contract, stretch: Stretch) -> ir.Table:
    zone = settings().zone
    return ibis.union(
        *(stamp(part.rows, contract, zone, stretch.last, _lag(source, stretch)) for source, part in chunk)
    )


def _lag(source: Source, stretch: Stretch) -> int | None:
    return source.history.lag_days if stretch.history and source.history else None


def _pseudonymous(rows: list[ir.Table], contract: Contract, declared: Sources) -> list[ir.Table]:
    """The rows, personal ids of customers replaced by pseudonyms."""
    if declared.customer_ids is CustomerIds.OPAQUE or "customer_id" not in contract.schema.names:
        return rows
    key = settings().key
    if key is None:
        raise ConfigError("sources.yaml: customer_ids: personal ids need PERENNIAL_PSEUDONYM_KEY")
    return [masking.pseudonymise(part, ["customer_id"], key) for part in rows]


def _marks(
    rows: Sequence[ir.Table],
    read_off: Sequence[row_checks.Sign],
    contract: Contract,
    stretch: Stretch,
    references: Mapping[str, ir.Table],
) -> AbstractContextManager[ir.Table]:
    zone = settings().zone

    def parts() -> Iterator[ir.Table]:
        for part in rows:
            told = row_checks.add(part, contract, references, zone, stretch.last)
            looked = row_checks.look(told, read_off, contract, zone, stretch.last)
            with ExitStack() as meanwhile:
                once = meanwhile.enter_context(engine.kept(looked))
                yield row_checks.settle(once, part, read_off, contract, meanwhile)

    return engine.gathered(parts())


def _counted(marks: ir.Table, read_off: Sequence[row_checks.Sign]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Each pattern once, with its rows; and the rows by day and pattern."""
    counted = marks.group_by(DAY, row_checks.PATTERN).agg(rows=marks.count())
    counts = counted.to_pyarrow().to_pandas(date_as_object=True)
    rows = counts.groupby(row_checks.PATTERN)["rows"].sum()
    frame = row_checks.patterns([int(pattern) for pattern in rows.index], read_off)
    return frame.assign(rows=rows.to_numpy()), counts
