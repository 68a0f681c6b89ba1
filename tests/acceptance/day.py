"""The proofs of issue 2: the whole day runs, on real data, from a fresh clone."""

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from itertools import pairwise
from pathlib import Path

from deltalake import DeltaTable

from perennial.demo import drive_days, servers
from perennial.demo.environment import REPOSITORY, State
from perennial.foundation import ledger, settings
from perennial.foundation.lake import Lake
from perennial.ingestion.reconciliation import reconcile
from perennial.ingestion.screening import Storage
from tests.acceptance import pictures
from tests.acceptance.arena import Arena, arena, daily_steps, free_ports, reference
from tests.acceptance.day_clear import clear
from tests.acceptance.lines import Line, at_most, none_of
from tests.architecture import test_import_cost
from tests.content import ONCE_ONLY, RE_MAKEABLE, differences

HISTORY, DEC_1, DEC_2, DEC_3 = (
    drive_days.HISTORY_LAST,
    date(2017, 12, 1),
    date(2017, 12, 2),
    date(2017, 12, 3),
)
KILL_AT = (
    ("load_history", str(HISTORY), "publish"),
    ("embed_items", str(HISTORY), "encode"),
    ("train_models", str(HISTORY), "promote"),
    ("build_profiles", str(DEC_1), "build"),
    ("score_customers", str(DEC_2), "recommend"),
)


def fresh_clone() -> Iterator[Line]:
    """A clone into an empty folder, `make run`, `make run` again, `make test`, `make check`."""
    with tempfile.TemporaryDirectory(prefix="perennial-clone-") as folder:
        clone = Path(folder) / "perennial"
        subprocess.run(["git", "clone", "-q", str(REPOSITORY), str(clone)], check=True)
        made = Arena(State(clone / ".perennial", *free_ports()))
        environment = made.environment
        environment.pop("PYTHONPATH")
        try:
            yield from _make_in(clone, environment, made)
        finally:
            _make(clone, environment, "stop")


def _make_in(clone: Path, environment: dict[str, str], made: Arena) -> Iterator[Line]:
    installing, _ = _make(clone, environment, "venv")
    yield Line("day.install", f"{installing:.0f}s", "none", True)
    seconds, said = _make(clone, environment, "run")
    print(said)
    yield at_most("day.make_run", seconds, 480, "s")
    before = _contents(made.lake)
    again, _ = _make(clone, environment, "run")
    yield at_most("day.make_run_again", again, 120, "s")
    yield none_of("day.make_run_again_same", "tables_changed", _changed(before, _contents(made.lake)))
    _make(clone, environment, "stop")
    testing, said = _make(clone, os.environ, "test")
    print(said[-600:])
    yield at_most("day.make_test", testing, 600, "s")
    checking, said = _make(clone, os.environ, "check")
    yield Line("day.make_check", f"clean_in_{checking:.0f}s", "clean", True)


def accounted() -> Iterator[Line]:
    """For each table and day: rows landed = rows published + rows quarantined."""
    made = reference()
    with _settings_of(made):
        entries = reconcile(Storage.from_settings(), drive_days.HISTORY_FIRST, drive_days.DAYS_LAST)
    for table in sorted({entry.table for entry in entries}):
        found = [entry for entry in entries if entry.table == table]
        landed, published = sum(each.landed for each in found), sum(each.published for each in found)
        refused = sum(each.quarantined for each in found)
        print(f"  {table}: {landed} rows landed = {published} published + {refused} quarantined")
    wrong = [f"{entry.table} {entry.day}" for entry in entries if not entry.balanced]
    yield Line("day.account_tables_and_days", str(len(entries)), ">=900", len(entries) >= 900)
    yield none_of("day.account", "that_do_not_add_up", wrong)


def nothing_pending() -> Iterator[Line]:
    """After the run no partition key is pending and no DAG run is left waiting."""
    made = reference()
    keys = made.ask_airflow(
        "SELECT target_dag_id, partition_key FROM asset_partition_dag_run WHERE created_dag_run_id IS NULL"
    )
    started = made.ask_airflow("SELECT count(*) FROM asset_partition_dag_run")[0][0]
    runs = made.ask_airflow(
        "SELECT dag_id, run_id, state FROM dag_run WHERE state NOT IN ('success', 'failed')"
    )
    yield Line("day.partitions_started", str(started), ">=24", started >= 24)
    yield none_of("day.pending", "pending_keys", [str(key) for key in keys])
    yield none_of("day.waiting", "waiting_runs", [str(run) for run in runs])


def backfill_again() -> Iterator[Line]:
    """Backfilling 12-02 again leaves re-makeable content equal and once-only tables untouched to the byte."""
    made = reference()
    before, bytes_before = _copy(made.lake), _bytes(made.lake)
    api = made.api()
    runs_before = len(api.runs())
    api.backfill(drive_days.DAILY_DAG, DEC_2, DEC_2, 1, again=True)
    _await_more_runs(made, runs_before)
    made.settle(daily_steps(DEC_2))
    written = [name for name in RE_MAKEABLE if made.lake.version(name) != before.version(name)]
    yield Line("day.again_wrote", f"{len(written)}_tables", ">=5_tables", len(written) >= 5)
    yield none_of("day.again_equal", "differences", differences(before, made.lake, RE_MAKEABLE))
    yield none_of("day.again_once_only", "files_changed", _changed(bytes_before, _bytes(made.lake)))


def past_stays() -> Iterator[Line]:
    """Profiles and scores of 12-01 made again after 12-03 are what they were, by the model of that day."""
    from perennial.foundation.endpoint import Endpoint
    from perennial.models import pipeline as models
    from perennial.profiles import pipeline as profiles
    from perennial.recommend import pipeline

    made = reference()
    copied = _copy(made.lake)
    endpoint = Endpoint(made.state.mlflow_url, "admin", made.state.secrets["MLFLOW_PASSWORD"])
    with _settings_of(made, lake=copied.uri):
        profiles.build(str(DEC_1))
        models.score(str(DEC_1), endpoint)
        pipeline.recommend(str(DEC_1), endpoint)
    yield none_of("day.past_profiles", "differences", differences(made.lake, copied, ["profiles"]))
    yield none_of(
        "day.past_scores", "differences", differences(made.lake, copied, ["scores", "recommendations"])
    )
    ours, theirs = _versions_used(made.lake, DEC_1), _versions_used(copied, DEC_1)
    newest = _versions_used(made.lake, DEC_3)
    yield Line("day.past_models", f"{theirs}", f"{ours}_not_{newest}", ours == theirs != newest)


def kills() -> Iterator[Line]:
    """SIGKILL for everything at five moments of the run, then run again: content as of an undisturbed run."""
    expected = reference()
    for dag, day, task in KILL_AT:
        with arena() as made:
            driver = made.launch()
            caught = made.await_task(dag, day, task)
            made.kill(driver)
            seconds = made.run()
            found = differences(expected.lake, made.lake)
            name = f"day.kill_at_{dag}.{task}_{day}"
            yield Line(f"{name}_caught", str(caught).lower(), "true", caught)
            print(f"  finished by a run of {seconds:.0f} s")
            yield none_of(name, "differences", found)


def reversed_order() -> Iterator[Line]:
    """12-02 and 12-03 backfilled the other way round, both at once: equal content, once-only in order."""
    expected = reference()
    with arena() as made:
        os.environ.update(made.environment)
        servers.start(made.state, lambda _: None)
        api = made.api()
        drive_days.await_dags(api, REPOSITORY / "dags")
        stretch = {"first_day": str(drive_days.HISTORY_FIRST), "last_day": str(HISTORY)}
        api.trigger(drive_days.HISTORY_DAG, drive_days.HISTORY_RUN, stretch)
        made.settle(daily_steps(HISTORY, first=True))
        api.backfill(drive_days.DAILY_DAG, DEC_1, DEC_1, 1)
        made.settle(daily_steps(DEC_1))
        while api.backfill_is_active(drive_days.DAILY_DAG):
            time.sleep(1)
        api.backfill(drive_days.DAILY_DAG, DEC_2, DEC_3, 2, backwards=True)
        made.settle(daily_steps(DEC_2, DEC_3))
        order = made.ask_airflow(
            "SELECT partition_key FROM dag_run "
            "WHERE dag_id = 'ingest' AND backfill_id IS NOT NULL ORDER BY id"
        )
        yield Line("day.reversed_started", order[1][0], str(DEC_3), order[1][0] == str(DEC_3))
        yield none_of("day.reversed_equal", "differences", differences(expected.lake, made.lake))
        yield none_of("day.reversed_once_only", "steps_out_of_order", _out_of_order(made))


def screenshots() -> Iterator[Line]:
    """Pictures of the pages that people see, kept in a folder of their own to be looked at.

    They need Chromium with chromedriver, and selenium: `pip install -r requirements-bench.txt`.
    """
    folder = Path(tempfile.mkdtemp(prefix="perennial-pictures-"))
    for path in pictures.take(reference(), folder):
        name = f"day.screenshot_{path.stem.replace('-', '_')}"
        yield Line(name, str(path), "a_picture_to_look_at", path.stat().st_size > 20_000)


def dag_files() -> Iterator[Line]:
    """No DAG file over 100 lines; each imported in under 0.5 s beyond Airflow, and nothing heavy with it."""
    longest = max(len(path.read_text().splitlines()) for path in (REPOSITORY / "dags").glob("*.py"))
    with tempfile.TemporaryDirectory() as home:
        seconds, modules = test_import_cost.measure(Path(home))
    yield Line("day.dag_lines", str(longest), "<=100", longest <= 100)
    yield at_most("day.dag_import", max(seconds.values()), 0.5, "s")
    yield none_of("day.dag_imports", "heavy_modules", test_import_cost.heavy(modules))


def _out_of_order(made: Arena) -> list[str]:
    """Once-only tasks that began before the same task of an earlier day had ended."""
    found = []
    for dag, task in (("train_models", "promote"), ("decide_contacts", "decide")):
        rows = made.ask_airflow(
            "SELECT r.partition_key, ti.start_date, ti.end_date FROM task_instance ti "
            "JOIN dag_run r ON r.dag_id = ti.dag_id AND r.run_id = ti.run_id "
            f"WHERE ti.dag_id = '{dag}' AND ti.task_id = '{task}' ORDER BY r.partition_key"
        )
        found += [f"{dag} {later[0]}" for earlier, later in pairwise(rows) if later[1] < earlier[2]]
    return found


def _make(clone: Path, environment: Mapping[str, str], target: str) -> tuple[float, str]:
    began = time.monotonic()
    done = subprocess.run(
        ["make", target], cwd=clone, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(
            f"make {target} ended with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-2000:]}"
        )
    return time.monotonic() - began, done.stdout


def _await_more_runs(made: Arena, before: int) -> None:
    api, deadline = made.api(), time.monotonic() + 120
    while all(run.state.over for run in api.runs()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the backfill began nothing; there are {before} runs")
        time.sleep(0.5)


def _copy(lake: Lake) -> Lake:
    folder = tempfile.mkdtemp(prefix="perennial-lake-")
    return Lake(shutil.copytree(lake.uri, folder, dirs_exist_ok=True))


def _bytes(lake: Lake) -> dict[str, str]:
    """Digest of each data file and of the log of the once-only tables."""
    paths = [path for name in ONCE_ONLY for path in sorted(Path(lake.uri, name).rglob("*")) if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _contents(lake: Lake) -> dict[str, str]:
    """The files of each table's present version: a run that wrote nothing leaves them."""
    tables = sorted(path.name for path in Path(lake.uri).iterdir())
    return {name: ",".join(sorted(DeltaTable(f"{lake.uri}/{name}").file_uris())) for name in tables}


def _changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def _versions_used(lake: Lake, day: date) -> str:
    found = []
    for table in ("scores", "recommendations"):
        rows = lake.read(table)
        versions = rows.filter(rows.day == day).model_version.to_pyarrow().to_pylist()
        found += [f"{table}:{version}" for version in sorted(set(versions))]
    return ",".join(found)


class _settings_of:  # noqa: N801 - reads as a phrase in `with`
    """The settings of a shop in this process, for as long as the block runs."""

    def __init__(self, made: Arena, lake: str | None = None) -> None:
        self._wanted = {
            "PERENNIAL_LAKE": lake or made.lake.uri,
            "PERENNIAL_VAULT": str(made.state.root / "vault"),
            "PERENNIAL_LANDING": str(made.state.landing),
            "PERENNIAL_LEDGER": made.ledger_url,
        }

    def __enter__(self) -> None:
        self._before = {name: os.environ.get(name) for name in self._wanted}
        os.environ.update(self._wanted)
        self._forget()

    def __exit__(self, *_: object) -> None:
        for name, value in self._before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
        self._forget()

    def _forget(self) -> None:
        settings.settings.cache_clear()
        ledger.open_ledger.cache_clear()


CASES: dict[str, Callable[[], Iterator[Line]]] = {
    "fresh_clone": fresh_clone,
    "dag_files": dag_files,
    "accounted": accounted,
    "nothing_pending": nothing_pending,
    "past_stays": past_stays,
    "backfill_again": backfill_again,
    "clear": clear,
    "kills": kills,
    "reversed_order": reversed_order,
    "screenshots": screenshots,
}
