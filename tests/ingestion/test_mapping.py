from collections import Counter
from datetime import date
from pathlib import Path

import pytest

from perennial.foundation import contracts
from perennial.ingestion import sources
from perennial.ingestion.errors import SourceError
from perennial.ingestion.landing import Landing
from perennial.ingestion.mapping import has_rows, mapped, rows_by_day
from perennial.ingestion.source_settings import Sources
from perennial.ingestion.sources import AT, DAY, NO_DATABASES
from tests.ingestion.drops import Row

FIRST, LAST = date(2024, 5, 2), date(2024, 5, 3)


class Made:
    """What a declaration makes of some CSV: rows by key, and the days of what was left out."""

    def __init__(
        self, shop: Path, table: str, text: str, place: str = "2024-05-02", **source: object
    ) -> None:
        path = shop / "landing" / table / place / "rows.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        declared = {"tables": {table: {"sources": {"feed": source}}}}
        landing = Landing(str(shop / "landing"), Sources.model_validate(declared))
        contract = contracts.CONTRACTS[table]
        with sources.read(landing, table, FIRST, LAST, NO_DATABASES) as landed:
            (raw,) = landed.raw()
            found = mapped(raw, contract, FIRST, LAST)
            rows = found.rows.to_pyarrow().to_pylist()
            self.by_day = rows_by_day(raw, FIRST, LAST)
            self.has_rows = has_rows(raw, FIRST)
            left_out = found.left_out.to_pyarrow()[DAY].to_pylist() if found.left_out is not None else []
        self.rows: list[Row] = sorted(rows, key=lambda row: row[AT])
        self.left_out = Counter(left_out)

    def column(self, name: str) -> list[object]:
        """Its values, by line; `unreadable` where something was there that could not be read."""
        return [row[name] if row[f"{name}_readable"] else "unreadable" for row in self.rows]


INVOICES = """InvoiceNo;StockCode;Description;Quantity;InvoiceDate;UnitPrice;CustomerID;Country
536365;85123A;"WHITE; ""H"" 1";6;01/05/2024 08:26;2,55;17850;UK
C536379;D;Discount;-1;01/05/2024 09:41;1.027,50;14527;UK
536380;22961;JAM;x;01/05/2024 10:00;1,45;;UK
536381;22961;JAM;3;31/02/2024 10:00;free;15311;UK
536382;test;;0;01/05/2024 11:00;0;15311;UK
"""


def test_an_invoice_export_becomes_purchases_and_returns_by_declaration_alone(shop: Path):
    amount = "Quantity * UnitPrice"
    made = Made(
        shop,
        "events",
        INVOICES,
        delimiter=";",
        decimal=",",
        thousands=".",
        time_zone="Europe/London",
        dates=["%d/%m/%Y %H:%M"],
        types={"Quantity": "integer", "UnitPrice": "number", "InvoiceDate": "timestamp"},
        where="StockCode <> 'test'",
        columns={
            "event_id": {"sql": "InvoiceNo || '-' || _line"},
            "customer_id": "CustomerID",
            "event_type": {"sql": "CASE WHEN Quantity < 0 THEN 'return' ELSE 'purchase' END"},
            "occurred_at": "InvoiceDate",
            "item_id": "StockCode",
            "order_id": "InvoiceNo",
            "quantity": {"sql": "abs(Quantity)"},
            "unit_price": "UnitPrice",
            "revenue": {"sql": amount},
            "store_id": {"value": "web"},
        },
    )
    assert made.left_out == {FIRST: 1}
    assert made.by_day == {FIRST: 5}
    assert made.column("event_id") == ["536365-1", "C536379-2", "536380-3", "536381-4"]
    assert made.column("event_type") == ["purchase", "return", "unreadable", "purchase"]
    assert made.column("quantity") == [6, 1, "unreadable", 3]
    assert [str(value) for value in made.column("revenue")] == [
        "15.3000",
        "-1027.5000",
        "unreadable",
        "unreadable",
    ]
    assert [str(value)[:16] for value in made.column("occurred_at")] == [
        *("2024-05-01 07:26", "2024-05-01 08:41", "2024-05-01 09:00", "unreadable"),
    ]
    assert made.column("customer_id") == ["17850", "14527", None, "15311"]
    assert made.column("store_id") == ["web"] * 4


def test_the_sources_words_become_event_types_and_unknown_words_stay(shop: Path):
    text = "event_id,event_type\n1,Sale\n2,view\n3,Refund\n4,\n"
    made = Made(shop, "events", text, event_types={"Sale": "purchase", "Refund": "return"})
    assert made.column("event_type") == ["purchase", "view", "return", None]


def test_of_rows_with_the_same_key_the_first_or_the_last_of_a_day_stays(shop: Path):
    text = "customer_id,joined_on,locale\nc1,2024-05-01,a\nc2,2024-01-01,b\nc1,2024-04-01,c\n,,d\n,,e\n"
    last = Made(shop, "users", text, keep="last")
    assert list(zip(last.column("customer_id"), last.column("locale"), strict=True)) == [
        *(("c2", "b"), ("c1", "c"), (None, "d"), (None, "e")),
    ]
    first = Made(shop, "users", text, keep="first")
    assert first.column("locale") == ["a", "b", "d", "e"]
    assert first.column("joined_on")[0] == date(2024, 4, 1), "whatever is kept, the earliest day holds"
    assert last.left_out == first.left_out == {FIRST: 1}
    assert Made(shop, "users", text).left_out == {}


def test_rows_of_a_file_of_many_days_land_each_on_its_own(shop: Path):
    days = ["?", "2024-05-02", "2024-05-03", "soon", "", "2024-05-04", "2024-04-30", "x", "2024-05-02"]
    text = "item_id,title,day\n" + "".join(f"i{n},t,{day}\n" for n, day in enumerate(days))
    made = Made(shop, "items", text, "all", files="{table}/all/*", day="day")
    found = {row["item_id"]: row[DAY] for row in made.rows}
    assert found == {"i0": FIRST, "i1": FIRST, "i2": LAST, "i3": LAST, "i4": LAST, "i8": FIRST}
    assert made.by_day == {FIRST: 3, LAST: 3}
    assert made.has_rows
    formats = Made(
        shop,
        "items",
        "item_id,d\ni1,03.05.2024\n",
        "all",
        files="{table}/all/*",
        day="strptime(d, '%d.%m.%Y')",
    )
    assert formats.by_day == {LAST: 1}
    assert not formats.has_rows


def test_a_file_in_which_no_row_says_its_day_is_an_error(shop: Path):
    said = r"^items/all/rows.csv \(source feed\): found no row with a day: `day` is strptime.*allowed is SQL"
    for text in ("item_id,title,d\ni1,t,2024-05-03\ni2,t,\n", "item_id,title,d\nbroken\n"):
        with pytest.raises(SourceError, match=said):
            Made(shop, "items", text, "all", files="{table}/all/*", day="strptime(d, '%d.%m.%Y')")


def test_an_expression_that_fails_on_a_row_affects_only_that_row(shop: Path):
    text = "item_id,title,price\ni1,t,4\ni2,t,four\ni3,t,\n"
    made = Made(shop, "items", text, columns={"price": {"sql": "CAST(price AS DOUBLE) / 2 -- halved"}})
    assert [str(value) for value in made.column("price")] == ["2.0000", "unreadable", "None"]
    kept = Made(shop, "items", text, where="CAST(price AS DOUBLE) > 0")
    assert (len(kept.rows), kept.left_out) == (1, {FIRST: 2})
    numbered = Made(shop, "items", text, columns={"title": {"sql": "row_number() OVER (ORDER BY price)"}})
    assert sorted(numbered.column("title")) == ["1", "2", "3"]


@pytest.mark.parametrize("wrong", ["nonsense(price)", "price + cost", "sum(price)", "random()", "$1"])
def test_an_expression_that_cannot_be_computed_is_named(shop: Path, wrong: str):
    with pytest.raises(SourceError, match=r"^sources\.feed: cannot compute "):
        Made(shop, "items", "item_id,title,price\ni1,t,4\n", columns={"price": {"sql": wrong}})


def test_columns_may_be_called_anything(shop: Path):
    names = ['x"; DROP TABLE items', "pattern", "known_on", "SELECT", "ü 😀", "=cmd|'x'!A0", "title_readable"]
    text = ",".join('"' + name.replace('"', '""') + '"' for name in names) + "\n" + ",".join("abcdefg") + "\n"
    texts = ["title", "category", "brand", "attributes"]
    columns = dict(zip(texts, ['x"; DROP TABLE items', "ü 😀", "pattern", "=cmd|'x'!A0"], strict=True))
    made = Made(shop, "items", text, columns={**columns, "item_id": {"sql": '"SELECT" || known_on'}})
    assert [made.column(name) for name in ("item_id", *texts)] == [["dc"], ["a"], ["e"], ["b"], ["f"]]
