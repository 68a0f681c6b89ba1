import io
from collections.abc import Callable
from datetime import date
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from perennial.demo import drive_days, summary
from perennial.foundation import contracts
from perennial.foundation.lake import Lake
from perennial.ingestion.reconciliation import Entry

DAY = drive_days.DAYS_FIRST
FILLERS: dict[Callable[[pa.DataType], bool], object] = {
    pa.types.is_string: "x",
    pa.types.is_boolean: True,
    pa.types.is_integer: 1,
    pa.types.is_date: DAY,
    pa.types.is_list: [],
}


def rows(table: str, *given: dict[str, Any]) -> pa.Table:
    """Rows of a contract: the given values, and filler values in the other required columns."""
    schema = contracts.CONTRACTS[table].schema

    def value(field: pa.Field, row: dict[str, Any]) -> Any:
        if field.name in row or field.nullable:
            return row.get(field.name)
        return next(filler for fits, filler in FILLERS.items() if fits(field.type))

    return pa.Table.from_pylist([{f.name: value(f, row) for f in schema} for row in given], schema=schema)


def printed(table: Table) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(table)
    return console.file.getvalue()


def test_rows_are_summed_for_each_table_history_and_day() -> None:
    entries = [
        Entry("users", drive_days.HISTORY_FIRST, 40, 39, 1),
        Entry("users", drive_days.HISTORY_LAST, 2, 2, 0),
        Entry("users", DAY, 3, 2, 1),
        Entry("contacts", DAY, 1000, 1000, 0),
    ]
    shown = [line.split() for line in printed(summary.rows_table(entries)).splitlines()]
    assert ["users", "all", "days", "45", "43", "2"] in shown
    assert [f"…{drive_days.HISTORY_LAST}", "42", "41", "1"] in shown
    assert [str(DAY), "3", "2", "1"] in shown
    assert ["contacts", "all", "days", "1,000", "1,000", "0"] in shown


def test_models_are_shown_with_headline_figures_and_aliases(lake: Lake) -> None:
    row = {"model": "return_model", "day": DAY, "change": 1, "version": 7, "verdict": "promoted"}
    lake.replace("model_log", rows("model_log", row | {"figures": '{"auc": 0.8765, "other": 1}'}), DAY)
    shown = printed(summary.models_table(lake, {"return_model": {"champion": "7", "challenger": "8"}}))
    assert "auc 0.876" in shown
    assert "champion" in shown
    assert "challenger" not in shown


def test_audiences_are_shown_with_their_sizes(lake: Lake) -> None:
    members = [{"day": DAY, "audience": "lapsed", "customer_id": str(n)} for n in range(3)]
    lake.replace("audiences", rows("audiences", *members), DAY)
    assert printed(summary.audiences_table(lake)).splitlines()[-1].split() == ["lapsed", "3"]


def test_an_empty_lake_has_a_summary(lake: Lake) -> None:
    for table in (
        summary.rows_table([]),
        summary.models_table(lake, {}),
        summary.audiences_table(lake),
        summary.arms_table(lake),
    ):
        assert printed(table)
    assert date(2017, 12, 3) in drive_days.days()
