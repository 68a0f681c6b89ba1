"""Profiles by DuckDB, by Spark in one process, and by Spark on a cluster of two workers: the same rows.

Spark needs what requirements-spark.txt says and a JVM, 17 or later: `pip install -r requirements-spark.txt`.
`python -m tests.acceptance.profiles_engines DAY …` builds profiles in a process of its own, by the settings.
"""

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from perennial.foundation.lake import Lake
from perennial.foundation.settings import EngineName, settings
from tests.acceptance import year
from tests.acceptance.lines import Line, at_least, at_most, none_of
from tests.acceptance.spark_cluster import WORKERS, cluster
from tests.spark import INSTALLED

DAYS = (date(2017, 2, 28), date(2017, 12, 31))
TOLERANCE = 1e-9
"""Relative, of floating numbers: engines differ in the last digit of a logarithm, and all else is exact."""
ROWS, TASKS = 2400, 100
"""The least rows that are compared, and tasks that each executor of the cluster does."""
_MEMORY = "2g"
_SPARK = (
    "spark.ui.enabled=false",
    "spark.ui.showConsoleProgress=false",
    "spark.log.level=ERROR",
    "spark.driver.host=127.0.0.1",
    f"spark.driver.memory={_MEMORY}",
    f"spark.executor.memory={_MEMORY}",
    "spark.sql.shuffle.partitions=4",
)


@dataclass(frozen=True)
class Run:
    """What a process that built profiles tells.

    Args:
        seconds: that each day took.
        application: Spark's id of it; null on DuckDB.
        tasks: done by each of Spark's executors, by its id; none where there is but the driver.
    """

    seconds: list[float]
    application: str | None
    tasks: dict[str, int]


@dataclass(frozen=True)
class Comparison:
    """Two lakes' profiles of one day.

    Args:
        rows: customers of whom at least one of the lakes has a profile.
        wrong: a sentence for each of them whose profiles differ.
        furthest: column → largest relative difference of its numbers, where there is any.
    """

    rows: int
    wrong: list[str]
    furthest: dict[str, float]


def engines() -> Iterator[Line]:
    """The profiles of an early and of the last day of the demo, computed in three ways."""
    if not INSTALLED:
        yield Line("profiles.engines_rows", "0", "pip_install_-r_requirements-spark.txt_and_a_JVM", False)
        return
    # Here, for it loads the encoder, which the processes that build need not.
    from tests.acceptance.profiles_engines_inputs import complete

    with tempfile.TemporaryDirectory(prefix="perennial-engines-") as name, year.shop() as lake:
        folder = Path(name)
        complete(lake, DAYS[-1])
        local, spread = (_copy(lake, folder / way) for way in ("local", "cluster"))
        _run(lake, folder, {"PERENNIAL_ENGINE": EngineName.DUCKDB})
        _run(local, folder, _spark("local[2]"))
        yield from _compared("local", lake, local)
        with cluster(folder / "nodes", _MEMORY) as made:
            yield at_least("profiles.engines_workers", made.alive(), WORKERS, "")
            run = _run(spread, folder, _spark(made.url))
            print(f"  tasks done by each executor: {run.tasks}")
            yield at_least(
                "profiles.engines_workers_that_ran_it", made.worked(str(run.application)), WORKERS, ""
            )
            busy = [number for number in run.tasks.values() if number >= TASKS]
            yield at_least(f"profiles.engines_executors_with_{TASKS}_tasks", len(busy), WORKERS, "")
        yield from _compared("cluster", lake, spread)


def _compared(way: str, expected: Lake, found: Lake) -> Iterator[Line]:
    """The figures of one way against DuckDB's."""
    days = [compare(expected, found, day) for day in DAYS]
    names = {name for one in days for name in one.furthest}
    furthest = {name: max(one.furthest.get(name, 0.0) for one in days) for name in sorted(names)}
    print("  not the same to the last digit: " + ", ".join(f"{k} {v:.1e}" for k, v in furthest.items()))
    rows = sum(one.rows for one in days)
    wrong = [sentence.replace(" ", "_") for one in days for sentence in one.wrong]
    yield Line(f"profiles.engines_rows_{way}", str(rows), f">={ROWS}", rows >= ROWS)
    yield none_of(f"profiles.engines_rows_that_differ_{way}", "rows", wrong)
    yield at_most(
        f"profiles.engines_largest_difference_{way}", max(furthest.values(), default=0), TOLERANCE, ""
    )


def compare(expected: Lake, found: Lake, day: date) -> Comparison:
    """The profiles of a day in two lakes, customer by customer and column by column."""
    ours, theirs = _profiles(expected, day), _profiles(found, day)
    wrong: list[str] = []
    furthest: dict[str, float] = {}
    for customer in sorted(ours.keys() | theirs.keys()):
        if customer not in ours or customer not in theirs:
            wrong.append(f"{day} {customer}: has but one profile")
            continue
        a, b = ours[customer], theirs[customer]
        apart = {name: _apart(a[name], b[name]) for name in a if a[name] != b[name]}
        furthest |= {name: max(furthest.get(name, 0.0), value) for name, value in apart.items()}
        beyond = [name for name, value in apart.items() if not value <= TOLERANCE]
        wrong += [f"{day} {customer}: {name} is {a[name]!s:.80} and {b[name]!s:.80}" for name in beyond[:1]]
    return Comparison(len(ours.keys() | theirs.keys()), wrong, furthest)


def _profiles(lake: Lake, day: date) -> dict[str, dict[str, Any]]:
    rows = lake.read("profiles").filter(lambda profiles: profiles.day == day).to_pyarrow().to_pylist()
    return {row["customer_id"]: row for row in rows}


def _apart(a: object, b: object) -> float:
    """The largest relative difference of the floating numbers; infinite where anything else differs."""
    if a == b:
        return 0.0
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) / max(abs(a), abs(b))
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return max(_apart(a[name], b[name]) for name in a)
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return max(_apart(x, y) for x, y in zip(a, b, strict=True))
    return math.inf


def _copy(lake: Lake, place: Path) -> Lake:
    shutil.copytree(lake.uri, place)
    return Lake(str(place), tables=lake.tables)


def _spark(master: str) -> dict[str, str]:
    """What makes a process compute with Spark, by this master."""
    options = [f"--master {master}", *(f"--conf {option}" for option in _SPARK), "pyspark-shell"]
    return {
        "PERENNIAL_ENGINE": EngineName.SPARK,
        "PYSPARK_SUBMIT_ARGS": " ".join(options),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }


def _run(lake: Lake, folder: Path, engine: dict[str, str]) -> Run:
    """Build the profiles of all days in a process of its own, and say how long it took.

    Raises:
        RuntimeError: it failed; with what it said.
    """
    places = {"PERENNIAL_LAKE": lake.uri, "PERENNIAL_STAGING": str(folder / "staging")}
    command = [sys.executable, "-m", "tests.acceptance.profiles_engines", *map(str, DAYS)]
    done = subprocess.run(
        command, env=os.environ | places | engine, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{engine}: ended with {done.returncode}: {done.stderr[-3000:]}")
    run = Run(**json.loads(done.stdout.splitlines()[-1]))
    spent = ", ".join(f"{day} in {took:.1f} s" for day, took in zip(DAYS, run.seconds, strict=True))
    print(f"  {engine['PERENNIAL_ENGINE']} {run.application or ''}: {spent}", flush=True)
    return run


def main(*days: str) -> None:
    """Build the profiles of the days; the last line printed is the `Run` as JSON."""
    from perennial.profiles import pipeline

    seconds = []
    for day in days:
        began = time.monotonic()
        pipeline.build(day)
        seconds.append(time.monotonic() - began)
    of_spark = settings().engine is EngineName.SPARK
    print(json.dumps(asdict(Run(seconds, *(_executed() if of_spark else (None, {}))))))


def _executed() -> tuple[str, dict[str, int]]:
    """The application's id, and how many tasks each executor did."""
    from pyspark.sql import SparkSession

    context = SparkSession.builder.getOrCreate().sparkContext
    listed = context._jsc.sc().statusStore().executorList(False)
    executors = [listed.apply(number) for number in range(listed.size())]
    return context.applicationId, {
        one.id(): one.completedTasks() for one in executors if one.id() != "driver"
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
