"""What came of the demo: rows, models, audiences, reports, and where to look."""

import json
from collections.abc import Collection, Mapping
from datetime import date
from pathlib import Path

import requests
from rich.console import Console
from rich.table import Table

from perennial.demo import drive_days
from perennial.demo.environment import USER, State
from perennial.demo.errors import TroubleError
from perennial.foundation import contracts
from perennial.foundation.lake import Lake, open_lake
from perennial.foundation.settings import settings
from perennial.ingestion.reconciliation import Entry, reconcile
from perennial.ingestion.screening import Storage

HEADLINES = {
    "return_model": ("auc", "recency_auc", "brier"),
    "recommender": ("hit_10", "popularity_hit_10", "ndcg_10"),
}
"""The figures of each model to show: its own, and its simplest rival's."""
SOURCE = "Complete Journey is simulated and meant for education: these figures carry no business claim."


def show(console: Console, state: State) -> None:
    """Print everything. Raises TroubleError when rows were lost or MLflow does not answer."""
    lake = open_lake()
    entries = reconcile(Storage.from_settings(), drive_days.HISTORY_FIRST, drive_days.DAYS_LAST)
    console.print(rows_table(entries))
    console.print(models_table(lake, aliases(state)))
    console.print(audiences_table(lake))
    console.print(arms_table(lake))
    _print_places(console, state)
    for entry in entries:
        if not entry.balanced:
            where = f"{entry.table}, landed on {entry.day}"
            raise TroubleError(f"{where}: rows landed are not rows published and quarantined.")


def rows_table(entries: Collection[Entry]) -> Table:
    """For each table rows landed, published and quarantined: in all, of the history, of each later day."""
    table = Table(title="Rows", title_justify="left", box=None)
    for name in ("table", "landed on"):
        table.add_column(name)
    for name in ("landed", "published", "quarantined"):
        table.add_column(name, justify="right")
    ends = {"all days": (drive_days.HISTORY_FIRST, drive_days.DAYS_LAST)}
    ends |= {f"…{drive_days.HISTORY_LAST}": (drive_days.HISTORY_FIRST, drive_days.HISTORY_LAST)}
    ends |= {str(day): (day, day) for day in drive_days.days()}
    for name in contracts.LANDED_TABLES:
        for label, (first, last) in ends.items():
            found = [each for each in entries if each.table == name and first <= each.day <= last]
            sums = (
                sum(getattr(each, column) for each in found)
                for column in ("landed", "published", "quarantined")
            )
            shown = name if label == "all days" else ""
            table.add_row(shown, label, *(f"{n:,}" for n in sums), style=None if shown else "dim")
    return table


def models_table(lake: Lake, held: Mapping[str, Mapping[str, str]]) -> Table:
    """Each model's verdicts, the headline figures (else the reason) of each, and MLflow's aliases by now."""
    table = Table(title="Models", title_justify="left", box=None)
    for name in ("model", "day", "version", "verdict", "figures", "alias"):
        table.add_column(name)
    rows = lake.read("model_log").order_by("model", "day", "change").to_pyarrow().to_pylist()
    for row in rows:
        version = "" if row["version"] is None else str(row["version"])
        names = [alias for alias, of in held.get(row["model"], {}).items() if version and of == version]
        figures = _figures(row["model"], row["figures"]) or row["reason"]
        table.add_row(
            row["model"], str(row["day"]), version, row["verdict"], figures, ", ".join(sorted(names))
        )
    return table


def audiences_table(lake: Lake) -> Table:
    """Size of each audience on each day."""
    rows = lake.read("audiences")
    found = rows.group_by("audience", "day").agg(n=lambda t: t.count()).to_pyarrow().to_pylist()
    sizes = {(row["audience"], row["day"]): row["n"] for row in found}
    return _by_day("Audiences", "audience", sizes)


def arms_table(lake: Lake) -> Table:
    """Customers drawn into each arm of our own campaigns on each day."""
    rows = lake.read("arms")
    found = rows.group_by("campaign_id", "arm", "day").agg(n=lambda t: t.count()).to_pyarrow().to_pylist()
    return _by_day(
        "Arms", "campaign, arm", {(f"{r['campaign_id']}, {r['arm']}", r["day"]): r["n"] for r in found}
    )


def aliases(state: State) -> dict[str, dict[str, str]]:
    """Alias → version of each registered model, as MLflow has them. TroubleError when it does not say."""
    url = f"{state.mlflow_url}/api/2.0/mlflow/registered-models/search"
    with requests.Session() as session:
        session.trust_env = False
        try:
            answer = session.get(url, auth=(USER, state.secrets["MLFLOW_PASSWORD"]), timeout=60)
            answer.raise_for_status()
        except requests.RequestException as error:
            raise TroubleError(
                f"MLflow does not say which models it has: {error}", state.logs / "mlflow.log"
            ) from error
    models = answer.json().get("registered_models", [])
    return {
        model["name"]: {one["alias"]: str(one["version"]) for one in model.get("aliases", [])}
        for model in models
    }


def _print_places(console: Console, state: State) -> None:
    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    reports = Path(settings().reports)
    docs = reports / "data_docs"
    pages = sorted(page for page in reports.rglob("*.html") if page.name != "index.html")
    say(SOURCE)
    say("Reports")
    if (reports / "index.html").exists():
        say(f" {reports / 'index.html'}  lists them all")
    for page in pages:
        if not page.is_relative_to(docs):
            say(f" {page}")
    if (docs / "index.html").exists():
        say(f" {docs / 'index.html'}  what the rules found in every landing")
    say("")
    say(f"Airflow  {state.airflow_url}   user {USER}, password {state.secrets['AIRFLOW_PASSWORD']}")
    say(f"MLflow   {state.mlflow_url}   user {USER}, password {state.secrets['MLFLOW_PASSWORD']}")
    say(f"Both run on until `make stop`; the passwords are kept in {state.root / 'env'}.")


def _by_day(title: str, what: str, sizes: Mapping[tuple[str, date], int]) -> Table:
    shown = sorted({day for _, day in sizes})
    table = Table(title=title, title_justify="left", box=None)
    table.add_column(what)
    for day in shown:
        table.add_column(str(day), justify="right")
    for name in sorted({name for name, _ in sizes}):
        table.add_row(name, *(f"{sizes.get((name, day), 0):,}" for day in shown))
    return table


def _figures(model: str, text: str) -> str:
    found: Mapping[str, float] = json.loads(text or "{}")
    return ", ".join(f"{name} {found[name]:.3f}" for name in HEADLINES.get(model, ()) if name in found)
