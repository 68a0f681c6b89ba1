"""A shop that another commit's `make run` made, gone on with by this code: the same state folder, a day more.

`STATE` names a state folder that the commit made; without it the commit is cloned and run once, and what it
made is kept in the machine's temporary folder. Its files name the place where it was made, so a copy is put
there for the proof. What lies there meanwhile is set aside and put back.
"""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from perennial.demo import complete_journey, drive_days, servers
from perennial.demo.environment import REPOSITORY, State
from perennial.demo.errors import TroubleError
from perennial.foundation.modelling.model_log import KEPT, PROMOTED, Record, records
from tests.acceptance import house_base
from tests.acceptance.arena import Arena, daily_steps, free_ports
from tests.acceptance.house_steps import MODELS
from tests.acceptance.lines import Line

FURTHER_DAY = date(2017, 12, 4)
_BACKFILL_SECONDS = 120
_MADE_AT = re.compile(r"^database_uri = sqlite:///(.+)/mlflow/auth\.db$", re.MULTILINE)
_JUDGED = "extra_loss"
"""A figure that only a candidate has whose losses were held against a champion's."""


def goes_on() -> Iterator[Line]:
    """A state folder that another commit made goes on under this code."""
    made = os.environ.get("STATE")
    with restored(Path(made).resolve() if made else _made_once(house_base.commit())) as place:
        shop = Arena(State(place, *free_ports()))
        before = {model: champion(records(shop.lake, model)) for model in MODELS}
        try:
            ran = _run(shop)
            yield ran
            if not ran.ok:
                return
            yield _further_day(shop)
            for model in MODELS:
                yield verdict(model, before[model], records(shop.lake, model))
        finally:
            servers.stop(shop.state)


def champion(rows: list[Record]) -> Record | None:
    """The row that is in force."""
    return next((row for row in reversed(rows) if row.in_force), None)


def verdict(model: str, old: Record | None, rows: list[Record]) -> Line:
    """The further day's candidate was judged against the champion of before, or that one gave way."""
    name, wanted = f"house.goes_on_{model}", "promoted_or_kept_beside_the_old_champion"
    row = next((row for row in rows if row.day == FURTHER_DAY and row.decides), None)
    if row is None or old is None:
        return Line(name, "no_row" if row is None else "no_old_champion", wanted, False)
    print(f"  {model}: version {old.version} of {old.day} was in force")
    print(f"  {model}: version {row.version} of {row.day} is {row.verdict}: {row.reason}")
    judged = _JUDGED in json.loads(row.figures)
    gave_way = not judged and f"version {old.version} " in row.reason
    how = "judged_against_it" if judged else "the_old_one_gave_way" if gave_way else "not_judged"
    decided = row.verdict in (PROMOTED, KEPT)
    return Line(name, f"{row.verdict}_{how}", wanted, decided and (judged or gave_way))


def made_at(state: Path) -> Path:
    """Where a state folder was made, by its own files.

    Raises:
        RuntimeError: the folder is no state folder.
    """
    file = state / "mlflow" / "auth.ini"
    place = _MADE_AT.search(file.read_text()) if file.exists() else None
    if place is None:
        raise RuntimeError(f"STATE: {file} does not say where the state was made; a finished `make run` does")
    return Path(place[1])


@contextmanager
def restored(state: Path) -> Iterator[Path]:
    """A copy of a state folder, at the place where it was made, for as long as the block runs."""
    place = made_at(state)
    aside = place.with_name(f"{place.name}.aside")
    if aside.exists():
        raise RuntimeError(
            f"{aside} is left from a proof that was killed: put it back to {place}, or remove it"
        )
    if any(
        server.leader.alive()
        for folder in (state, place)
        for server in servers.recorded(State(folder)).values()
    ):
        raise RuntimeError(f"servers of {place} are running; stop them first")
    if place.exists():
        place.rename(aside)
    try:
        shutil.copytree(aside if state == place else state, place, symlinks=True)
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        if aside.exists():
            aside.rename(place)


def _run(shop: Arena) -> Line:
    """What `make run` does after the install."""
    began = time.monotonic()
    status = shop.launch().wait()
    print(f"  run: {time.monotonic() - began:.0f} s")
    if status:
        print(shop.said()[-3000:])
    return Line("house.goes_on_run", f"status_{status}", "status_0", status == 0)


def _further_day(shop: Arena) -> Line:
    """A day more: landed, ingested by a backfill, and everything that follows from it."""
    steps, began, trouble = daily_steps(FURTHER_DAY), time.monotonic(), ""
    complete_journey.land(shop.state.landing, FURTHER_DAY, FURTHER_DAY)
    api = shop.api()
    try:
        _await_no_backfill(shop)
        api.backfill(drive_days.DAILY_DAG, FURTHER_DAY, FURTHER_DAY, 1)
        shop.settle(steps)
    except (RuntimeError, TimeoutError, TroubleError) as error:
        trouble = str(error)
        print(f"  {trouble}")
    runs = [run for run in api.runs() if run.key == str(FURTHER_DAY)]
    done = {run.dag for run in runs if run.state.value == "success"}
    print(f"  {FURTHER_DAY}: {time.monotonic() - began:.0f} s; succeeded: {', '.join(sorted(done))}")
    short = [dag for dag, _ in steps if dag not in done]
    figure = f"{len(steps) - len(short)}_of_{len(steps)}" + (f"(not_{short[0]})" if short else "")
    return Line("house.goes_on_dags", figure, f"{len(steps)}_of_{len(steps)}", not short and not trouble)


def _await_no_backfill(shop: Arena) -> None:
    """Airflow looks every 30 s which backfills are over, and refuses a second one until then."""
    api, deadline = shop.api(), time.monotonic() + _BACKFILL_SECONDS
    while api.backfill_is_active(drive_days.DAILY_DAG):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the backfill of {drive_days.DAILY_DAG} is not over")
        time.sleep(1)


def _made_once(of: str) -> Path:
    """A state folder that the commit's `make run` made, kept beside the place where it was made."""
    pristine, place = house_base.kept(of) / "state-kept", house_base.kept(of) / "state"
    if not pristine.exists():
        shutil.rmtree(place, ignore_errors=True)
        clone, ports = house_base.code(of), free_ports()
        environment = house_base.environment(clone) | {
            "PERENNIAL_STATE": str(place),
            "PERENNIAL_AIRFLOW_PORT": str(ports[0]),
            "PERENNIAL_MLFLOW_PORT": str(ports[1]),
        }
        environment.pop("PYTHONPATH")
        _share_install(clone)
        began = time.monotonic()
        try:
            _make(clone, environment, "run")
        finally:
            _make(clone, environment, "stop")
        print(f"  make run of {of[:12]}: {time.monotonic() - began:.0f} s", flush=True)
        place.rename(pristine)
    return pristine


def _share_install(clone: Path) -> None:
    """Where both pin the same packages, the clone works with what is installed here."""
    pins = ("requirements.txt", "constraints.txt")
    same = all((clone / name).read_bytes() == (REPOSITORY / name).read_bytes() for name in pins)
    if same and (REPOSITORY / ".venv").exists() and not (clone / ".venv").exists():
        (clone / ".venv").symlink_to((REPOSITORY / ".venv").resolve())


def _make(clone: Path, environment: dict[str, str], target: str) -> None:
    made = subprocess.run(
        ["make", target], cwd=clone, env=environment, capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise RuntimeError(f"make {target} in {clone}: {(made.stdout + made.stderr)[-2000:]}")
