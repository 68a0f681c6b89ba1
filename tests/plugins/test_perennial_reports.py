"""Reports are for people who are logged in, and nothing but reports can be read."""

import json

import pytest

from tests.plugins.conftest import Server

REPORT = "/perennial/reports/campaigns/18%20and%2019.html"


def test_a_browser_without_login_is_sent_to_the_login_page_and_back(server: Server) -> None:
    response = server.get(REPORT)
    assert response.status == 307
    login = server.get(response.headers["location"])
    assert login.status == 307
    assert login.headers["location"].startswith("/auth/login?next=%2Fperennial%2Freports%2Fcampaigns%2F18")
    assert "Lift" not in response.text


def test_another_client_without_login_is_refused(server: Server) -> None:
    for path in (REPORT, "/perennial/reports/", "/perennial/reports/missing.html"):
        assert server.get(path, accept="*/*").status == 401


def test_a_forged_login_is_refused(server: Server) -> None:
    header, payload, signature = server.token().split(".")
    response = server.get(REPORT, f"{header}.{payload}.{signature[::-1]}", accept="*/*")
    assert response.status in (401, 403)
    assert "Lift" not in response.text


def test_somebody_logged_in_reads_a_report(server: Server) -> None:
    response = server.get(REPORT, server.token())
    assert response.status == 200
    assert response.text == "<h1>Lift of campaign 18</h1>"
    assert response.headers["content-type"].startswith("text/html")


def test_the_menu_has_a_list_of_the_reports(server: Server) -> None:
    token = server.token()
    plugins = json.loads(server.get("/api/v2/plugins", token).text)
    hrefs = [view["href"] for plugin in plugins["plugins"] for view in plugin["external_views"]]
    page = server.get("/perennial/reports/", token).text
    assert '<a href="campaigns/18%20and%2019.html">campaigns/18 and 19.html</a>' in page
    assert "script&lt;x&gt;.html" in page
    assert "<x>" not in page
    assert hrefs == ["/perennial/reports/"]


def test_data_docs_are_one_entry_of_that_list_and_all_their_pages_are_served(server: Server) -> None:
    token = server.token()
    page = server.get("/perennial/reports/", token).text
    assert '<a href="data_docs/">Data Docs</a>' in page
    assert "2017-12-01" not in page
    assert server.get("/perennial/reports/data_docs/", token).text == "<h1>Data Docs</h1>"
    assert server.get("/perennial/reports/data_docs/2017-12-01/items.html", token).text == "<h1>items</h1>"


def test_the_menu_leads_to_the_index_if_there_is_one(server: Server) -> None:
    index = server.reports / "index.html"
    index.write_text("<h1>Campaign reports</h1>")
    try:
        answer = server.get("/perennial/reports/", server.token())
    finally:
        index.unlink()
    assert answer.text == "<h1>Campaign reports</h1>"
    assert "sandbox" in answer.headers["content-security-policy"]


def test_a_report_runs_no_script_beside_airflow(server: Server) -> None:
    for path in (REPORT, "/perennial/reports/"):
        policy = server.get(path, server.token()).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "sandbox" in policy
        assert "allow-scripts" not in policy
        assert "script-src" not in policy


@pytest.mark.parametrize(
    "path",
    [
        "../secret.html",
        "..%2fsecret.html",
        "%2e%2e/secret.html",
        "campaigns/../../secret.html",
        "campaigns/%2e%2e%2f%2e%2e%2fsecret.html",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "escape.html",
        "a%00.html",
        "campaigns",
    ],
)
def test_nothing_outside_the_reports_can_be_read(server: Server, path: str) -> None:
    response = server.get(f"/perennial/reports/{path}", server.token())
    assert response.status == 404
    assert "secret" not in response.text
