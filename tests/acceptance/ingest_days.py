"""The tests of events that come late, twice, corrected, again or out of order, on real tables."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from tests.acceptance.lines import Line, at_least, none_of

FILE = "tests/ingestion/test_days.py"
TESTS = (
    "test_a_day_landed_twice_is_the_same_day",
    "test_a_late_event_keeps_its_time_and_is_not_known_before_it_came",
    "test_a_corrected_event_is_a_new_version_and_the_past_keeps_the_old_one",
    "test_a_repeated_event_within_a_landing_is_quarantined_as_repeated",
    "test_a_re_sent_file_replaces_its_day_and_only_it",
    "test_a_day_whose_file_comes_after_the_next_days_changes_nothing_in_the_end",
    "test_yesterdays_file_sent_twice_under_todays_day_counts_nothing_double",
)


def days() -> Iterator[Line]:
    """A day landed twice, late, corrected, repeated, re-sent and swapped days: each a named test."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        chosen = [f"{FILE}::{name}" for name in TESTS]
        subprocess.run([sys.executable, "-m", "pytest", f"--junitxml={report}", *chosen], check=False)
        cases = ElementTree.parse(report).iter("testcase")
        passed = {case.attrib["name"] for case in cases if not list(case)}
    yield at_least("ingest.days_passed", len(passed & set(TESTS)), len(TESTS), "")
    yield none_of("ingest.days_wrong", "tests", sorted(set(TESTS) - passed))
