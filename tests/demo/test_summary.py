import io
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from rich.table import Table

from perennial.demo import days, summary
from perennial.foundation import contracts
from perennial.foundation.lake import Lake

DAY = days.DAYS_FIRST
FILLERS: dict[Callable[[pa.DataType], bool], object] = {
    pa.types.is_string: "x",
    pa.types.is_boolean: True,
    pa.types.is_integer: 1,
    pa.types.is_date: DAY,
    pa.types.is_list: [],
}


def rows(table: str, *given: dict[str, Any]) -> pa.Table:
    """Rows of a contract: what is given, any value in the other required columns."""
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


@pytest.fixture
def landed(shop: Path) -> None:
    folder = shop / "landing" / "users" / str(DAY)
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"customer_id": ["a", "b", "c"]}), folder / "users.parquet")


@pytest.mark.usefixtures("landed")
def test_landed_is_published_and_quarantined(lake: Lake) -> None:
    published = [{"customer_id": name, "valid_from": DAY} for name in "ab"]
    lake.replace("users", rows("users", *published), DAY)
    landed, refused = summary.count_landed(), summary.count_refused(lake)
    step = ("users", DAY)
    assert summary.unbalanced(landed, summary.count_published(lake), refused) == [step]
    lake.replace("quarantine", rows("quarantine", {"table": "users", "landed_on": DAY}), DAY)
    refused = summary.count_refused(lake)
    assert (landed[step], summary.count_published(lake)[step], refused[step]) == (3, 2, 1)
    assert summary.unbalanced(landed, summary.count_published(lake), refused) == []
    shown = [
        line.split()
        for line in printed(summary.rows_table(landed, summary.count_published(lake), refused)).splitlines()
    ]
    assert ["users", "all", "days", "3", "2", "1"] in shown
    assert [str(DAY), "3", "2", "1"] in shown


def test_models_are_shown_with_headline_figures_and_aliases(lake: Lake) -> None:
    told = {"model": "return_model", "day": DAY, "change": 1, "version": 7, "verdict": "promoted"}
    lake.replace("model_log", rows("model_log", told | {"figures": '{"auc": 0.8765, "other": 1}'}), DAY)
    shown = printed(summary.models_table(lake, {"return_model": {"champion": "7", "challenger": "8"}}))
    assert "auc 0.876" in shown
    assert "champion" in shown
    assert "challenger" not in shown


def test_audiences_are_shown_with_their_sizes(lake: Lake) -> None:
    members = [{"day": DAY, "audience": "lapsed", "customer_id": str(n)} for n in range(3)]
    lake.replace("audiences", rows("audiences", *members), DAY)
    assert printed(summary.audiences_table(lake)).splitlines()[-1].split() == ["lapsed", "3"]


def test_an_empty_lake_has_a_summary(lake: Lake) -> None:
    assert summary.unbalanced(summary.count_landed(), summary.count_published(lake), {}) == []
    for table in (summary.models_table(lake, {}), summary.audiences_table(lake), summary.arms_table(lake)):
        assert printed(table)
    assert date(2017, 12, 3) in days.days()
