"""Days through the DAG files by `dag.test()`: a script, for Airflow takes its settings when it is imported.

    python -m tests.e2e.chain FIRST LAST DAY…

Loads the stretch from FIRST to LAST, then takes in each DAY, each with everything that follows from it.
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping

import requests

from perennial.demo import servers
from perennial.demo.environment import REPOSITORY, State


def main(first: str, last: str, *later: str) -> None:
    """Run the days in a state folder of the environment, with an MLflow server of their own."""
    state = State.from_environment()
    mlflow = _start_mlflow(state)
    try:
        subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"], check=True, stdout=subprocess.DEVNULL
        )
        dags = _dags()
        _test(dags["load_history"], {"first_day": first, "last_day": last})
        _cascade(dags, "load_history", last)
        for day in later:
            _test(dags["ingest"], {"day": day})
            _cascade(dags, "ingest", day)
    finally:
        mlflow.terminate()
        mlflow.wait()


def _start_mlflow(state: State) -> subprocess.Popen[bytes]:
    state.write_credentials()
    log = (state.root / "mlflow.log").open("wb")
    process = subprocess.Popen(servers.command(state, servers.MLFLOW), cwd=state.root, stdout=log, stderr=log)
    for _ in range(240):
        try:
            if requests.get(f"{state.mlflow_url}/health", timeout=5).ok:
                return process
        except requests.ConnectionError:
            time.sleep(0.5)
    raise TimeoutError(f"MLflow does not answer: {(state.root / 'mlflow.log').read_text()[-2000:]}")


def _dags() -> dict:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=REPOSITORY / "dags")
    if bag.import_errors:
        raise RuntimeError(bag.import_errors)
    return dict(bag.dags)


def _cascade(dags: dict, dag_id: str, day: str) -> None:
    """Every DAG that wakes, directly or not, when `dag_id` is done."""
    for woken in _woken_by(dags, dag_id):
        _test(dags[woken], {"day": day})
        _cascade(dags, woken, day)


def _woken_by(dags: dict, dag_id: str) -> Iterator[str]:
    emitted = {outlet.name for task in dags[dag_id].tasks for outlet in task.outlets}
    for other in sorted(dags):
        condition = getattr(dags[other].timetable, "asset_condition", None)
        if condition is not None and condition.name in emitted:
            yield other


def _test(dag, conf: Mapping[str, str]) -> None:  # noqa: ANN001 - Airflow is not imported yet
    for task in dag.tasks:
        task.retries = 0  # a failure here is for good: do not wait for another
    run = dag.test(run_conf=dict(conf))
    print(f"{dag.dag_id} {dict(conf)}: {run.state}", flush=True)
    if run.state != "success":
        raise RuntimeError(f"{dag.dag_id} {conf} ended as {run.state}")


if __name__ == "__main__":
    main(*sys.argv[1:])
