import subprocess
import sys
from pathlib import Path

from perennial.demo import install
from perennial.demo.environment import REPOSITORY


def test_pins_hold_on_any_machine() -> None:
    frozen = """
torch==2.13.0+cpu
nvidia-cublas-cu12==12.8.4
triton==3.4.0
cuda-bindings==13.0
apache-airflow==3.3.2
-e git+https://example.org/x#egg=x
pip==25.0
PyYAML==6.0.2
"""
    assert install.pins(frozen) == ["apache-airflow==3.3.2", "PyYAML==6.0.2", "torch==2.13.0"]


def test_a_bare_python_can_run_it() -> None:
    file = REPOSITORY / "include/perennial/demo/install.py"
    command = [sys.executable, "-I", "-S", str(file), "nonsense"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("usage:")


def test_make_alone_lists_every_target() -> None:
    done = subprocess.run(["make", "-s"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    listed = [line.split()[1] for line in done.stdout.splitlines()]
    assert listed == [
        *("run", "stop", "check-sources", "evaluate-recommender", "test", "check"),
        *("bench", "acceptance", "lock", "clean"),
    ]


def test_ci_runs_the_test_command() -> None:
    lines = Path(REPOSITORY / ".ci/run").read_text().splitlines()
    assert lines[-1] == "make test"
