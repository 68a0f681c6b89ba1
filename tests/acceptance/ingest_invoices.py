"""The worked example of docs/bring-your-own-data.md, run as it stands there.

Its commands and its YAML are the fences that carry the word `invoices`. What came out is held against two
things that know nothing of ingestion: what the generator counted as it wrote the lines, and a reader of a
few lines of plain Python.
"""

import csv
import os
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from perennial.demo import invoices as shop_of_invoices
from perennial.demo.invoices import DAILY, DUMP_DAY, LineKind, Tally
from tests.acceptance.lines import Line, none_of
from tests.conftest import forget

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "bring-your-own-data.md"
_FENCE = re.compile(r"^```(sh|yaml|text) invoices\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PRODUCT = re.compile("[0-9]{5}[A-Z]?")
_MOMENT = re.compile(r"(\d\d)/(\d\d)/(\d{4}) \d\d:\d\d")
_WITHOUT = "customer_id missing"
_WHY: dict[LineKind, tuple[str, ...]] = {
    LineKind.WRITTEN_OFF: ("quantity out of range",),
    LineKind.TWICE: ("event_id repeated",),
    LineKind.DATE: ("occurred_at unreadable",),
    LineKind.QUANTITY: ("quantity unreadable", "revenue unreadable"),
    LineKind.PRICE: ("revenue unreadable", "unit_price unreadable"),
    LineKind.BROKEN: ("line broken",),
}
"""What is said of a line of events, by its sort; of the others nothing, but that the customer is missing."""


def invoices() -> Iterator[Line]:
    """The invoice example: the guide's own commands and YAML; every line is accounted for."""
    with TemporaryDirectory() as folder:
        state = Path(folder) / "shop"
        began = time.monotonic()
        output, megabytes = _run(script(), state)
        seconds = time.monotonic() - began
        print(output)
        with _settings_of(state):
            tallies = list(shop_of_invoices.write_files(Path(folder) / "again", documented_lines()))
            differences = [found for tally in tallies for found in differences_of(tally, state / "landing")]
            unbalanced, landed = _account(state / "landing")
            alike = [
                str(day)
                for day in (DUMP_DAY, *DAILY)
                if _file(state / "landing", day).read_bytes()
                != _file(Path(folder) / "again", day).read_bytes()
            ]
    yield Line("ingest.invoices_lines", f"{landed}_lines", ">=500000_lines", landed >= 500_000)
    yield none_of("ingest.invoices_account", "that_do_not_add_up", unbalanced)
    yield none_of("ingest.invoices_dirt", "that_became_something_else", differences)
    other = [line for line in promised() if line not in output.splitlines()]
    yield none_of("ingest.invoices_guide", "lines_that_it_shows_and_do_not_come", other)
    yield none_of("ingest.invoices_generator", "files_with_other_bytes", alike)
    yield Line("ingest.invoices_all_commands", f"{seconds:.0f}s", "none", True)
    yield Line("ingest.invoices_peak", f"{megabytes:.0f}MB", "none", True)


def script() -> str:
    """The guide's commands, in order; its YAML is written where the guide says."""
    written = f"cat > \"$SHOP/config/sources.yaml\" <<'YAML'\n{mapping()}YAML\n"
    fences = _FENCE.findall(GUIDE.read_text())
    return "\n".join(text if kind == "sh" else written for kind, text in fences if kind != "text")


def mapping() -> str:
    """The guide's `sources.yaml`."""
    (found,) = (text for kind, text in _FENCE.findall(GUIDE.read_text()) if kind == "yaml")
    return found


def promised() -> list[str]:
    """The lines of the account that the guide shows."""
    (found,) = (text for kind, text in _FENCE.findall(GUIDE.read_text()) if kind == "text")
    return found.splitlines()


def documented_lines() -> int:
    """How many lines the guide's command asks for."""
    found = re.search(r"perennial\.demo\.invoices .*--lines (\d+)", script())
    assert found
    return int(found[1])


def differences_of(tally: Tally, landing: Path) -> list[str]:
    """What the lines of a day's file became that they should not have become, or the other way round."""
    from perennial.ingestion.reconciliation_report import refusal_counts
    from perennial.ingestion.screening import Storage

    lake, day, seen = Storage.from_settings().lake, tally.day, by_hand(_file(landing, tally.day))
    events = lake.read("events")
    events = events.filter(events.landed_on == day)
    sums = events.group_by("event_type").agg(rows=events.count(), revenue=events.revenue.sum())
    kinds = sums.to_pyarrow().to_pylist()
    items, users = lake.read("items"), lake.read("users")
    titles = items.filter(items.valid_from == day).select("item_id", "title").to_pyarrow()
    joined = users.filter(users.valid_from == day).select("customer_id", "joined_on").to_pyarrow()
    why = refusal_counts(lake, day, day)
    broken = {_WHY[LineKind.BROKEN]: tally.lines[LineKind.BROKEN]} if tally.lines[LineKind.BROKEN] else {}
    told: dict[str, tuple[Mapping[Any, Any], Mapping[Any, Any]]] = {
        "events refused": (why.get(("events", day), {}), expected_refusals(tally)),
        "items refused": (why.get(("items", day), {}), broken),
        "users refused": (why.get(("users", day), {}), broken),
        "events, by the tally": ({row["event_type"]: row["rows"] for row in kinds}, expected_events(tally)),
        "events, by hand": ({row["event_type"]: row["rows"] for row in kinds}, seen.events),
        "revenue": ({row["event_type"]: row["revenue"] for row in kinds}, seen.revenue),
        "items": (dict(zip(*titles.to_pydict().values(), strict=True)), seen.titles),
        "users": (dict(zip(*joined.to_pydict().values(), strict=True)), seen.joined),
    }
    return [f"{day} {name}: {_apart(*pair)}" for name, pair in told.items() if dict(pair[0]) != dict(pair[1])]


def expected_refusals(tally: Tally) -> dict[tuple[str, ...], int]:
    """By all its reasons, how many lines no event may be made of."""
    found: Counter[tuple[str, ...]] = Counter()
    for sort in set(LineKind) - {LineKind.NO_PRODUCT}:
        why, without = _WHY.get(sort, ()), tally.without_customer[sort]
        found[tuple(sorted((_WITHOUT, *why)))] += without
        found[why] += tally.lines[sort] - without
    return {why: lines for why, lines in found.items() if why and lines}


def expected_events(tally: Tally) -> dict[str, int]:
    """By type, how many lines are events: whole ones of products that say who."""
    good = {sort: tally.lines[sort] - tally.without_customer[sort] for sort in LineKind}
    sales = sum(good[sort] for sort in (LineKind.SALE, LineKind.ODD, LineKind.FREE, LineKind.SENT_AGAIN))
    found = {"purchase": sales, "return": good[LineKind.CANCELLATION]}
    return {kind: lines for kind, lines in found.items() if lines}


@dataclass
class ByHand:
    """What plain Python makes of a file: events and revenue by type, titles, customers' first days."""

    lines: int = 0
    events: Counter[str] = field(default_factory=Counter)
    revenue: dict[str, Decimal] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    joined: dict[str, date] = field(default_factory=dict)


def by_hand(path: Path) -> ByHand:
    """Read a file of invoices as the guide says they are read."""
    found = ByHand()
    described: dict[str, Counter[str]] = {}
    listed: set[str] = set()
    seen: set[tuple[str, ...]] = set()
    with path.open(encoding="windows-1252", newline="") as file:
        rows = csv.reader(file, delimiter=";")
        width = len(next(rows))
        for row in rows:
            found.lines += 1
            if len(row) != width:
                continue
            number, code, title, pieces, at, price, customer, _ = (cell.strip() for cell in row)
            day, amount, quantity = _day(at), _amount(price), _whole(pieces)
            if customer and day:
                found.joined[customer] = min(day, found.joined.get(customer, day))
            if not _PRODUCT.fullmatch(code):
                continue
            if day and amount is not None:
                listed.add(code)
            if title:
                described.setdefault(code, Counter())[title] += 1
            line = (number, code, pieces, price, at)
            repeated, returned = line in seen, number.startswith("C")
            seen.add(line)
            if repeated or not customer or not day or amount is None or quantity is None:
                continue
            if returned or quantity > 0:
                kind = "return" if returned else "purchase"
                found.events[kind] += 1
                found.revenue[kind] = found.revenue.get(kind, Decimal(0)) + quantity * amount
    found.titles = {
        code: described[code].most_common(1)[0][0] if code in described else code for code in listed
    }
    return found


@cache
def _day(text: str) -> date | None:
    found = _MOMENT.fullmatch(text)
    try:
        return date(*(int(found[n]) for n in (3, 2, 1))) if found else None
    except ValueError:
        return None


@cache
def _amount(text: str) -> Decimal | None:
    try:
        return Decimal(text.replace(".", "").replace(",", "."))
    except InvalidOperation:
        return None


@cache
def _whole(text: str) -> int | None:
    return int(text) if re.fullmatch("-?[0-9]+", text) else None


def _apart(found: Mapping[Any, Any], expected: Mapping[Any, Any]) -> str:
    keys = [key for key in {**found, **expected} if found.get(key) != expected.get(key)]
    return f"{keys[0]}: found {found.get(keys[0])}, expected {expected.get(keys[0])}; {len(keys)} in all"


def _account(landing: Path) -> tuple[list[str], int]:
    """What does not add up: of an entry in itself, and with the lines of its file; how many lines landed."""
    from perennial.ingestion.reconciliation import reconcile
    from perennial.ingestion.screening import Storage

    lines = {day: by_hand(_file(landing, day)).lines for day in (DUMP_DAY, *DAILY)}
    entries = reconcile(Storage.from_settings(), DUMP_DAY, DAILY[-1])
    tables = {"items", "users", "events"}
    missing = {(table, day) for table in tables for day in lines} - {(e.table, e.day) for e in entries}
    wrong = [str(entry) for entry in entries if not entry.balanced or entry.landed != lines[entry.day]]
    return [*wrong, *map(str, sorted(missing))], lines[DUMP_DAY]


def _file(landing: Path, day: date) -> Path:
    return landing / "invoices" / day.isoformat() / "invoices.csv"


def _run(commands: str, state: Path) -> tuple[str, float]:
    """What the commands print; the most memory that any of their processes had, in megabytes."""
    own = ("PERENNIAL_", "AIRFLOW", "PYTHONPATH")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    state.parent.mkdir(parents=True, exist_ok=True)
    with (state.parent / "output").open("w+") as output:
        process = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", f'{commands}\nenv -0 > "$SHOP/environment"'],
            cwd=ROOT,
            env={**environment, "SHOP": str(state)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read()
    if process.returncode:
        raise RuntimeError(f"the guide's commands ended with {process.returncode}:\n{said[-4000:]}")
    return said, used.ru_maxrss / 1000


@contextmanager
def _settings_of(state: Path) -> Iterator[None]:
    """The settings that the guide's commands had."""
    before = dict(os.environ)
    found = (state / "environment").read_text().split("\0")
    os.environ.update(dict(line.split("=", 1) for line in found if line.startswith("PERENNIAL_")))
    forget()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        forget()
