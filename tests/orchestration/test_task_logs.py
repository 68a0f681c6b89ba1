import json
import os
import subprocess
import sys
from pathlib import Path

from perennial.demo.environment import REPOSITORY, State
from perennial.foundation.masking import pseudonym
from perennial.orchestration import task_logs
from tests.deployment.compose import services

SETTING = "AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS"
KEY = "k" * 32
WRITES = """
import structlog, sys
from airflow.sdk.log import logging_processors
loaded = set(sys.modules)
with open(sys.argv[1], "ab") as file:
    processors = logging_processors(json_output=True)
    log = structlog.wrap_logger(structlog.BytesLogger(file), processors=processors).bind()
    try:
        raise ValueError("Could not convert 'anna@example.com' to INT32")
    except ValueError:
        found = ["Tel. 030 1234567", {"deep": "+1 202 555 0143"}]
        log.exception("line 7 of %s", "ben@example.org", rows=3, found=found)
print(sorted({"ibis", "pandas", "pyarrow", "duckdb"} & loaded))
"""


def test_what_a_supervisor_writes_is_masked_with_its_traceback(tmp_path: Path):
    environment = {
        SETTING: "perennial.orchestration.task_logs.LOGGING_CONFIG",
        "AIRFLOW_HOME": str(tmp_path),
        "PERENNIAL_PSEUDONYM_KEY": KEY,
        "PYTHONPATH": str(REPOSITORY / "include"),
    }
    command = [sys.executable, "-c", WRITES, str(tmp_path / "task.log")]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
    (line,) = (tmp_path / "task.log").read_text().splitlines()
    told = json.loads(line)
    anna, ben, tel, phone = (
        pseudonym(KEY.encode(), value)
        for value in ("anna@example.com", "ben@example.org", "030 1234567", "+12025550143")
    )
    assert told["event"] == f"line 7 of {ben}"
    assert told["exception"][0]["exc_value"] == f"Could not convert '{anna}' to INT32"
    assert told["found"] == [f"Tel. {tel}", {"deep": phone}]
    assert told["rows"] == 3
    assert done.stdout.splitlines()[-1] == "[]", "masking loads what computes tables"


def test_the_demo_and_the_compose_file_mask_their_logs(tmp_path: Path):
    wanted = "perennial.orchestration.task_logs.LOGGING_CONFIG"
    assert State(tmp_path).settings()[SETTING] == wanted
    for name in ("scheduler", "triggerer", "api-server", "worker", "worker-models"):
        assert services()[name]["environment"][SETTING] == wanted, name


class Bucket:
    """A remote log that keeps what it was told."""

    processors = ("theirs",)

    def __init__(self) -> None:
        self.uploaded: list[str] = []

    def upload(self, path: str, ti: object = None) -> None:
        self.uploaded.append(path)

    def read(self, relative_path: str, ti: object) -> tuple[list[str], list[str]]:
        return [relative_path], self.uploaded


def test_a_remote_log_goes_on_behind_the_mask():
    bucket = Bucket()
    logs = task_logs.MaskedLogs(bucket)
    assert logs.processors == (task_logs.mask, "theirs")
    logs.upload("a.log")
    assert logs.read("a.log", None) == (["a.log"], ["a.log"])
    alone = task_logs.MaskedLogs(None)
    alone.upload("a.log")
    assert alone.read("a.log", None) == ([], None)
