"""Data Docs: the same period makes the same pages, failures are shown, and no page needs anything else."""

import json
import re
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from great_expectations.core import ExpectationSuiteValidationResult as Result
from great_expectations.core import expectationSuiteValidationResultSchema

from perennial.foundation import contracts
from perennial.ingestion import column_types, data_docs, suites, validation
from perennial.ingestion.source_settings import Rules, Source
from perennial.ingestion.value_ranges import cut_points

DAY = date(2017, 12, 1)


class _Links(HTMLParser):
    """Everything that a page loads or leads to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.found += [value or "" for name, value in attrs if name in ("href", "src")]


def _results(table: str = "items", *, refused: int = 0, landed: int = 100, new: str = "") -> list[Result]:
    """The three results of a small landing, in which `refused` rows have a price below zero."""
    contract = contracts.CONTRACTS[table]
    cuts = cut_points(contract)
    columns: dict[str, Any] = {}
    for rule in suites.row_suite(contract).expectations:
        columns[rule.column] = [cuts[rule.column][-1], -1.0] if rule.column in cuts else True
    for column in set(contract.schema.names) & set(columns) - set(cuts):
        columns[column] = contract.allowed(column)[0]
    patterns = pd.DataFrame({**columns, "pattern": [0, 1], "rows": [landed - refused, refused]})
    landing = {"day": DAY, "landed": landed, "refused": refused, "share": refused / landed if landed else 0.0}
    days = pd.DataFrame([{**landing, "files": f"{table}/a.csv", "reasons": ""}])
    header = dict.fromkeys((*Source().used(contract), *([new] if new else [])), column_types.TEXT_ONLY)
    return [
        validation.judge_columns({"a.csv": header}, contract, Source(), "landing").result,
        validation.judge_rows(patterns if refused else patterns[:1], contract).result,
        validation.judge_landings(days, table, Rules(least_rows=50)).result,
    ]


def _pages(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def test_a_period_has_one_page_for_each_table_and_writing_it_again_gives_the_same_pages(
    tmp_path: Path,
) -> None:
    results = {"items": _results("items", refused=3), "events": _results("events")}
    link = data_docs.write_pages(tmp_path, results, DAY, DAY)
    once = _pages(tmp_path)
    again = {"items": _results("items", refused=3), "events": _results("events")}
    assert data_docs.write_pages(tmp_path, again, DAY, DAY) == link == "data_docs/2017-12-01/index.html"
    assert _pages(tmp_path) == once
    assert len([path for path in once if path.endswith(("items.html", "events.html"))]) == 2
    data_docs.write_pages(tmp_path, again, DAY - timedelta(days=300), DAY)
    assert len([path for path in _pages(tmp_path) if path.endswith("items.html")]) == 2


def test_a_table_that_no_longer_lands_has_no_page(tmp_path: Path) -> None:
    data_docs.write_pages(tmp_path, {"items": _results("items"), "users": _results("users")}, DAY, DAY)
    data_docs.write_pages(tmp_path, {"items": _results("items")}, DAY, DAY)
    assert not [path for path in _pages(tmp_path) if "users" in path]
    assert "users" not in (tmp_path / "data_docs" / "index.html").read_text()


def test_the_result_is_stored_as_the_library_writes_it(tmp_path: Path) -> None:
    data_docs.write_pages(tmp_path, {"items": _results("items", refused=3)}, DAY, DAY)
    text = (tmp_path / "data_docs" / "2017-12-01" / "items.json").read_text()
    kept = expectationSuiteValidationResultSchema.loads(text)
    broken = {each.expectation_config.meta["code"]: each.result for each in kept.results if not each.success}
    assert kept.suite_name == "items"
    assert {code: found["unexpected_count"] for code, found in broken.items()} == {
        "price out of range": 3,
        "unit_cost out of range": 3,
    }
    assert broken["price out of range"]["element_count"] == 100


def test_a_stopped_table_is_shown_with_the_rule_that_stopped_it(tmp_path: Path) -> None:
    results = {"items": _results("items", landed=12), "users": _results("users", refused=0)}
    data_docs.write_pages(tmp_path, results, DAY, DAY, stopped=("items",))
    day = json.loads((tmp_path / "data_docs" / "2017-12-01" / "summary.json").read_text())
    page = (tmp_path / "data_docs" / "2017-12-01" / "items.html").read_text()
    assert {table: found["status"] for table, found in day["tables"].items()} == {
        "items": "stopped",
        "users": "passed",
    }
    assert "least_rows: landed is at least 50; found 2017-12-01: 12" in page
    assert "Failed" in page
    assert "least_rows" in (tmp_path / "data_docs" / "2017-12-01" / "index.html").read_text()


def test_quarantined_rows_are_counted_and_do_not_stop_the_table(tmp_path: Path) -> None:
    data_docs.write_pages(tmp_path, {"items": _results("items", refused=3)}, DAY, DAY)
    folder = tmp_path / "data_docs" / "2017-12-01"
    assert json.loads((folder / "summary.json").read_text())["tables"]["items"]["status"] == "warned"
    assert "price out of range: 3 rows" in (folder / "index.html").read_text()
    page = (folder / "items.html").read_text()
    assert "3 unexpected values found. 3% of 100 total rows." in page
    assert "Succeeded" in page


def test_no_page_runs_a_script_or_loads_anything_and_every_link_leads_somewhere(tmp_path: Path) -> None:
    data_docs.write_pages(
        tmp_path, {"items": _results("items", refused=3), "users": _results("users")}, DAY, DAY
    )
    (tmp_path / "index.html").write_text("the campaign reports")
    pages = list((tmp_path / "data_docs").rglob("*.html"))
    assert len(pages) == 4
    for page in pages:
        seen = _Links()
        seen.feed(page.read_text())
        assert not seen.tags & {"script", "link", "img", "iframe"}
        assert "@import" not in page.read_text()
        assert "url(" not in page.read_text()
        for link in seen.found:
            path, _, place = link.partition("#")
            target = page.parent / path if path else page
            assert (target / "index.html" if target.is_dir() else target).is_file(), (page, link)
            assert not place or f'id="{place}"' in page.read_text()


def test_values_from_files_are_escaped(tmp_path: Path) -> None:
    data_docs.write_pages(tmp_path, {"items": _results("items", new="<b>ann@example.com</b>")}, DAY, DAY)
    for text in _pages(tmp_path).values():
        assert "ann@example.com" not in text
    for name in ("items.html", "index.html"):
        page = (tmp_path / "data_docs" / "2017-12-01" / name).read_text()
        assert "&lt;b&gt;" in page
        assert "<b>" not in page


def test_the_index_shows_each_period_once_the_latest_first(tmp_path: Path) -> None:
    results = {"promotions": _results("promotions")}
    for days in (0, 2, 1, 2):
        data_docs.write_pages(tmp_path, results, DAY + timedelta(days=days), DAY + timedelta(days=days))
    data_docs.write_pages(tmp_path, results, DAY - timedelta(days=30), DAY - timedelta(days=1))
    found = re.findall(r"<tr><td><a href=\"([^/]*)/", (tmp_path / "data_docs" / "index.html").read_text())
    assert found == ["2017-12-03", "2017-12-02", "2017-12-01", "2017-11-01_2017-11-30"]


@pytest.mark.parametrize("table", contracts.LANDED_TABLES)
def test_every_landed_table_has_a_page_with_all_its_rules(table: str, tmp_path: Path) -> None:
    results = _results(table)
    data_docs.write_pages(tmp_path, {table: results}, DAY, DAY)
    page = (tmp_path / "data_docs" / "2017-12-01" / f"{table}.html").read_text()
    for code in suites.row_codes(contracts.CONTRACTS[table]):
        assert f"with {code}: " in page
    assert (
        sum(len(part.results) for part in results)
        == page.count('class="fas fa-check-circle text-success"') - 1
    )
