"""What stands in a column: texts, numbers, moments. What is none is refused by file, row and column."""

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
"""Where orders have numbers and no time, one is taken to come so many days after the one before."""
DAY_SECONDS = 86_400
_EPOCHS = ((1e8, 1e11, 1.0), (1e11, 1e14, 1e3), (1e14, 1e17, 1e6), (1e17, 1e20, 1e9))
"""Numbers from, below: so many to the second."""
_DATES = 19_000_101, 21_001_231
_MOST_DAYS = 1e6
_TIMES = (
    "ISO dates and times (2024-05-31, 2024-05-31T13:00:00+02:00), unix seconds, YYYYMMDD, numbers of days "
    "below 1,000,000, or a format of your own (TIME_FORMAT='%d.%m.%Y')"
)


class Clock(StrEnum):
    """What tells when something was bought."""

    TIMES = "times"
    DAYS = "numbered days"
    ORDERS = "numbered orders"


@dataclass(frozen=True)
class Column:
    """A column of a file, a value for each of its rows.

    Args:
        path: the file.
        name: as the file calls it.
        values: as they stand there.
    """

    path: Path
    name: str
    values: pa.ChunkedArray

    @cached_property
    def text(self) -> pa.ChunkedArray:
        """As text without blanks around it, null where there is nothing."""
        text = pc.utf8_trim_whitespace(self.values.cast(pa.string()))
        return pc.if_else(pc.equal(text, ""), None, text)

    @cached_property
    def given(self) -> BoolArray:
        """Where there is something."""
        return pc.is_valid(self.text).to_numpy()

    def numbers(self, allowed: str = "numbers") -> FloatArray:
        """As numbers, NaN where there is nothing.

        Raises:
            TableError: a value is none.
        """
        found = self._as_numbers
        self._refuse(self.given & ~np.isfinite(found), allowed)
        return found

    def seconds(self, form: str | None) -> tuple[FloatArray, Clock]:
        """As seconds since 1970 in UTC, NaN where there is nothing; and what they were told by.

        Args:
            form: how times are written, as strftime says it; None: by ISO 8601, or they are numbers, of which
                the middle one says what all are.

        Raises:
            TableError: a value is no time.
        """
        if pa.types.is_temporal(self.values.type):
            zone = getattr(self.values.type, "tz", None)
            moments = self.values.cast(pa.timestamp("s", zone), safe=False)
            return _floats(moments.cast(pa.int64())), Clock.TIMES
        if form is None and self.given.any() and not np.isnan(self._as_numbers[self.given]).any():
            return self._numbered(self._as_numbers)
        allowed = _TIMES if form is None else repr(form)
        return self._written(self.text.to_pandas(), form or "ISO8601", allowed), Clock.TIMES

    @cached_property
    def _as_numbers(self) -> FloatArray:
        """NaN where there is none."""
        if pa.types.is_string(self.values.type) or pa.types.is_large_string(self.values.type):
            return pd.to_numeric(self.values.to_pandas(), errors="coerce").to_numpy(
                np.float64, na_value=np.nan
            )
        return _floats(self.values)

    def _numbered(self, numbers: FloatArray) -> tuple[FloatArray, Clock]:
        middle = float(np.nanmedian(numbers))
        if _DATES[0] <= middle <= _DATES[1]:
            written = pd.Series(numbers).astype("Int64").astype("string")
            return self._written(written, "%Y%m%d", "dates as YYYYMMDD, like in other rows"), Clock.TIMES
        for least, below, per_second in _EPOCHS:
            if least <= middle < below:
                wrong = (numbers < 0) | (numbers >= below)
                self._refuse(wrong, f"numbers of 0 to {below:g}, like in other rows")
                return numbers / per_second, Clock.TIMES
        self._refuse((numbers < 0) | (numbers >= _MOST_DAYS), _TIMES)
        return np.floor(numbers) * DAY_SECONDS, Clock.DAYS

    def _written(self, written: pd.Series, form: str, allowed: str) -> FloatArray:
        moments = pd.to_datetime(written, format=form, utc=True, errors="coerce")
        none = moments.isna().to_numpy()
        self._refuse(self.given & none, allowed)
        return np.where(none, np.nan, moments.dt.tz_localize(None).to_numpy("datetime64[s]").astype(np.int64))

    def _refuse(self, wrong: BoolArray, allowed: str) -> None:
        """Raise for the first wrong row."""
        if wrong.any():
            row, count = int(np.argmax(wrong)), int(wrong.sum())
            more = f" ({count:,} such rows)" if count > 1 else ""
            raise TableError(
                f"{self.path}, row {row + 1:,}, column {self.name}: found {str(self.values[row].as_py())!r}; "
                f"allowed are {allowed}{more}"
            )


def by_order(orders: Column, customers: Column) -> FloatArray:
    """A made-up moment for each row in seconds: each customer's orders come `ORDER_DAYS` after one another.

    Raises:
        TableError: an order has no number, and so no place.
    """
    numbers = orders.numbers("numbers that grow with time, where there is no column of times (TIME=…)")
    told = pd.DataFrame({"customer": customers.text.to_pandas(), "order": numbers})
    return told.groupby("customer")["order"].rank("dense").to_numpy(np.float64) * ORDER_DAYS * DAY_SECONDS


def _floats(values: pa.ChunkedArray) -> FloatArray:
    return values.cast(pa.float64()).to_numpy()
