"""A landed table as known on a past day: nothing that came later, the newest version of each row."""

from datetime import date, datetime, timedelta

import ibis
import ibis.expr.types as ir

from perennial.foundation.contracts import LANDED_TABLES, Contract
from perennial.foundation.lake.table import LakeError
from perennial.foundation.settings import settings


def end_of(day: date) -> datetime:
    """The first instant (UTC) after `day` in the shop's time zone."""
    return datetime.combine(day + timedelta(days=1), datetime.min.time(), settings().zone)


def known_by(rows: ir.Table, contract: Contract, day: date) -> ir.Table:
    """Of each id the newest version known at the end of the day.

    Columns that the contract marks `earliest` have the earliest value of all versions known by then.

    Args:
        rows: all versions, in the contract's columns.
        contract: of the table.
        day: the day.

    Raises:
        LakeError: the table has no `known_on`; only landed tables have.
    """
    if "known_on" not in contract.schema.names:
        raise LakeError(f"{contract.name}: has no known_on; `known` reads landed tables: {LANDED_TABLES}")
    rows = rows.filter(rows.known_on <= day)
    if "occurred_at" in contract.schema.names:
        rows = rows.filter(rows.occurred_at < end_of(day))
    *identity, version = contract.key
    return _newest(rows, identity, version, contract.earliest)


def _newest(rows: ir.Table, identity: list[str], version: str, earliest: tuple[str, ...]) -> ir.Table:
    order = ibis.window(group_by=identity, order_by=ibis.desc(version))
    whole = ibis.window(group_by=identity)
    first = {column: rows[column].min().over(whole) for column in earliest}
    ranked = rows.mutate(_rank=ibis.row_number().over(order), **first)
    return ranked.filter(ranked._rank == 0).drop("_rank")
