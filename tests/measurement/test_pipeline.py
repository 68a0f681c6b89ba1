"""Reports of a small shop: which are due, their contents, and that a repetition gives the same."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from perennial.foundation import contracts
from perennial.foundation.endpoint import Endpoint
from perennial.foundation.lake import Lake
from perennial.foundation.ledger import open_ledger
from perennial.measurement import pipeline, report_text
from perennial.measurement.pipeline import ReportError
from tests.conftest import forget

START, END, UNTIL = date(2017, 3, 6), date(2017, 3, 12), date(2017, 3, 19)
FIRST = date(2017, 1, 9)
NEXT = UNTIL + timedelta(days=1)
ASSIGNED = [f"a{number}" for number in range(6)]
OTHERS = [f"b{number}" for number in range(4)]


def put(lake: Lake, name: str, rows: list[dict], *days: date) -> None:
    contract = contracts.CONTRACTS[name]
    complete = [dict.fromkeys(contract.schema.names) | row for row in rows]
    lake.replace(name, pa.Table.from_pylist(complete, contract.schema), days[0], days[-1])


def event(number: int, who: str, kind: str, on: date, known: date | None = None, **more: object) -> dict:
    seen = {"event_id": f"{kind}{number}", "landed_on": known or on, "known_on": known or on}
    at = datetime(on.year, on.month, on.day, 12, tzinfo=UTC)
    return seen | {"customer_id": who, "event_type": kind, "occurred_at": at} | more


def purchase(number: int, who: str, on: date, known: date | None = None) -> dict:
    return event(number, who, "purchase", on, known, order_id=f"o{number}", revenue=Decimal("10.00"))


@pytest.fixture
def shop_with_a_campaign(lake: Lake) -> Lake:
    """Ten customers; six in campaign 7, each with an order a week since January, five with one redemption."""
    people = [*ASSIGNED, *OTHERS]
    joined = {"valid_from": FIRST, "joined_on": FIRST, "consents": [], "known_on": FIRST}
    put(lake, "users", [joined | {"customer_id": who} for who in people], FIRST)
    spans = {"starts_on": START, "ends_on": END, "measured_until": UNTIL}
    put(
        lake,
        "campaigns",
        [
            spans
            | {"campaign_id": "7", "valid_from": START, "name": "Spring", "origin": "shop", "known_on": START}
        ],
        START,
    )
    assign(lake, {who: {} for who in ASSIGNED})
    weeks = [FIRST + timedelta(weeks=week) for week in range(10)]
    rows = [
        purchase(100 * n + week, who, on) for n, who in enumerate(people) for week, on in enumerate(weeks)
    ]
    rows += [event(n, who, "redeem", END, campaign_id="7") for n, who in enumerate(ASSIGNED[:5])]
    put(lake, "events", rows, FIRST, UNTIL)
    close(UNTIL)
    return lake


def assign(lake: Lake, arms: dict[str, dict]) -> None:
    row = {"campaign_id": "7", "landed_on": START, "assigned_on": START, "known_on": START}
    put(lake, "assignments", [row | {"customer_id": who} | arm for who, arm in arms.items()], START)


def close(*days: date) -> None:
    for day in days:
        open_ledger().close([day], day)


def figures(lake: Lake, day: date) -> dict[tuple[str, str], dict]:
    rows = lake.read("effects")
    of_day = rows.filter(rows.day == day).to_pyarrow().to_pylist()
    return {(row["measure"], row["segment"]): row for row in of_day}


def pages(shop: Path) -> dict[str, bytes]:
    folder = shop / "reports"
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.html")}


def test_a_closed_campaign_is_measured_and_shown(
    shop: Path, shop_with_a_campaign: Lake, monkeypatch: pytest.MonkeyPatch
):
    (shop / "config").mkdir()
    (shop / "config" / "reports.yaml").write_text("shop: Corner\ndata_note: Orders of the web shop only.\n")
    monkeypatch.setenv("PERENNIAL_CONFIG", str(shop / "config"))
    forget()
    reports = pipeline.report(str(UNTIL), None)
    assert reports == [{"campaign": "7", "report": f"campaigns/7/{UNTIL}.html", "mlflow_run": ""}]
    effects = figures(shop_with_a_campaign, UNTIL)
    assert effects["reach", "assigned"]["estimate"] == 6 / 10
    assert effects["redemption_rate", "assigned"]["estimate"] == pytest.approx(5 / 6)
    assert effects["redemption_rate", "others"]["estimate"] == 0
    assert effects["orders_per_customer", "assigned"]["estimate"] == 2
    assert effects["aov", "others"]["estimate"] == 10
    assert effects["repurchase_rate", "assigned"]["n"] == 6
    assert effects["orders_per_customer", "difference"]["estimate"] == 0
    assert effects["weekly_retention", "assigned, week 01"]["estimate"] == 1
    assert effects["orders_per_week", "assigned, before"]["estimate"] == 1
    text = (shop / "reports" / reports[0]["report"]).read_text()
    for part in (
        "Spring",
        "83.3\u00a0%",
        "Wilson",
        "n = 6",
        "customers who redeemed a coupon",
        "<svg",
        "Corner",
        "Orders of the web shop only.",
    ):
        assert part in text
    assert "http" not in text.replace("http://www.w3.org/", "")
    assert "<script" not in text
    assert reports[0]["report"] in (shop / "reports" / "index.html").read_text()


def test_a_campaign_that_is_not_randomised_is_reported_as_such(shop: Path, shop_with_a_campaign: Lake):
    pipeline.report(str(UNTIL), None)
    text = (shop / "reports" / f"campaigns/7/{UNTIL}.html").read_text()
    assert report_text.NOT_RANDOM in text
    assert "not randomised" in (shop / "reports" / "index.html").read_text()
    assert ("orders_per_customer", "lift") not in figures(shop_with_a_campaign, UNTIL)


def test_a_campaign_with_arms_and_propensities_has_a_lift(shop: Path, shop_with_a_campaign: Lake):
    lake = shop_with_a_campaign
    treated = {who: {"arm": "treatment", "propensity": 0.6} for who in ASSIGNED}
    assign(lake, treated | {who: {"arm": "holdout", "propensity": 0.4} for who in OTHERS})
    pipeline.report(str(UNTIL), None)
    effects = figures(lake, UNTIL)
    assert effects["orders_per_customer", "lift"]["estimate"] == 0
    assert effects["order_rate", "lift"]["method"].startswith("difference of shares, Newcombe")
    text = (shop / "reports" / f"campaigns/7/{UNTIL}.html").read_text()
    assert report_text.RANDOM in text
    assert report_text.NOT_RANDOM not in text
    assert "Sample-ratio check" in text


@pytest.mark.parametrize("lacking", [{}, {"arm": "holdout"}, {"arm": "treatment", "propensity": 0.6}])
def test_a_campaign_without_propensities_or_a_holdout_is_not_randomised(
    shop: Path, shop_with_a_campaign: Lake, lacking: dict
):
    treated = {who: {"arm": "treatment", "propensity": 0.6} for who in ASSIGNED}
    assign(shop_with_a_campaign, treated | {ASSIGNED[0]: lacking})
    pipeline.report(str(UNTIL), None)
    assert report_text.NOT_RANDOM in (shop / "reports" / f"campaigns/7/{UNTIL}.html").read_text()


def test_the_same_day_again_gives_the_same_bytes(shop: Path, shop_with_a_campaign: Lake):
    first = pipeline.report(str(UNTIL), None), pages(shop), figures(shop_with_a_campaign, UNTIL)
    again = pipeline.report(str(UNTIL), None), pages(shop), figures(shop_with_a_campaign, UNTIL)
    assert first == again


def test_a_campaign_is_due_once_and_again_after_late_rows(shop: Path, shop_with_a_campaign: Lake):
    lake = shop_with_a_campaign
    pipeline.report(str(UNTIL), None)
    close(NEXT)
    put(lake, "events", [purchase(9000, "a0", NEXT)], NEXT)
    assert pipeline.report(str(NEXT), None) == []
    later = NEXT + timedelta(days=1)
    close(later)
    put(lake, "events", [purchase(9001, "a0", END, later)], later)
    assert [report["campaign"] for report in pipeline.report(str(later), None)] == ["7"]
    assert figures(lake, later)["orders_per_customer", "assigned"]["estimate"] == pytest.approx(13 / 6)
    before = pages(shop)
    pipeline.report(str(UNTIL), None)
    assert figures(lake, UNTIL)["orders_per_customer", "assigned"]["estimate"] == 2
    assert pages(shop) == before


def test_a_late_assignment_makes_a_campaign_due_again(shop_with_a_campaign: Lake):
    close(NEXT)
    row = {"campaign_id": "7", "customer_id": "b0", "assigned_on": START, "landed_on": NEXT, "known_on": NEXT}
    put(shop_with_a_campaign, "assignments", [row], NEXT)
    pipeline.report(str(NEXT), None)
    assert figures(shop_with_a_campaign, NEXT)["reach", "assigned"]["estimate"] == 7 / 10


def test_a_campaign_that_still_runs_is_not_reported(shop: Path, shop_with_a_campaign: Lake):
    assert pipeline.report(str(UNTIL - timedelta(days=1)), None) == []
    assert shop_with_a_campaign.days("effects") == set()
    assert "No campaign's window has closed yet" in (shop / "reports" / "index.html").read_text()


def test_pages_and_figures_that_are_no_longer_due_are_deleted(shop: Path, shop_with_a_campaign: Lake):
    pipeline.report(str(UNTIL), None)
    put(shop_with_a_campaign, "campaigns", [], START)
    assert pipeline.report(str(UNTIL), None) == []
    assert figures(shop_with_a_campaign, UNTIL) == {}
    assert set(pages(shop)) == {"index.html"}


def own_campaign(lake: Lake, *, holdout: int = 40) -> None:
    """A campaign of ours with 160 customers treated and some held out, none of whom orders."""
    planned = {
        "campaign_id": "ours",
        "name": "Stay",
        "description": "d",
        "audience": "x",
        "channels": ["email"],
    }
    spans = {"priority": 1, "starts_on": START, "ends_on": END, "measured_until": UNTIL}
    drawn = {"holdout": 0.2, "global_holdout": 0.0, "global_salt": "s", "day": START}
    put(lake, "campaign_log", [planned | spans | drawn], START)
    arms = [("treatment", 0.8)] * 160 + [("holdout", 0.2)] * holdout
    rows = [
        {"campaign_id": "ours", "customer_id": f"o{n}", "arm": arm, "propensity": propensity}
        for n, (arm, propensity) in enumerate(arms)
    ]
    put(lake, "arms", [row | {"eligible_since": START, "day": START} for row in rows], START)


@pytest.mark.parametrize(("holdout", "tone"), [(40, report_text.UNDELIVERED), (5, report_text.MISMATCH)])
def test_the_page_of_our_campaign_warns_of_no_delivery_and_of_wrong_arm_sizes(
    shop: Path, shop_with_a_campaign: Lake, holdout: int, tone: str
):
    own_campaign(shop_with_a_campaign, holdout=holdout)
    with open_ledger().once(pipeline.DECIDING, UNTIL):
        pass
    assert [report["campaign"] for report in pipeline.report(str(UNTIL), None)] == ["7", "ours"]
    assert tone in (shop / "reports" / f"campaigns/ours/{UNTIL}.html").read_text()


def test_a_campaign_of_ours_waits_until_its_arms_are_drawn(shop_with_a_campaign: Lake):
    own_campaign(shop_with_a_campaign)
    close(END)
    with open_ledger().once(pipeline.DECIDING, START):
        pass
    with pytest.raises(ReportError, match=f"decide_contacts has only come to {START}"):
        pipeline.report(str(UNTIL), None)


def test_mlflow_has_one_run_for_each_report_of_a_day(
    shop: Path, shop_with_a_campaign: Lake, monkeypatch: pytest.MonkeyPatch
):
    from mlflow import MlflowClient

    monkeypatch.chdir(shop)
    mlflow = Endpoint(f"sqlite:///{shop}/mlflow.db")
    first = pipeline.report(str(UNTIL), mlflow)
    again = pipeline.report(str(UNTIL), mlflow)
    client = MlflowClient(mlflow.url)
    [run] = client.search_runs([client.get_experiment_by_name(pipeline.EXPERIMENT).experiment_id])
    assert (
        [report["mlflow_run"] for report in again]
        == [run.info.run_id]
        != [report["mlflow_run"] for report in first]
    )
    assert run.data.metrics["redemption_rate"] == pytest.approx(5 / 6)
    assert run.data.params["design"] == "chosen"
    assert int(run.data.params["version_events"]) == shop_with_a_campaign.version("events")
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == [f"{UNTIL}.html"]


def test_a_campaign_id_with_dots_and_slashes_stays_in_the_reports_folder(
    shop: Path, shop_with_a_campaign: Lake
):
    spans = {
        "starts_on": START,
        "ends_on": END,
        "measured_until": UNTIL,
        "valid_from": START,
        "known_on": START,
    }
    row = {"campaign_id": "../../<b>x", "name": "<script>alert(1)</script>", "origin": "shop"}
    put(shop_with_a_campaign, "campaigns", [spans | row], START)
    [result] = pipeline.report(str(UNTIL), None)
    assert result["report"].count("/") == 2
    assert set(pages(shop)) == {result["report"], "index.html"}
    assert b"<script>" not in b"".join(pages(shop).values())
