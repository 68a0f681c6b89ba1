"""Ingestion killed between every two side effects, and anywhere: the next run makes the same content.

Everything heavy is imported once, by a process that reads no table; each run is a fork of it, in a folder
of its own. `python -m tests.acceptance.ingest_kills ingest` does the kills of one of the two calls.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

from tests.acceptance.forks import FOLDERS, copied, forked, killed, watch
from tests.acceptance.lines import Line, at_least, none_of
from tests.ingestion.drops import contact, drop, drop_all, item, purchase, user

DAYS = ("2024-05-02", "2024-05-03")
AFTER = "the end"
TIMES = {"ingest": (3, 1), "load_history": (3, 0)}
"""Call → how often it is killed at each point, and how many of these in a shop that has nothing yet."""
EFFECTS = 11
"""At least: quarantine, validations, seven tables, Data Docs, closing."""
RANDOM_KILLS = 10
SEED = 3


@dataclass(frozen=True)
class Kill:
    """One run that was killed, and how what the next run made differs from what no kill disturbed."""

    call: str
    start: str
    point: str
    differences: list[str]


def kills() -> Iterator[Line]:
    """SIGKILL before every side effect of `ingest` and `load_history`, and at random moments; then again."""
    found = [Kill(**json.loads(line)) for line in _both()]
    named = [kill for kill in found if not kill.point.startswith("after ")]
    points = {call: Counter(kill.point for kill in named if kill.call == call) for call in TIMES}
    print(f"  killed before {', '.join(points['ingest'])}")
    for call, (times, _) in TIMES.items():
        yield at_least(f"ingest.kill_points_of_{call}", len(points[call]), EFFECTS, "")
        yield at_least(f"ingest.kills_a_point_of_{call}", min(points[call].values()), times, "")
    yield at_least("ingest.random_kills", len(found) - len(named), 2 * RANDOM_KILLS, "")
    wrong = [
        f"{k.call}_{k.start}_{k.point}:_{text}".replace(" ", "_") for k in found for text in k.differences
    ]
    for line in wrong:
        print(f"  {line}")
    yield none_of("ingest.kill_differences", "differences", wrong)


def _both() -> Iterator[str]:
    """What the two calls' processes print, at the same time."""
    code = [sys.executable, "-m", "tests.acceptance.ingest_kills"]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with ExitStack() as running:
        processes = [
            running.enter_context(
                subprocess.Popen([*code, call], stdout=subprocess.PIPE, env=one_thread, text=True)
            )
            for call in TIMES
        ]
        for process in processes:
            assert process.stdout is not None
            yield from process.stdout
            if process.wait():
                raise RuntimeError(f"{process.args} ended with {process.returncode}")


def main(call: str) -> None:
    """Kill the runs of one call; a line of JSON for each."""
    _warm()
    rng = random.Random(f"{SEED} {call}")
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        root = Path(folder)
        starts = _starts(root, call)
        undisturbed = copied(starts["a re-sent file"], root / "undisturbed")
        began = time.monotonic()
        effects = forked(lambda: _recorded(call), undisturbed)
        seconds = time.monotonic() - began
        points = [*effects, AFTER]
        times, anew = TIMES[call]
        planned = [
            ("empty" if n < anew else "a re-sent file", point) for point in points for n in range(times)
        ]
        for start, point in planned:
            dying = partial(_dying, call, point)
            # A shop that has nothing yet has fewer effects: there is nothing of a table to take away.
            if not _one(call, starts[start], start, point, undisturbed, dying):
                _one(call, starts["a re-sent file"], "a re-sent file", point, undisturbed, dying)
        done = 0
        while done < RANDOM_KILLS:
            start, moment = rng.choice(sorted(starts)), rng.uniform(0.02, 0.98) * seconds
            done += _one(
                call, starts[start], start, f"after {moment:.2f} s", undisturbed, lambda: _run(call), moment
            )


def _one(
    call: str,
    start: Path,
    named: str,
    point: str,
    undisturbed: Path,
    run: Callable[[], object],
    moment: float = 600,
) -> bool:
    """One kill and one run after it; whether the kill came before the run was done."""
    shop = copied(start, start.parent / "shop")
    status = killed(run, shop, moment)
    if status != signal.SIGKILL:
        return False
    try:
        different = forked(lambda: _again(call, undisturbed), shop)
    except RuntimeError as error:
        different = [str(error)]
    print(json.dumps(asdict(Kill(call, named, point, different))), flush=True)
    shutil.rmtree(shop)
    return True


def _warm() -> None:
    """Import what a run imports, and use of it only what needs no threads: those would not be forked."""
    import deltalake  # noqa: F401
    import duckdb  # noqa: F401
    import great_expectations  # noqa: F401

    from perennial.foundation import contracts
    from perennial.ingestion import data_docs, pipeline, reconciliation, row_checks, validation  # noqa: F401

    for table in contracts.LANDED_TABLES:
        contract = contracts.CONTRACTS[table]
        validation.judge_rows(
            row_checks.decoded([0], row_checks.pattern_digits(contract, ())).assign(rows=1), contract
        )


def _starts(root: Path, call: str) -> dict[str, Path]:
    """A shop where nothing was ever taken in; and one where other versions of the days were."""
    empty, known = root / "empty", root / "known"
    for name in FOLDERS:
        (empty / name).mkdir(parents=True)
    for n, day in enumerate(DAYS):
        when = datetime(2024, 5, 2 + n, 9, tzinfo=UTC)
        events = [purchase(f"{day} {i}", occurred_at=when) for i in range(3)]
        drop_all(
            empty, day, events=[*events, purchase("gone", occurred_at=when), purchase("bad", quantity=0)]
        )
    copied(empty, known)
    forked(lambda: _run(call), known)
    for shop in (empty, known):
        for n, day in enumerate(DAYS):
            when = datetime(2024, 5, 2 + n, 9, tzinfo=UTC)
            better = [purchase(f"{day} {i}", occurred_at=when, revenue=30.0) for i in range(3)]
            worse = [purchase("bad", occurred_at=when), purchase("worse", customer_id="c9"), purchase(None)]
            drop(shop, "events", [*better, *worse], day)
            drop(shop, "users", [user(), user("c2"), user("c3", time_zone="Mars/Olympus")], day)
            drop(shop, "items", [item(price=21.0), item("i2", price=-1.0)], day)
            drop(shop, "contacts", [contact(email="new@example.com"), contact("c2", email="none")], day)
            (shop / "landing" / "assignments" / day / "rows.parquet").unlink()
    return {"empty": empty, "a re-sent file": known}


def _run(call: str) -> None:
    from perennial.ingestion import pipeline

    getattr(pipeline, call)(*(DAYS if call == "load_history" else DAYS[:1]))


def _watched(call: str, before: Callable[[str], None]) -> None:
    """Run with `before` told of every side effect."""
    from perennial.foundation.lake import Lake
    from perennial.foundation.ledger import Ledger
    from perennial.ingestion import data_docs

    watch(Lake, "replace", before, lambda _, table, *rest: table)
    watch(Ledger, "close", before, lambda *rest: "close")
    watch(data_docs, "write_quarantine_page", before, lambda *rest: "data_docs of quarantine")
    watch(data_docs, "write_pages", before, lambda *rest: "data_docs")
    watch(data_docs, "build_index", before, lambda *rest: "data_docs index")
    _run(call)
    before(AFTER)


def _recorded(call: str) -> list[str]:
    seen: list[str] = []
    _watched(call, seen.append)
    return seen[:-1]


def _dying(call: str, point: str) -> None:
    def die(effect: str) -> None:
        if effect == point:
            os.kill(os.getpid(), signal.SIGKILL)

    _watched(call, die)


def _again(call: str, undisturbed: Path) -> list[str]:
    """Run once more; in what lake, vault, closed days, account, reports and staging are wrong by then."""
    from perennial.foundation.lake import Lake, open_lake, open_vault
    from perennial.foundation.ledger import open_ledger
    from perennial.ingestion.reconciliation import reconcile
    from perennial.ingestion.screening import Storage
    from tests.content import differences

    _run(call)
    found = []
    for name, lake in (("lake", open_lake()), ("vault", open_vault())):
        found += differences(lake, Lake(str(undisturbed / name), tables=lake.tables))
    days = [date.fromisoformat(day) for day in (DAYS if call == "load_history" else DAYS[:1])]
    if open_ledger().closed_days() != set(days):
        found.append(f"closed: {sorted(open_ledger().closed_days())}")
    entries = reconcile(Storage.from_settings(), days[0], days[-1])
    found += [f"out of balance: {entry}" for entry in entries if not entry.balanced]
    found += [] if entries else ["no account"]
    found += [f"staging: {path.name}" for path in Path("staging").iterdir() if path.name != "spill"]
    reports = [
        {str(path.relative_to(at)) for path in at.rglob("*")}
        for at in (Path("reports"), undisturbed / "reports")
    ]
    return found + [f"reports: {name}" for name in sorted(reports[0] ^ reports[1])]


if __name__ == "__main__":
    main(sys.argv[1])
