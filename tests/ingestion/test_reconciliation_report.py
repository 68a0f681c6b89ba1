from datetime import date

import pytest

from perennial.ingestion.reconciliation import Entry
from perennial.ingestion.reconciliation_report import main, report_lines

DAY = date(2024, 5, 2)


def test_a_row_refused_for_two_reasons_is_counted_once_so_that_the_lines_add_up():
    entry = Entry("events", DAY, landed=1200, published=1100, quarantined=90, left_out=10)
    why = {("events", DAY): {("order_id missing",): 80, ("order_id missing", "event_id repeated"): 10}}
    assert [" ".join(line.split()) for line in report_lines([entry], why).splitlines()] == [
        "landed published quarantined left out",
        "events 2024-05-02 1,200 1,100 90 10",
        "80 order_id missing",
        "10 order_id missing + event_id repeated",
    ]


def test_an_entry_that_does_not_add_up_is_marked():
    entry = Entry("events", DAY, landed=12, published=11, quarantined=0)
    assert report_lines([entry], {}).endswith("  does not add up")


@pytest.mark.parametrize("arguments", [[], ["yesterday"], ["2024-05-02", "2024-05-03", "2024-05-04"]])
def test_the_days_must_be_named(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(arguments) == 2
    assert "usage: " in capsys.readouterr().err
