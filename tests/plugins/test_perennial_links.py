"""A task that returned an MLflow run or a report has a button for it in the UI, and no other task has one."""

import json

from tests.plugins.conftest import RUN_ID, Server


def links(server: Server, task: str, map_index: int = -1) -> dict[str, str | None]:
    """The links that the UI requests to show the buttons of a task instance."""
    token = server.token()
    runs = json.loads(server.get("/api/v2/dags/linked/dagRuns", token).text)["dag_runs"]
    instance = f"/api/v2/dags/linked/dagRuns/{runs[0]['dag_run_id']}/taskInstances/{task}"
    response = server.get(f"{instance}/links?map_index={map_index}", token)
    assert response.status == 200, response.text
    return json.loads(response.text)["extra_links"]


def test_a_task_that_trained_links_to_its_run_where_a_browser_finds_mlflow(server: Server) -> None:
    assert links(server, "trained")["MLflow run"] == f"http://127.0.0.1:5000/#/runs/{RUN_ID}"


def test_the_report_link_of_a_task_opens_the_report(server: Server) -> None:
    address = links(server, "trained")["Report"]
    assert address == "/perennial/reports/campaigns/18%20and%2019.html"
    assert "Lift of campaign 18" in server.get(address, server.token()).text


def test_each_instance_of_a_mapped_task_links_to_its_own_report(server: Server) -> None:
    instances = [links(server, "reported", map_index) for map_index in (0, 1)]
    assert [link["Report"] for link in instances] == [
        "/perennial/reports/a.html",
        "/perennial/reports/b.html",
    ]
    assert [link["MLflow run"] for link in instances] == [None, None]


def test_a_task_that_failed_links_to_the_report_that_it_left_before(server: Server) -> None:
    address = links(server, "refused")["Report"]
    assert address == "/perennial/reports/data_docs/2017-12-01/index.html"


def test_a_task_that_returned_something_else_has_no_button(server: Server) -> None:
    assert links(server, "plain") == {"MLflow run": None, "Report": None}


def test_a_returned_value_cannot_link_to_another_site(server: Server) -> None:
    assert links(server, "hostile") == {"MLflow run": None, "Report": None}
