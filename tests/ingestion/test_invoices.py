"""The worked example of docs/bring-your-own-data.md in small; in large it is an acceptance run."""

import shutil
from pathlib import Path

import pytest

from perennial.demo.invoices import DAILY, DUMP_DAY, LineKind, write_files
from perennial.foundation.lake import Lake
from perennial.foundation.settings import settings
from perennial.ingestion import pipeline, reconciliation_report
from tests.acceptance.ingest_invoices import differences_of, mapping
from tests.conftest import forget


@pytest.fixture
def invoice_shop(shop: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shop of the guide: its `sources.yaml`, its time zone."""
    shutil.copytree(settings().config, shop / "config")
    (shop / "config" / "sources.yaml").write_text(mapping())
    monkeypatch.setenv("PERENNIAL_CONFIG", str(shop / "config"))
    monkeypatch.setenv("PERENNIAL_SHOP_TIME_ZONE", "Europe/London")
    forget()
    return shop


def test_every_line_of_the_documented_invoice_export_becomes_what_the_guide_says(
    invoice_shop: Path, lake: Lake, capsys: pytest.CaptureFixture[str]
):
    landing, day = invoice_shop / "landing", DAILY[0]
    dump, daily, *_ = write_files(landing, lines=5000)
    assert set(LineKind) - set(+dump.lines) == {LineKind.SENT_AGAIN}
    pipeline.load_history(str(DUMP_DAY), str(DUMP_DAY))
    pipeline.ingest(str(day))
    assert [*differences_of(dump, landing), *differences_of(daily, landing)] == []

    events = lake.read("events").select("event_id", "known_on", "occurred_at").to_pandas()
    known = lake.known("events", day).count().to_pyarrow().as_py()
    again = daily.lines[LineKind.SENT_AGAIN] - daily.without_customer[LineKind.SENT_AGAIN]
    assert (len(events) - known, events.event_id.nunique()) == (again, known)
    assert events.known_on.nunique() > 300, "a dump declared history is known day by day"

    assert reconciliation_report.main([str(DUMP_DAY), str(day)]) == 0
    assert _sums(capsys.readouterr().out) == {
        (table, str(landed_on)): (lines, lines)
        for table in ("items", "users", "events")
        for landed_on, lines in ((DUMP_DAY, 5000), (day, daily.lines.total()))
    }


def _sums(told: str) -> dict[tuple[str, str], tuple[int, int]]:
    """By table and day: what landed; and what was published, left out or refused for any reasons."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for line in told.splitlines()[1:]:
        cells = line.replace(",", "").split()
        if line[:1].isalpha():
            table, day, landed, published, _, left_out = cells
            found[table, day] = (int(landed), int(published) + int(left_out))
        else:
            landed_lines, sum_so_far = found[table, day]
            found[table, day] = (landed_lines, sum_so_far + int(cells[0]))
    return found
