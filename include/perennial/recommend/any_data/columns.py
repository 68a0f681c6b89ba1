"""The values of a column as texts, numbers or times. A wrong value is an error with file, row and column."""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from perennial.foundation.arrays import BoolArray, FloatArray
from perennial.recommend.any_data.files import TableError

ORDER_DAYS = 7
"""If orders have numbers and no time: the days between two orders of a customer."""
DAY_SECONDS = 86_400
_EPOCHS = ((1e8, 1e11, 1.0), (1e11, 1e14, 1e3), (1e14, 1e17, 1e6), (1e17, 1e20, 1e9))
"""Unix time: numbers from, numbers below, units in a second."""
_DATES = 19_000_101, 21_001_231
"""Numbers from, to: dates as YYYYMMDD."""
_MAX_DAYS = 1e6
_TIMES = (
    "ISO dates and times (2024-05-31, 2024-05-31T13:00:00+02:00), unix seconds, YYYYMMDD, numbers of days "
    "below 1,000,000, or your own format (TIME_FORMAT='%d.%m.%Y')"
)


class Clock(StrEnum):
    """What the times of the purchases were made from."""

    TIMES = "times"
    DAYS = "numbered days"
    ORDERS = "numbered orders"


@dataclass(frozen=True)
class Column:
    """A column of a file, with a value for each row.

    Args:
        path: the file.
        name: of the column in the file.
        values: as read, not converted.
    """

    path: Path
    name: str
    values: pa.ChunkedArray

    @cached_property
    def text(self) -> pa.ChunkedArray:
        """As text without surrounding blanks, null where the value is missing."""
        text = pc.utf8_trim_whitespace(self.values.cast(pa.string()))
        return pc.if_else(pc.equal(text, ""), None, text)

    @cached_property
    def is_present(self) -> BoolArray:
        """Which rows have a value, shape (rows,)."""
        return pc.is_valid(self.text).to_numpy()

    def numbers(self, allowed: str = "numbers") -> FloatArray:
        """As numbers, NaN where the value is missing, shape (rows,).

        Raises:
            TableError: a value is not a number.
        """
        numbers = self._as_numbers
        self._refuse(self.is_present & ~np.isfinite(numbers), allowed)
        return numbers

    def seconds(self, time_format: str | None) -> tuple[FloatArray, Clock]:
        """As seconds since 1970 in UTC, NaN where the value is missing, shape (rows,); and the kind of clock.

        Args:
            time_format: the format of the times in the syntax of strftime; None: ISO 8601, or numbers. The
                median of the numbers decides what all of them mean.

        Raises:
            TableError: a value is not a time.
        """
        if pa.types.is_temporal(self.values.type):
            zone = getattr(self.values.type, "tz", None)
            moments = self.values.cast(pa.timestamp("s", zone), safe=False)
            return _floats(moments.cast(pa.int64())), Clock.TIMES
        if (
            time_format is None
            and self.is_present.any()
            and not np.isnan(self._as_numbers[self.is_present]).any()
        ):
            return self._from_numbers(self._as_numbers)
        allowed = _TIMES if time_format is None else repr(time_format)
        return self._from_text(self.text.to_pandas(), time_format or "ISO8601", allowed), Clock.TIMES

    @cached_property
    def _as_numbers(self) -> FloatArray:
        """NaN where the value is missing or not a number."""
        if pa.types.is_string(self.values.type) or pa.types.is_large_string(self.values.type):
            return pd.to_numeric(self.values.to_pandas(), errors="coerce").to_numpy(
                np.float64, na_value=np.nan
            )
        return _floats(self.values)

    def _from_numbers(self, numbers: FloatArray) -> tuple[FloatArray, Clock]:
        median = float(np.nanmedian(numbers))
        if _DATES[0] <= median <= _DATES[1]:
            dates = pd.Series(numbers).astype("Int64").astype("string")
            return self._from_text(dates, "%Y%m%d", "dates as YYYYMMDD, as in other rows"), Clock.TIMES
        for least, below, per_second in _EPOCHS:
            if least <= median < below:
                wrong = (numbers < 0) | (numbers >= below)
                self._refuse(wrong, f"numbers from 0 to {below:g}, as in other rows")
                return numbers / per_second, Clock.TIMES
        self._refuse((numbers < 0) | (numbers >= _MAX_DAYS), _TIMES)
        return np.floor(numbers) * DAY_SECONDS, Clock.DAYS

    def _from_text(self, text: pd.Series, time_format: str, allowed: str) -> FloatArray:
        times = pd.to_datetime(text, format=time_format, utc=True, errors="coerce")
        is_missing = times.isna().to_numpy()
        self._refuse(self.is_present & is_missing, allowed)
        seconds = times.dt.tz_localize(None).to_numpy("datetime64[s]").astype(np.int64)
        return np.where(is_missing, np.nan, seconds)

    def _refuse(self, wrong: BoolArray, allowed: str) -> None:
        """Raise a `TableError` for the first wrong row, if there is one."""
        if wrong.any():
            row, count = int(np.argmax(wrong)), int(wrong.sum())
            more = f" ({count:,} such rows)" if count > 1 else ""
            raise TableError(
                f"{self.path}, row {row + 1:,}, column {self.name}: found {str(self.values[row].as_py())!r}; "
                f"allowed are {allowed}{more}"
            )


def seconds_from_orders(orders: Column, customers: Column) -> FloatArray:
    """A made-up time for each row in seconds: the orders of a customer come `ORDER_DAYS` after one another.

    Raises:
        TableError: an order has no number.
    """
    numbers = orders.numbers("numbers that grow with time, because there is no column of times (TIME=…)")
    order_numbers = pd.DataFrame({"customer": customers.text.to_pandas(), "order": numbers})
    place = order_numbers.groupby("customer")["order"].rank("dense").to_numpy(np.float64)
    return place * ORDER_DAYS * DAY_SECONDS


def _floats(values: pa.ChunkedArray) -> FloatArray:
    return values.cast(pa.float64()).to_numpy()
