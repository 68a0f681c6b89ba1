"""Pictures of a finished demo, for people to look at: Airflow's pages, a report, MLflow's pages."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from perennial.demo.environment import USER
from tests.acceptance.arena import Arena, until

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver

PATIENCE_SECONDS = 120
SIZE = {"width": 1440, "height": 900, "deviceScaleFactor": 1, "mobile": False}
DAY = "2017-12-03"
PANELS = {
    f"react-resizable-panels:{view}-ltr": {
        "details-panel,main-panel": {"expandToSizes": {}, "layout": shares}
    }
    for view, shares in {"graph": [62, 38], "grid": [28, 72]}.items()
}
"""How Airflow's pages remember the percentages of a view and of the details beside it."""
REPORT = "/perennial/reports/campaigns/13/2017-11-30.html"


def take(made: Arena, folder: Path) -> list[Path]:
    """Take the pictures, and follow the link from a task in Airflow to its MLflow run on the way.

    Raises:
        FileNotFoundError: this machine has no Chromium or no driver of it.
        TimeoutError: a page does not show what it should, or never comes to rest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    asset = made.ask_airflow("SELECT id FROM asset WHERE name = 'shop_day'")[0][0]
    run = made.ask_airflow(
        f"SELECT run_id FROM dag_run WHERE dag_id = 'train_models' AND partition_key = '{DAY}'"
    )[0][0]
    airflow, mlflow = made.state.airflow_url, made.state.mlflow_url
    run_page = f"{airflow}/dags/train_models/runs/{quote(run)}"
    with _browser() as browser:
        _log_in(browser, made)
        _remember(browser, {f"direction-{asset}": "DOWN", "default_dag_view": "graph"} | PANELS)
        taken = [
            _picture(browser, folder / "airflow-home.png", f"{airflow}/", "Asset Events"),
            _picture(browser, folder / "asset-graph.png", f"{airflow}/assets/{asset}", "decide_contacts"),
            _picture(browser, folder / "dag-run.png", run_page, "wait_for_turn"),
        ]
        _remember(browser, {"default_dag_view": "grid"})
        task = f"{run_page}/tasks/train_return_model/details"
        taken.append(_picture(browser, folder / "task-link.png", task, "MLflow run"))
        _follow(browser, "MLflow run")
        taken.append(_picture(browser, folder / "mlflow-run.png", None, f"return_model {DAY}"))
        plots = f"{browser.current_url}/artifacts/calibration.png"
        models = f"{mlflow}/#/models"
        taken += [
            _picture(browser, folder / "mlflow-plot.png", plots, "gain.png"),
            _picture(browser, folder / "mlflow-registry.png", models, "recommender"),
            _picture(browser, folder / "mlflow-models.png", f"{models}/return_model", "champion"),
            _picture(browser, folder / "reports.png", f"{airflow}/perennial/reports/", "Campaign reports"),
            _picture(browser, folder / "campaign-report.png", airflow + REPORT, "Campaign 13"),
        ]
    return taken


@contextmanager
def _browser() -> Iterator["WebDriver"]:
    from selenium import webdriver

    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next(filter(None, map(shutil.which, names)), None)
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        raise FileNotFoundError("The pictures need Chromium and chromedriver, and both must be on the PATH.")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--hide-scrollbars", "--lang=en", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        # Chromium refuses to run as root inside its sandbox.
        options.add_argument("--no-sandbox")
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    try:
        browser.set_page_load_timeout(PATIENCE_SECONDS)
        yield browser
    finally:
        browser.quit()


def _log_in(browser: "WebDriver", made: Arena) -> None:
    """Into both servers; MLflow also has its greetings put away."""
    secrets, mlflow = made.state.secrets, made.state.mlflow_url
    password = quote(secrets["MLFLOW_PASSWORD"], safe="")
    browser.get(mlflow.replace("://", f"://{USER}:{password}@"))
    # The page whose address holds the password cannot call the server; the next one can.
    browser.get(mlflow)
    settings = {
        "mlflow.workflowType_v1": "machine_learning",
        "mlflow.assistant.panelOpen_v1": False,
        "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": True,
        "_mlflow_model_registry_promo_modal_dismissed_v1": True,
    }
    _remember(browser, settings)
    browser.get(f"{made.state.airflow_url}/auth/login")
    _await(browser, "Sign in")
    browser.find_element("name", "username").send_keys(USER)
    browser.find_element("name", "password").send_keys(secrets["AIRFLOW_PASSWORD"])
    browser.find_element("css selector", "button[type=submit]").click()
    _await(browser, "Pool Slots")


def _remember(browser: "WebDriver", settings: dict[str, Any]) -> None:
    """Set what a site remembers in the browser; its next page follows it."""
    for name, value in settings.items():
        browser.execute_script("localStorage.setItem(...arguments)", name, json.dumps(value))


def _follow(browser: "WebDriver", words: str) -> None:
    """Click a link that opens a page of its own, and go there."""
    before = set(browser.window_handles)
    browser.find_element("link text", words).click()
    if not until(lambda: bool(set(browser.window_handles) - before), PATIENCE_SECONDS):
        raise TimeoutError(f"the link {words!r} opened no page")
    browser.switch_to.window((set(browser.window_handles) - before).pop())


def _await(browser: "WebDriver", words: str) -> None:
    """Wait until a page says some words."""

    def said() -> bool:
        return words in browser.execute_script("return document.body.innerText")

    if not until(said, PATIENCE_SECONDS):
        raise TimeoutError(f"{browser.current_url} does not say {words!r}")


def _picture(browser: "WebDriver", path: Path, url: str | None, words: str) -> Path:
    """A page (None: where the browser is) when it says what it should and two looks at it are the same."""
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", SIZE)
    if url:
        browser.get(url)
    _await(browser, words)
    deadline, last = time.monotonic() + PATIENCE_SECONDS, b""
    while (now := browser.get_screenshot_as_png()) != last:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{browser.current_url} does not come to rest")
        last = now
        time.sleep(2)
    path.write_bytes(now)
    return path
