"""The peer: the whole landing in one pandas frame, judged by Great Expectations, written to Parquet.

As a competent engineer would write it: references are merged and repeats found by pandas first, so that the
suite judges boolean columns; bad rows are named by a column of row numbers and set aside with their reasons.
In its favour: money is read as float64 (frames of Python decimals are many times slower), the context is made
once, and the good rows go to a single file without partitions.
"""

import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from great_expectations import ExpectationSuite
from great_expectations.core.batch_definition import BatchDefinition
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.expectations import Expectation

from perennial.foundation import contracts

NAME = f"pandas {pd.__version__} and great_expectations {gx.__version__}"
_KEYS = {"events": ["event_id"], "promotions": ["item_id", "store_id", "week"]}
_REFERENCES = {
    "events": {"item_id": "items", "customer_id": "users"},
    "promotions": {"item_id": "items"},
}
_BY_DAY = ds.partitioning(pa.schema([("landed_on", pa.date32())]))


def prepare(table: str, folder: Path) -> tuple[Callable[[], object], Callable[[], int]]:
    """Nothing to do before a run, and the run: the rows refused."""
    _frames()
    return lambda: None, lambda: _ingest(table, folder)


def suite(table: str) -> ExpectationSuite:
    """What our own suite asks of rows whose types Parquet has already settled."""
    return ExpectationSuite(table, expectations=_RULES[table]())


def _ingest(table: str, folder: Path) -> int:
    rows = _read(folder / "landing", table)
    for column, name in _REFERENCES[table].items():
        ids = _read(folder / "landing", name)[[column]].assign(known=True)
        merged = rows[[column]].merge(ids, on=column, how="left")
        rows[f"{column}_known"] = (merged["known"].notna() | merged[column].isna()).to_numpy()
    rows["unique"] = ~rows.duplicated([*_KEYS[table], "landed_on"])
    if table == "events":
        rows["in_time"] = rows["occurred_at"].dt.normalize() <= rows["landed_on"]
    rows["row"] = range(len(rows))
    reasons = _reasons(rows, table)
    refused = rows["row"].isin(list(reasons))
    aside = rows[refused].assign(reasons=rows.loc[refused, "row"].map(reasons))
    aside.to_parquet(folder / "pandas_quarantine.parquet")
    _write(rows[~refused], table, folder / "pandas.parquet")
    return len(aside)


def _read(landing: Path, table: str) -> pd.DataFrame:
    rows = ds.dataset(landing / table, partitioning=_BY_DAY, format="parquet").to_table()
    kinds = [
        field.with_type(pa.float64()) if pa.types.is_decimal(field.type) else field for field in rows.schema
    ]
    return rows.cast(pa.schema(kinds)).to_pandas(date_as_object=False)


def _reasons(rows: pd.DataFrame, table: str) -> dict[int, list[str]]:
    wanted = {"result_format": "COMPLETE", "unexpected_index_column_names": ["row"]}
    reasons: dict[int, list[str]] = {}
    results = _frames().get_batch({"dataframe": rows}).validate(suite(table), result_format=wanted).results
    for result in results:
        rule = result.expectation_config
        if rule is None or result.exception_info.get("raised_exception") is not False:
            raise RuntimeError(f"{rule} could not be evaluated: {result.exception_info}")
        for found in [] if result.success else result.result["unexpected_index_list"]:
            reasons.setdefault(found["row"], []).append(f"{rule.kwargs['column']}: {rule.type}")
    return reasons


def _write(rows: pd.DataFrame, table: str, path: Path) -> None:
    schema = contracts.CONTRACTS[table].schema
    loose = pa.schema([field.with_nullable(True) for field in schema])
    whole = rows.assign(known_on=rows["landed_on"]).reindex(columns=schema.names)
    pq.write_table(pa.Table.from_pandas(whole, preserve_index=False).cast(loose, safe=False), path)


def _event_rules() -> list[Expectation]:
    return [
        *(_given(column) for column in ("event_id", "customer_id", "event_type", "occurred_at")),
        gxe.ExpectColumnValuesToBeInSet(column="event_type", value_set=list(contracts.EVENT_TYPES)),
        *(_is_true(column) for column in ("item_id_known", "customer_id_known", "unique", "in_time")),
        _at_least(1, "quantity"),
        *(_at_least(0, column) for column in ("revenue", "unit_price", "shelf_discount", "coupon_discount")),
    ]


def _promotion_rules() -> list[Expectation]:
    first, last = pd.Timestamp("1900-01-01"), pd.Timestamp("2199-12-31")
    return [
        *(_given(column) for column in ("item_id", "store_id", "week", "display", "mailer")),
        *(_is_true(column) for column in ("item_id_known", "unique")),
        gxe.ExpectColumnValuesToBeBetween(column="week", min_value=first, max_value=last),
        gxe.ExpectColumnValuesToBeInSet(column="display", value_set=list("0123456789A")),
        gxe.ExpectColumnValuesToBeInSet(column="mailer", value_set=list("0ACDFHJLPXZ")),
    ]


_RULES: dict[str, Callable[[], list[Expectation]]] = {"events": _event_rules, "promotions": _promotion_rules}


def _given(column: str) -> Expectation:
    return gxe.ExpectColumnValuesToNotBeNull(column=column)


def _is_true(column: str) -> Expectation:
    return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=[True])


def _at_least(least: float, column: str) -> Expectation:
    return gxe.ExpectColumnValuesToBeBetween(column=column, min_value=least)


@cache
def _frames() -> BatchDefinition:
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("landing").add_dataframe_asset("rows")
    return asset.add_batch_definition_whole_dataframe("all")
