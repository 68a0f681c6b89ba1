"""The step of `report_campaigns`: measure the campaigns that are due, write their figures and their pages.

Re-makeable: a day's reports depend only on the tables as known on that day and on the closed days. A second
run replaces the day's figures and pages by the same ones, and deletes pages that the day no longer reports.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta

import ibis.expr.types as ir

from perennial.foundation import activity
from perennial.foundation.endpoint import Endpoint
from perennial.foundation.engine import kept
from perennial.foundation.lake import Lake, open_lake
from perennial.foundation.ledger import open_ledger
from perennial.foundation.pages import ReportWords, report_words, write
from perennial.foundation.settings import settings
from perennial.foundation.time_zones import local_date
from perennial.measurement import effects, overview
from perennial.measurement.campaigns import Campaign, Updates, due
from perennial.measurement.effects import Findings, Inputs
from perennial.measurement.report import index, page, path_of

EXPERIMENT = "campaign_reports"
DECIDING = "decide_contacts"
"""The once-only step that draws the arms of our campaigns."""
_READ = ("campaigns", "campaign_log", "assignments", "arms", "users", "events")


class ReportError(RuntimeError):
    """A campaign cannot be reported yet; the message says what is missing."""


def report(day: str, endpoint: Endpoint | None) -> list[dict[str, str]]:
    """Report every campaign that is due on the day.

    Args:
        day: the day, `YYYY-MM-DD`.
        endpoint: MLflow; None writes no runs.

    Returns:
        For each report, sorted by campaign id: `campaign`, `report` (its path below the folder of the
        reports) and `mlflow_run` (the run's id, empty without an endpoint).

    Raises:
        ReportError: one of our campaigns has customers whose arms are not drawn yet.
    """
    today = date.fromisoformat(day)
    lake = open_lake().pinned(*_READ)
    reported = _measured(lake, today)
    open_lake().replace("effects", effects.table(reported, today), today)
    words = report_words()
    pages = {
        path_of(findings.campaign.campaign_id, today): page(findings, today, words) for findings in reported
    }
    _publish(pages, today)
    _publish_index(words)
    runs = _log_runs(endpoint, reported, lake, today) if endpoint else [""] * len(reported)
    return [
        {"campaign": findings.campaign.campaign_id, "report": path, "mlflow_run": run}
        for findings, path, run in zip(reported, pages, runs, strict=True)
    ]


def campaigns(lake: Lake, day: date) -> list[Campaign]:
    """The shop's campaigns and ours as known at the end of `day`."""
    shops = lake.known("campaigns", day).to_pyarrow().to_pylist()
    log = lake.read("campaign_log")
    ours = log.filter(log.day <= day).order_by("day").to_pyarrow().to_pylist()
    newest = {row["campaign_id"]: row for row in ours}
    return [Campaign.from_row(row, row["origin"]) for row in shops] + [
        Campaign.from_row(row, "perennial") for row in newest.values()
    ]


def _measured(lake: Lake, day: date) -> list[Findings]:
    """The findings of the campaigns that are due, sorted by campaign id."""
    before = open_ledger().announced_before(day)
    due_campaigns = due(campaigns(lake, day), day, before, _updates(lake, day, before))
    _check_decided(due_campaigns)
    if not due_campaigns:
        return []
    with _inputs(lake, day) as inputs:
        return effects.measure(due_campaigns, inputs)


def _check_decided(due_campaigns: list[Campaign]) -> None:
    """Check that the last customers who entered one of our campaigns have their arm."""
    ledger = open_ledger()
    done = ledger.frontier(DECIDING)
    for campaign in due_campaigns:
        last = ledger.announced_before(campaign.ends_on + timedelta(days=1))
        if campaign.origin == "perennial" and last is not None and (done is None or done < last):
            raise ReportError(
                f"campaign {campaign.campaign_id} took customers in until {campaign.ends_on}, but {DECIDING} "
                f"has only come to {done}; report again when it has done {last}"
            )


def _updates(lake: Lake, day: date, before: date | None) -> Updates:
    """The late data that became known after `before`, up to `day`."""
    if before is None:
        return Updates()

    def late_rows(name: str) -> ir.Table:
        rows = lake.read(name)
        return rows.filter((rows.known_on > before) & (rows.known_on <= day))

    late = late_rows("events")
    days = local_date(late.occurred_at, settings().zone, *_span(lake, day))
    event_days = late.select(on=days).distinct().to_pyarrow()["on"].to_pylist()
    ids = late_rows("assignments").select("campaign_id").union(late_rows("campaigns").select("campaign_id"))
    return Updates(frozenset(event_days), frozenset(ids.distinct().to_pyarrow()["campaign_id"].to_pylist()))


@contextmanager
def _inputs(lake: Lake, day: date) -> Iterator[Inputs]:
    """The tables as known on the day. Orders and contacts are computed once for all campaigns."""
    events = lake.known("events", day)
    first, last = _span(lake, day)
    zone = settings().zone
    arms = lake.read("arms")
    with (
        kept(activity.orders(events, zone, first, last)) as orders,
        kept(activity.contacts(events, zone, first, last)) as contacts,
    ):
        yield Inputs(
            orders=orders,
            contacts=contacts,
            assignments=lake.known("assignments", day),
            arms=arms.filter(arms.day <= day),
            users=lake.known("users", day),
            records_from=first,
        )


def _span(lake: Lake, day: date) -> tuple[date, date]:
    """The UTC date of the first event known on `day`, and `day`."""
    rows = lake.read("events")
    first = (
        rows.filter(rows.known_on <= day).agg(first=rows.occurred_at.min()).to_pyarrow()["first"][0].as_py()
    )
    return (first.date() if first else day), day


def _publish(pages: dict[str, str], day: date) -> None:
    """Write the day's pages, and delete the day's other pages."""
    folder = settings().reports
    for path, text in pages.items():
        write(folder / path, text)
    for old in folder.glob(f"campaigns/*/{day}.html"):
        if old.relative_to(folder).as_posix() not in pages:
            old.unlink(missing_ok=True)


def _publish_index(words: ReportWords) -> None:
    """Write the list of all reports. If another day wrote figures meanwhile, write it again."""
    lake = open_lake()
    while True:
        version = lake.version("effects")
        state = lake.pinned("effects")
        known = {
            campaign.campaign_id: campaign
            for campaign in campaigns(state, max(state.days("effects"), default=date.max))
        }
        rows = overview.figures(state.read("effects")).to_pyarrow().to_pylist()
        write(settings().reports / "index.html", index(overview.entries(rows, known, words.currency), words))
        if lake.version("effects") == version:
            return


def _log_runs(endpoint: Endpoint, reported: list[Findings], lake: Lake, day: date) -> list[str]:
    """Log one MLflow run for each report, replacing those of an earlier attempt, and return the runs' ids."""
    from perennial.foundation.modelling import tracking

    tracking.discard(endpoint, EXPERIMENT, {"day": str(day)})
    runs = []
    for findings in reported:
        name = findings.campaign.campaign_id
        tags = {"day": str(day), "campaign": name}
        with tracking.run(endpoint, EXPERIMENT, f"campaign {name}, {day}", tags) as run:
            run.log(params=overview.parameters(findings), metrics=overview.metrics(findings))
            run.log_tables(lake)
            run.log_file(settings().reports / path_of(name, day))
            runs.append(run.id)
    return runs
