"""One pass over every landed row. Only the place, the day and the pattern of each row are kept.

A landing is read in chunks of whole days, so that the chunk bounds the memory (an id may come again on
another day). A single day that is larger than a chunk is read as a whole; the engine spills to disk.
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
from perennial.ingestion.days import Period
from perennial.ingestion.mapping import Mapped, mapped
from perennial.ingestion.normalise import stamp
from perennial.ingestion.source_settings import CustomerIds, Source, Sources
from perennial.ingestion.sources import DAY, Landed

CHUNK_ROWS = 2_000_000


@dataclass(frozen=True)
class Scan:
    """The scan of one table's landing.

    rows: in the contract's columns and types, with `known_on`, contact data hidden; computed when read.
    row_patterns: `_at`, `_day`, `pattern`, `_happened` of each row; the engine holds them.
    counts: `_day`, `pattern`, `rows`: the number of rows of each day and pattern.
    patterns: one row a pattern: the columns that the suite reads, `pattern` and `rows`.
    broken: `_at`, `_day`, `_broken` of the lines that are no rows; None if the source cannot have such lines.
    left_out: tables with the `_day` of each row that `where` or `keep` left out.
    """

    rows: ir.Table
    row_patterns: ir.Table
    counts: pd.DataFrame
    patterns: pd.DataFrame
    broken: ir.Table | None
    left_out: Sequence[ir.Table]


def scan(
    landed: Landed,
    contract: Contract,
    source_settings: Sources,
    period: Period,
    references: Mapping[str, ir.Table],
    stack: ExitStack,
) -> Scan:
    """Scan every row of the landing. The result can be used until `stack` closes.

    Args:
        landed: the table's sources.
        contract: the table's contract.
        source_settings: the settings of all sources.
        period: the days that land.
        references: column that names ids of another table → those ids, with `since`, the first day of each.
        stack: closes what the result needs.
    """
    chunks = [_mapped(landed, numbers, contract, period) for numbers in landed.chunks(CHUNK_ROWS)]
    rows = _pseudonymous([_stamped(chunk, contract, period) for chunk in chunks], contract, source_settings)
    digits = row_checks.pattern_digits(contract, source_settings.of(contract.name).rules.nulls)
    patterns_by_row = stack.enter_context(_row_patterns(rows, digits, contract, period, references))
    patterns, counts = _counted(patterns_by_row, digits)
    if patterns[row_checks.SUSPECT].any():
        # Rare. Masking may change ids, so everything is computed again.
        rows = [
            masking.hide(part, row_checks.texts_without_contacts(contract), settings().key) for part in rows
        ]
        patterns_by_row = stack.enter_context(_row_patterns(rows, digits, contract, period, references))
        patterns, counts = _counted(patterns_by_row, digits)
    parts = [part for chunk in chunks for _, part in chunk]
    broken = [part.broken for part in parts if part.broken is not None]
    return Scan(
        rows=ibis.union(*rows),
        row_patterns=patterns_by_row,
        counts=counts,
        patterns=patterns,
        broken=stack.enter_context(engine.gathered(broken)) if broken else None,
        left_out=[part.left_out for part in parts if part.left_out is not None],
    )


def _mapped(
    landed: Landed, numbers: Sequence[int], contract: Contract, period: Period
) -> list[tuple[Source, Mapped]]:
    return [(raw.source, mapped(raw, contract, period.first, period.last)) for raw in landed.raw(numbers)]


def _stamped(chunk: Sequence[tuple[Source, Mapped]], contract: Contract, period: Period) -> ir.Table:
    zone = settings().zone
    return ibis.union(
        *(stamp(part.rows, contract, zone, period.last, _lag(source, period)) for source, part in chunk)
    )


def _lag(source: Source, period: Period) -> int | None:
    return source.history.lag_days if period.history and source.history else None


def _pseudonymous(rows: list[ir.Table], contract: Contract, source_settings: Sources) -> list[ir.Table]:
    """The rows; personal customer ids are replaced by pseudonyms."""
    if source_settings.customer_ids is CustomerIds.OPAQUE or "customer_id" not in contract.schema.names:
        return rows
    key = settings().key
    if key is None:
        raise ConfigError(
            "sources.yaml: customer_ids: found personal; personal ids need PERENNIAL_PSEUDONYM_KEY"
        )
    return [masking.pseudonymise(part, ["customer_id"], key) for part in rows]


def _row_patterns(
    rows: Sequence[ir.Table],
    digits: Sequence[row_checks.PatternDigit],
    contract: Contract,
    period: Period,
    references: Mapping[str, ir.Table],
) -> AbstractContextManager[ir.Table]:
    zone = settings().zone

    def parts() -> Iterator[ir.Table]:
        for part in rows:
            checked = row_checks.with_checks(part, contract, references, zone, period.last)
            with_pattern = row_checks.with_pattern(checked, digits, contract, zone, period.last)
            with ExitStack() as chunk_stack:
                computed = chunk_stack.enter_context(engine.kept(with_pattern))
                yield row_checks.with_uniqueness(computed, part, digits, contract, chunk_stack)

    return engine.gathered(parts())


def _counted(
    patterns_by_row: ir.Table, digits: Sequence[row_checks.PatternDigit]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row for each pattern with its number of rows; and the number of rows by day and pattern."""
    counted = patterns_by_row.group_by(DAY, row_checks.PATTERN).agg(rows=patterns_by_row.count())
    counts = counted.to_pyarrow().to_pandas(date_as_object=True)
    rows = counts.groupby(row_checks.PATTERN)["rows"].sum()
    frame = row_checks.decoded([int(pattern) for pattern in rows.index], digits)
    return frame.assign(rows=rows.to_numpy()), counts
