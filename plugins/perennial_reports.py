"""The reports, on Airflow's own web server, for people who are logged in and may look at Airflow's DAGs.

The pages below `PERENNIAL_REPORTS` are served under `/perennial/reports/`; that address itself shows their
`index.html`, or lists them while there is none, and the UI's menu has it under "Reports". Data Docs, what the
rules of the ingestion found, are among them, under `/perennial/reports/data_docs/`. A browser without a
login is sent to Airflow's login page and back; any other client without one gets 401. A page may bring its
own styles and pictures but runs no script: it holds words that came from the shop's data, and shares its
origin with Airflow.

Airflow imports every plugin in each of its processes, the tasks' too, so the web application is made only
when the first request comes.
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
"""Folder of what the ingestion's rules found: several pages a day, with an index of their own."""
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
    """One route, which asks Airflow who the user is before it looks at the path."""
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
    """A page that links every HTML page below `folder`, the last path first; of Data Docs only the index."""
    found = (path.relative_to(folder) for path in folder.rglob("*.html"))
    paths = sorted((path.as_posix() for path in found if path.parts[0] != DATA_DOCS), reverse=True)
    items = "".join(f'<li><a href="{quote(path)}">{html.escape(path)}</a></li>' for path in paths)
    if (folder / DATA_DOCS / "index.html").is_file():
        items = f'<li><a href="{DATA_DOCS}/">Data Docs</a></li>{items}'
    body = f"<ul>{items}</ul>" if items else "<p>No report has been made yet.</p>"
    return f"<!doctype html><meta charset=utf-8><title>Reports</title><h1>Reports</h1>{body}"


def _root() -> str:
    """Path below which Airflow's web server lives; empty unless `[api] base_url` has one."""
    return urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/")


class PerennialReports(AirflowPlugin):
    """Mounts the reports and puts them in the menu."""

    name = "perennial_reports"
    fastapi_apps = [{"app": site, "url_prefix": PREFIX, "name": "Perennial reports"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012 - Airflow's own way of registering
        {"name": "Reports", "href": f"{address()}/", "destination": "nav"}
    ]
