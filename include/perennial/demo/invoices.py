"""Writes a shop's invoice export, with the errors of real ones: `python -m perennial.demo.invoices FOLDER`.

The files are those of the worked example in docs/bring-your-own-data.md: one dump of a bit over a year,
landed on one day, then one file a day. They have the columns of a typical export (invoice, stock code,
quantity, date, price, customer), in windows-1252, with `;` between the cells and decimal commas. Names,
numbers and prices are invented. The same seed writes the same bytes.

The lines are counted by kind while they are written, so that a test can compare the counts with the tables.
Every line has one `LineKind`; the customer may be missing on a line of any kind.
"""

import argparse
import csv
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from enum import StrEnum
from itertools import accumulate, chain, islice, pairwise, product
from pathlib import Path
from random import Random

COLUMNS = (
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
)
FIRST_DAY, DUMP_DAY = date(2023, 11, 1), date(2024, 12, 8)
"""The first and the last day of the dump. It landed on the last day."""
DAILY = tuple(DUMP_DAY + timedelta(days=n) for n in (1, 2, 3))
"""The days after the dump; each has its own file."""
SEED = 20241208


class LineKind(StrEnum):
    """What a line is. The first five kinds are valid lines."""

    SALE = "sale"
    ODD = "sale with another description, or none"
    FREE = "sale at price 0"
    CANCELLATION = "cancellation"
    SENT_AGAIN = "sale that the previous day's file has"
    NO_PRODUCT = "no product: postage, fees, adjustments"
    WRITTEN_OFF = "stock written off: no sale, quantity negative"
    TWICE = "sale that is in the file twice"
    DATE = "unreadable date"
    QUANTITY = "unreadable quantity"
    PRICE = "unreadable price"
    BROKEN = "broken line: a cell too many or too few"


_SHARES = {
    LineKind.ODD: 0.03,
    LineKind.FREE: 0.004,
    LineKind.NO_PRODUCT: 0.004,
    LineKind.WRITTEN_OFF: 0.003,
    LineKind.TWICE: 0.01,
    LineKind.DATE: 0.0006,
    LineKind.QUANTITY: 0.0006,
    LineKind.PRICE: 0.0006,
    LineKind.BROKEN: 0.0004,
}
_WITHOUT_CUSTOMER = 0.25
_CANCELLED_INVOICES = 0.15
_LINES_A_DAY, _LEAST_A_DAY = 400, 300
"""A day's file has the dump's number of lines divided by the first, but at least the second."""

_COLOURS = ("Blue", "Red", "Green", "White", "Black", "Crème", "Ivory", "Grey", "Pink", "Café-au-lait")
_STUFFS = ("enamel", "glass", "oak", "tin", "linen", "wicker", "stoneware", "brass", "cotton", "slate")
_THINGS = {
    **{"mug": 4.95, 'plate 8"': 6.5, "bowl": 5.75, "jug, 2 l": 12.5, "tea-light holder": 1.45, "tray": 9.95},
    **{"egg cup": 1.25, "candlestick": 7.95, "picture frame": 6.75, "bread bin": 24.5, 'sign "Café"': 8.5},
    **{"garland": 2.95, "coaster; set of 4": 3.75, "lantern": 14.95, "clock": 29.5, "door stop": 5.95},
    **{"cake stand": 19.95, "fondue set": 34.5, "bauble": 0.85, "storage box": 11.25, "key hook": 2.1},
    **{"vase": 13.75, "spoon rest": 3.25, "parasol": 89.0, "bird house": 17.5, "jewellery box": 15.25},
    **{"toast rack": 7.25, "notebook": 2.55, "umbrella stand": 48.0, "crêpe pan": 21.5, "doormat": 16.95},
    **{"gravy boat": 8.95, "napkin ring": 1.95, "wall shelf": 39.0, "mirror": 64.0, "lamp shade": 27.5},
    **{"dressing table": 1150.0, "sideboard": 1890.0},
}
_UNTITLED = 3
"""In each thousand items, the item at this index has no title."""
_LINES_AN_ITEM, _LINES_A_CUSTOMER = 140, 120
_INVOICE_LINES = 20
_OPENS, _CLOSES = 7 * 60, 20 * 60
_COUNTRIES = ("United Kingdom", "EIRE", "Germany", "France", "Österreich", "Côte d'Ivoire", "Curaçao")
_QUANTITIES = (1, 2, 3, 4, 6, 8, 10, 12, 24, 48, 144)
_LARGE, _DISCOUNTED, _DEAR = 24, 0.85, 60
_STRAY = (
    *(("POST", "Postage", 18.0), ("DOT", "Postage of the web shop", 4.95), ("M", "Manual", 12.5)),
    *(("BANK CHARGES", "Bank charges", -15.0), ("ADJUST", "Adjustment of bad debt", -1062.06)),
)
_NO_DATES = ("31/02/2024 10:15", "12/25/2023 09:00", "0000-00-00 00:00", "tomorrow", "10:15")
_NO_QUANTITIES = ("12 pcs", "six", "1,5", "#NAME?", "1O")
_NO_PRICES = ("4,95 GBP", "n/a", "1,2,5", "£3,25", "-")
_NOTES = ("", "?", "damaged", "wrong code!", "sold as a set")
_KINDS = (LineKind.SALE, *_SHARES)
_WEIGHTS = tuple(accumulate((1 - sum(_SHARES.values()), *_SHARES.values())))
_GERMAN = str.maketrans(",.", ".,")


@dataclass(frozen=True)
class Product:
    """An item that the shop sells; the title of some is empty."""

    code: str
    title: str
    price: float


@dataclass(frozen=True)
class Line:
    """One line of an invoice: its cells as they are written, and its kind."""

    cells: tuple[str, ...]
    kind: LineKind

    @property
    def lacks_customer(self) -> bool:
        """Whether the customer is missing; a broken line does not count."""
        return self.kind is not LineKind.BROKEN and not self.cells[6]


@dataclass
class Tally:
    """The number of lines of each kind in the file of a day, and how many of them lack the customer."""

    day: date
    lines: Counter[LineKind] = field(default_factory=Counter)
    without_customer: Counter[LineKind] = field(default_factory=Counter)

    def count(self, line: Line) -> None:
        """Count the line."""
        self.lines[line.kind] += 1
        self.without_customer[line.kind] += line.lacks_customer


class Shop:
    """Writes invoices, day after day.

    A line gets an error only if its item and its customer had a valid line before. In every file, fewer than
    half of an item's descriptions are odd. So a correct reader loses no item, no customer and no title.
    """

    def __init__(self, seed: int, lines: int) -> None:
        self._random = Random(seed)  # noqa: S311 - no secret
        self._items = _catalogue(self._random, max(200, lines // _LINES_AN_ITEM))
        self._popularity = _weights(len(self._items))
        self._customers = [str(12_000 + n) for n in range(max(50, lines // _LINES_A_CUSTOMER))]
        self._loyalty = _weights(len(self._customers))
        self._invoices = 500_000
        self._sold: set[str] = set()
        self._served = {""}
        self._described: Counter[str] = Counter()
        self._lines = self._lines_without_customer = 0

    def begin_file(self) -> None:
        """Reset the counts of the previous file."""
        self._described.clear()
        self._lines = self._lines_without_customer = 0

    def trade(self, day: date, lines: int) -> Iterator[Line]:
        """The day's lines, in the order of their times."""
        pause = (_CLOSES - _OPENS) / (1 + lines / _INVOICE_LINES)
        minute = float(_OPENS)
        while lines > 0:
            minute = min(minute + self._random.expovariate(1 / pause), _CLOSES)
            at = f"{day:%d/%m/%Y} {int(minute) // 60:02}:{int(minute) % 60:02}"
            for line in islice(self._invoice(at), lines):
                yield line
                lines -= 1
                self._lines += 1
                self._lines_without_customer += line.lacks_customer

    def _invoice(self, at: str) -> Iterator[Line]:
        rng = self._random
        self._invoices += 1
        cancelled = rng.random() < _CANCELLED_INVOICES
        known = self._lines_without_customer >= _WITHOUT_CUSTOMER * self._lines
        customer = rng.choices(self._customers, cum_weights=self._loyalty)[0] if known else ""
        country = rng.choices(_COUNTRIES, (90, 3, 3, 2, 1, 0.5, 0.5))[0]
        size = rng.randint(1, 4) if cancelled else 1 + min(80, int(rng.expovariate(1 / _INVOICE_LINES)))
        number = f"{'C' * cancelled}{self._invoices}"
        # An item comes once in an invoice, so that only lines that are meant to be equal are equal.
        for item in dict.fromkeys(rng.choices(self._items, cum_weights=self._popularity, k=size)):
            pieces = rng.choice(_QUANTITIES if item.price < _DEAR else _QUANTITIES[:3])
            price = item.price if pieces < _LARGE else item.price * _DISCOUNTED
            cells = (number, item.code, item.title, str(-pieces if cancelled else pieces), at, _money(price))
            line = Line((*cells, customer, country), LineKind.CANCELLATION if cancelled else LineKind.SALE)
            yield from (line,) if cancelled else self._with_errors(line, item)
            self._sold.add(item.code)
            self._served.add(customer)

    def _with_errors(self, line: Line, item: Product) -> Iterator[Line]:
        """The line, or the line with an error; twice if it is repeated."""
        pick, cells = self._random.choice, list(line.cells)
        kind = self._random.choices(_KINDS, cum_weights=_WEIGHTS)[0]
        spare = self._described[item.code] > 1 and bool(item.title)
        odd = kind in (LineKind.ODD, LineKind.WRITTEN_OFF)
        if item.code not in self._sold or cells[6] not in self._served or (odd and not spare):
            kind = LineKind.SALE
        if kind in (LineKind.SALE, LineKind.TWICE):
            yield line
        if odd or kind is LineKind.SALE:
            self._described[item.code] += -1 if kind is not LineKind.SALE else 1
        match kind:
            case LineKind.SALE:
                return
            case LineKind.ODD:
                cells[2] = pick((*_NOTES, item.title.upper(), f"{item.title}, boxed"))
            case LineKind.FREE:
                cells[5] = _money(0)
            case LineKind.NO_PRODUCT:
                cells[1], cells[2], price = pick(_STRAY)
                cells[3], cells[5] = "1", _money(price)
            case LineKind.WRITTEN_OFF:
                cells[2:7] = pick(_NOTES), f"-{cells[3]}", cells[4], _money(0), ""
            case LineKind.DATE:
                cells[4] = pick(_NO_DATES)
            case LineKind.QUANTITY:
                cells[3] = pick(_NO_QUANTITIES)
            case LineKind.PRICE:
                cells[5] = pick(_NO_PRICES)
            case LineKind.BROKEN:
                cells = pick((cells[:7], cells[:4], [*cells[:3], "boxed", *cells[3:]], [*cells, ""]))
        yield Line(tuple(cells), kind)


def write_files(folder: Path, lines: int, seed: int = SEED) -> Iterator[Tally]:
    """Write the dump with `lines` lines, then the daily files; yield the counts of each file."""
    shop = Shop(seed, lines)
    span = [FIRST_DAY + timedelta(days=n) for n in range((DUMP_DAY - FIRST_DAY).days + 1)]
    ends = [round(lines * part / len(span)) for part in range(len(span) + 1)]
    daily = max(_LEAST_A_DAY, lines // _LINES_A_DAY)
    last: deque[Line] = deque(maxlen=daily // 20)
    quotas = (end - start for start, end in pairwise(ends))
    yield _write(folder, DUMP_DAY, shop, zip(span, quotas, strict=True), last)
    for day in DAILY:
        yield _write(folder, day, shop, [(day, daily)], last)


def _write(
    folder: Path, landed_on: date, shop: Shop, days: Iterable[tuple[date, int]], last: deque[Line]
) -> Tally:
    """Write one file. It repeats the sales in `last`, which then receives the last sales of this file."""
    path = folder / "invoices" / landed_on.isoformat() / "invoices.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    tally = Tally(landed_on)
    shop.begin_file()
    draft = path.with_name(f"_{path.name}")
    with draft.open("w", encoding="windows-1252", newline="") as file:
        writer = csv.writer(file, delimiter=";", lineterminator="\r\n")
        writer.writerow(COLUMNS)
        repeated = (replace(line, kind=LineKind.SENT_AGAIN) for line in tuple(last))
        for line in chain(repeated, *(shop.trade(day, lines) for day, lines in days)):
            tally.count(line)
            writer.writerow(line.cells)
            if line.kind is LineKind.SALE:
                last.append(line)
    draft.replace(path)
    return tally


def _catalogue(rng: Random, most: int) -> list[Product]:
    """The items, the most popular first."""
    names = rng.sample(
        list(product(_COLOURS, _STUFFS, _THINGS)), min(most, len(_COLOURS) * len(_STUFFS) * len(_THINGS))
    )
    items = [
        Product(f"{20_000 + n}{colour[0] * (n % 3 == 0)}", f"{colour} {stuff} {thing}", _THINGS[thing])
        for n, (colour, stuff, thing) in enumerate(names)
    ]
    return [replace(item, title="") if n % 1000 == _UNTITLED else item for n, item in enumerate(items)]


def _weights(size: int) -> list[float]:
    """Cumulative weights of 1/(rank + 10): the first ranks are drawn most often."""
    return list(accumulate(1 / (rank + 10) for rank in range(size)))


def _money(amount: float) -> str:
    """The amount with a decimal comma: `1.062,06`."""
    return f"{amount:,.2f}".translate(_GERMAN)


def as_table(tallies: Sequence[Tally]) -> str:
    """All tallies as one table: a column for each file; in brackets, the lines without a customer."""
    rows = [("", *(f"{tally.day}" for tally in tallies))]
    for kind in LineKind:
        counts = ((tally.lines[kind], tally.without_customer[kind]) for tally in tallies)
        rows.append((str(kind), *(f"{lines:,} ({without:,})" for lines, without in counts)))
    totals = ((tally.lines.total(), tally.without_customer.total()) for tally in tallies)
    rows.append(("all", *(f"{lines:,} ({without:,})" for lines, without in totals)))
    return "\n".join(f"{name:<46}" + "".join(f"{cell:>20}" for cell in cells) for name, *cells in rows)


def main() -> None:
    """Write a shop's invoice export as landing files and print the number of lines of each kind."""
    reader = argparse.ArgumentParser(prog="python -m perennial.demo.invoices", description=main.__doc__)
    reader.add_argument("folder", type=Path, help="the landing folder")
    reader.add_argument("--lines", type=int, default=540_000, help="of the dump (default: %(default)s)")
    reader.add_argument("--seed", type=int, default=SEED, help="the same seed makes the same files")
    arguments = reader.parse_args()
    print(as_table(list(write_files(arguments.folder, arguments.lines, arguments.seed))))


if __name__ == "__main__":
    main()
