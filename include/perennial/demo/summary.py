"""Results of the demo: rows, models, audiences and arms, and the addresses of reports and servers."""

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
"""The metrics to show for each model: its own, and that of its simplest baseline."""
SOURCE = "Complete Journey is simulated and meant for education: these figures carry no business claim."


def show(console: Console, state: State) -> None:
    """Print all results. Raises TroubleError if rows were lost or MLflow does not answer."""
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
            raise TroubleError(f"{where}: rows published plus rows quarantined are not the rows landed.")


def rows_table(entries: Collection[Entry]) -> Table:
    """Rows landed, published and quarantined: each table in total, for the history, for each later day."""
    table = Table(title="Rows", title_justify="left", box=None)
    for name in ("table", "landed on"):
        table.add_column(name)
    for name in ("landed", "published", "quarantined"):
        table.add_column(name, justify="right")
    periods = {"all days": (drive_days.HISTORY_FIRST, drive_days.DAYS_LAST)}
    periods |= {f"…{drive_days.HISTORY_LAST}": (drive_days.HISTORY_FIRST, drive_days.HISTORY_LAST)}
    periods |= {str(day): (day, day) for day in drive_days.days()}
    for name in contracts.LANDED_TABLES:
        for label, (first, last) in periods.items():
            selected = [entry for entry in entries if entry.table == name and first <= entry.day <= last]
            sums = (
                sum(getattr(entry, column) for entry in selected)
                for column in ("landed", "published", "quarantined")
            )
            table_name = name if label == "all days" else ""
            table.add_row(
                table_name, label, *(f"{count:,}" for count in sums), style=None if table_name else "dim"
            )
    return table


def models_table(lake: Lake, model_aliases: Mapping[str, Mapping[str, str]]) -> Table:
    """Verdicts on each model, with headline metrics (or the reason) and the present aliases in MLflow."""
    table = Table(title="Models", title_justify="left", box=None)
    for name in ("model", "day", "version", "verdict", "figures", "alias"):
        table.add_column(name)
    rows = lake.read("model_log").order_by("model", "day", "change").to_pyarrow().to_pylist()
    for row in rows:
        version = "" if row["version"] is None else str(row["version"])
        row_aliases = [
            alias
            for alias, alias_version in model_aliases.get(row["model"], {}).items()
            if version and alias_version == version
        ]
        figures = _figures(row["model"], row["figures"]) or row["reason"]
        table.add_row(
            row["model"], str(row["day"]), version, row["verdict"], figures, ", ".join(sorted(row_aliases))
        )
    return table


def audiences_table(lake: Lake) -> Table:
    """Size of each audience on each day."""
    rows = lake.read("audiences")
    counts = rows.group_by("audience", "day").agg(n=lambda t: t.count()).to_pyarrow().to_pylist()
    sizes = {(row["audience"], row["day"]): row["n"] for row in counts}
    return _by_day("Audiences", "audience", sizes)


def arms_table(lake: Lake) -> Table:
    """Number of customers who were drawn into each arm of our own campaigns on each day."""
    rows = lake.read("arms")
    counts = rows.group_by("campaign_id", "arm", "day").agg(n=lambda t: t.count()).to_pyarrow().to_pylist()
    return _by_day(
        "Arms",
        "campaign, arm",
        {(f"{row['campaign_id']}, {row['arm']}", row["day"]): row["n"] for row in counts},
    )


def aliases(state: State) -> dict[str, dict[str, str]]:
    """Model → alias → version, as registered in MLflow. Raises TroubleError if MLflow does not answer."""
    url = f"{state.mlflow_url}/api/2.0/mlflow/registered-models/search"
    with requests.Session() as session:
        session.trust_env = False
        try:
            response = session.get(url, auth=(USER, state.secrets["MLFLOW_PASSWORD"]), timeout=60)
            response.raise_for_status()
        except requests.RequestException as error:
            raise TroubleError(
                f"MLflow did not return its models: {error}", state.logs / "mlflow.log"
            ) from error
    models = response.json().get("registered_models", [])
    return {
        model["name"]: {alias["alias"]: str(alias["version"]) for alias in model.get("aliases", [])}
        for model in models
    }


def _print_places(console: Console, state: State) -> None:
    def print_line(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    reports = Path(settings().reports)
    docs = reports / "data_docs"
    pages = sorted(page for page in reports.rglob("*.html") if page.name != "index.html")
    print_line(SOURCE)
    print_line("Reports")
    if (reports / "index.html").exists():
        print_line(f" {reports / 'index.html'}  list of all reports")
    for page in pages:
        if not page.is_relative_to(docs):
            print_line(f" {page}")
    if (docs / "index.html").exists():
        print_line(f" {docs / 'index.html'}  results of the rules for every landing")
    print_line("")
    print_line(f"Airflow  {state.airflow_url}   user {USER}, password {state.secrets['AIRFLOW_PASSWORD']}")
    print_line(f"MLflow   {state.mlflow_url}   user {USER}, password {state.secrets['MLFLOW_PASSWORD']}")
    print_line(f"Both run until `make stop`; the passwords are in {state.root / 'env'}.")


def _by_day(title: str, what: str, sizes: Mapping[tuple[str, date], int]) -> Table:
    days = sorted({day for _, day in sizes})
    table = Table(title=title, title_justify="left", box=None)
    table.add_column(what)
    for day in days:
        table.add_column(str(day), justify="right")
    for name in sorted({name for name, _ in sizes}):
        table.add_row(name, *(f"{sizes.get((name, day), 0):,}" for day in days))
    return table


def _figures(model: str, text: str) -> str:
    figures: Mapping[str, float] = json.loads(text or "{}")
    return ", ".join(f"{name} {figures[name]:.3f}" for name in HEADLINES.get(model, ()) if name in figures)
