"""Serves the reports on Airflow's web server, for users who are logged in and may see Airflow's DAGs.

The pages below `PERENNIAL_REPORTS` are served under `/perennial/reports/`. That address itself shows their
`index.html`, or a list of the pages if there is none; the UI's menu links to it as "Reports". Data Docs, the
results of the ingestion rules, are under `/perennial/reports/data_docs/`. A browser without a login is
redirected to Airflow's login page and back; any other client without a login gets 401. A page may contain
styles and pictures but runs no script, because it contains texts from the shop's data and has the same origin
as Airflow.

Airflow imports every plugin in each of its processes, also in those of the tasks. So the web application is
created at the first request.
"""

import html
from collections.abc import MutableMapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

from perennial.foundation.settings import settings

if TYPE_CHECKING:
    from fastapi import FastAPI

PREFIX = "/perennial/reports"
DATA_DOCS = "data_docs"
"""Folder with the results of the ingestion rules: several pages a day, with their own index."""
HEADERS = {
    "Content-Security-Policy": "sandbox allow-popups allow-popups-to-escape-sandbox; "
    "default-src 'none'; img-src data:; font-src data:; style-src 'unsafe-inline'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-cache",
}


async def site(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
    """The ASGI application that Airflow mounts."""
    await _application()(scope, receive, send)


@cache
def _application() -> "FastAPI":
    """One route. Airflow checks the user before the path is read."""
    from airflow.api_fastapi.core_api.security import requires_access_dag
    from fastapi import Depends, FastAPI, HTTPException, Request
    from fastapi.exception_handlers import http_exception_handler
    from fastapi.responses import HTMLResponse, RedirectResponse, Response
    from fastapi.staticfiles import StaticFiles

    folder = settings().reports.resolve()
    files = StaticFiles(directory=folder, html=True, check_dir=False)
    application = FastAPI(title="Perennial reports", openapi_url=None)

    @application.get("/{path:path}", dependencies=[Depends(requires_access_dag("GET"))])
    async def page(path: str, request: Request) -> Response:
        if path or (folder / "index.html").is_file():
            response = await files.get_response(path or "index.html", request.scope)
        else:
            response = HTMLResponse(contents(folder))
        response.headers.update(HEADERS)
        return response

    @application.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        if error.status_code == 401 and "text/html" in request.headers.get("accept", ""):
            return RedirectResponse(f"{_root()}/api/v2/auth/login?next={quote(request.url.path)}")
        return await http_exception_handler(request, error)

    return application


def address() -> str:
    """Path of the reports on Airflow's web server."""
    return _root() + PREFIX


def contents(folder: Path) -> str:
    """A page of links to all HTML pages below `folder`, the last path first; of Data Docs only the index."""
    pages = (path.relative_to(folder) for path in folder.rglob("*.html"))
    paths = sorted((path.as_posix() for path in pages if path.parts[0] != DATA_DOCS), reverse=True)
    items = "".join(f'<li><a href="{quote(path)}">{html.escape(path)}</a></li>' for path in paths)
    if (folder / DATA_DOCS / "index.html").is_file():
        items = f'<li><a href="{DATA_DOCS}/">Data Docs</a></li>{items}'
    body = f"<ul>{items}</ul>" if items else "<p>No report has been made yet.</p>"
    return f"<!doctype html><meta charset=utf-8><title>Reports</title><h1>Reports</h1>{body}"


def _root() -> str:
    """Path prefix of Airflow's web server: the path of `[api] base_url`, or empty."""
    return urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/")


class PerennialReports(AirflowPlugin):
    """Mounts the reports and adds them to the menu."""

    name = "perennial_reports"
    fastapi_apps = [{"app": site, "url_prefix": PREFIX, "name": "Perennial reports"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012 - Airflow requires a list
        {"name": "Reports", "href": f"{address()}/", "destination": "nav"}
    ]
