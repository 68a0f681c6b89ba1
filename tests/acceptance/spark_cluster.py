"""A standalone Spark cluster of two workers on loopback, of PySpark's own jars."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.acceptance.arena import free_ports, until

WORKERS = 2
_HOST = "127.0.0.1"
_SECONDS = 90


@dataclass(frozen=True)
class Cluster:
    """A master and its workers.

    Args:
        url: what Spark's `--master` takes.
        page: where the master tells of itself.
        folder: each worker has a folder here, and in it one for each executor that it ran.
    """

    url: str
    page: str
    folder: Path

    def alive(self) -> int:
        """Workers that the master counts on."""
        try:
            answer = requests.get(f"{self.page}/json/", timeout=10)
        except requests.ConnectionError:
            return 0
        return sum(worker["state"] == "ALIVE" for worker in answer.json()["workers"])

    def worked(self, application: str) -> int:
        """Workers that ran an executor of the application."""
        return len({path.parent for path in self.folder.glob(f"worker-*/{application}")})


@contextmanager
def cluster(folder: Path, memory: str) -> Iterator[Cluster]:
    """The cluster, for as long as the block runs; its logs lie in the folder.

    Args:
        folder: for what the workers write.
        memory: of each worker, as Spark writes it; each has one core.

    Raises:
        RuntimeError: it did not start.
    """
    port, page = free_ports()
    made = Cluster(f"spark://{_HOST}:{port}", f"http://{_HOST}:{page}", folder)
    master = ["master.Master", "--port", str(port), "--webui-port", str(page)]
    worker = ["worker.Worker", "--cores", "1", "--memory", memory, "--webui-port", "0"]
    with ExitStack() as running:
        running.enter_context(_daemon(folder / "master", *master))
        for number in range(WORKERS):
            place = folder / f"worker-{number}"
            running.enter_context(_daemon(place, *worker, "--work-dir", str(place), made.url))
        if not until(lambda: made.alive() == WORKERS, _SECONDS):
            logs = "".join(path.read_text()[-1000:] for path in folder.glob("*/log"))
            raise RuntimeError(f"{made.alive()} of {WORKERS} workers after {_SECONDS} s: {logs}")
        yield made


@contextmanager
def _daemon(folder: Path, name: str, *arguments: str) -> Iterator[None]:
    """One of Spark's daemons, in a process of its own that is ended with the block."""
    import pyspark

    home = Path(pyspark.__file__).parent
    command = [str(home / "bin" / "spark-class"), f"org.apache.spark.deploy.{name}", "--host", _HOST]
    # Spark would take a fixed port for submissions by REST, which nobody makes here.
    options = "-Dspark.master.rest.enabled=false"
    places = {"SPARK_HOME": str(home), "SPARK_LOCAL_IP": _HOST, "SPARK_DAEMON_JAVA_OPTS": options}
    folder.mkdir(parents=True)
    with (folder / "log").open("w") as log:
        # The script becomes the JVM, so this is the process to end.
        process = subprocess.Popen([*command, *arguments], env=os.environ | places, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
