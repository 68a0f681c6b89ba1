"""Embedding killed between every two side effects, and anywhere: the next try makes the same content.

A try does what Airflow does: each task once, with what `plan` handed it, and those that succeeded not again.
After a kill the run goes on from there, or it begins anew. Everything heavy is imported once, by a process
that encodes nothing; each try is a fork of it, in a shop of its own.
`python -m tests.acceptance.embed_kills embed_items 3 10` kills one DAG's tasks: 3 times at each point, and at
10 random moments.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from tests.acceptance.forks import FOLDERS, copied, forked, killed, watch
from tests.acceptance.lines import Line, at_least, at_most, none_of

DAY = date(2024, 5, 2)
TEXTS = 240
TOKENS_PER_SHARD = 600
DAGS = ("embed_items", "backfill_embeddings")
TIMES, RANDOM_KILLS = 3, 10
EFFECTS = 14
"""At least: of each of four shards the encoding, the writing and the commit; and a row of the log."""
AFTER, COMMIT = "the end", "commit of "
SEED = 4
ENCODED, HANDED, DONE = "encoded.txt", "handed.json", "done.txt"


@dataclass(frozen=True)
class Kill:
    """One kill, how what came of the shop differs from what no kill disturbed, and the most-encoded text."""

    dag: str
    point: str
    anew: bool
    differences: list[str]
    most: int


def kills() -> Iterator[Line]:
    """SIGKILL before every side effect of the tasks of both DAGs, and at 20 random moments; then again."""
    found = [kill for dag in DAGS for kill in run(dag, TIMES, RANDOM_KILLS)]
    named = [kill for kill in found if not kill.point.startswith("after ")]
    for dag in DAGS:
        points = Counter(kill.point for kill in named if kill.dag == dag)
        print(f"  {dag}: killed before {', '.join(points)}")
        yield at_least(f"embed.kill_points_of_{dag}", len(points), EFFECTS, "")
        yield at_least(f"embed.kills_a_point_of_{dag}", min(points.values()), TIMES, "")
    yield at_least("embed.random_kills", len(found) - len(named), 2 * RANDOM_KILLS, "")
    wrong = [f"{k.dag}_{k.point}:_{text}".replace(" ", "_") for k in found for text in k.differences]
    for line in wrong:
        print(f"  {line}")
    yield none_of("embed.kill_differences", "differences", wrong)
    yield at_most("embed.a_text_was_encoded", max(kill.most for kill in found), 2, "_times")


def run(dag: str, times: int, moments: int) -> Iterator[Kill]:
    """The kills of one DAG, in a process of their own."""
    code = [sys.executable, "-m", "tests.acceptance.embed_kills", dag, str(times), str(moments)]
    with subprocess.Popen(code, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield Kill(**json.loads(line))
    if process.returncode:
        raise RuntimeError(f"{code} ended with {process.returncode}")


def main(dag: str, times: str, moments: str) -> None:
    """Kill the tasks of one DAG; a line of JSON for each."""
    import torch

    torch.set_num_threads(1)
    rng = random.Random(f"{SEED} {dag}")
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        start = _start(Path(folder), dag)
        undisturbed = copied(start, Path(folder) / "undisturbed")
        began = time.monotonic()
        points = forked(partial(_recorded, dag), undisturbed)
        seconds = time.monotonic() - began
        for point in [*points, AFTER] * int(times):
            while not _one(dag, start, point, undisturbed, rng.random() < 0.5, partial(_dying, dag, point)):
                pass
        done = 0
        while done < int(moments):
            moment, anew = rng.uniform(0.02, 0.98) * seconds, rng.random() < 0.5
            point, work, began = f"after {moment:.2f} s", partial(_counted, dag), time.monotonic()
            if _one(dag, start, point, undisturbed, anew, work, moment):
                done += 1
            else:
                seconds = min(seconds, time.monotonic() - began)


def _one(
    dag: str,
    start: Path,
    point: str,
    undisturbed: Path,
    anew: bool,
    work: Callable[[], object],
    moment: float = 600,
) -> bool:
    """One kill and one try after it; whether the kill came where it was meant to."""
    shop = copied(start, start.parent / "shop")
    status = killed(work, shop, moment)
    if status != signal.SIGKILL or (point.startswith(COMMIT) and not _uncommitted(_table(shop, point))):
        return False
    if anew:
        (shop / HANDED).unlink(missing_ok=True)
        (shop / DONE).unlink(missing_ok=True)
    try:
        different = forked(lambda: _again(dag, undisturbed), shop)
    except RuntimeError as error:
        different = [str(error)]
    counts = Counter((shop / ENCODED).read_text().splitlines())
    print(json.dumps(asdict(Kill(dag, point, anew, different, max(counts.values())))), flush=True)
    return True


def _start(folder: Path, dag: str) -> Path:
    """A shop with a catalogue and a closed day; for the backfill its vectors are there as well."""
    from perennial.foundation import encoder
    from perennial.foundation.embedding_spaces import embedding_settings
    from perennial.foundation.settings import settings
    from tests.encoders import declare, small

    shop = folder / "start"
    for name in FOLDERS:
        (shop / name).mkdir(parents=True)
    other = small(folder / "small")
    declare(other, folder / "config", TOKENS_PER_SHARD)
    os.environ["PERENNIAL_CONFIG"] = str(folder / "config")
    os.environ["PERENNIAL_THREADS"] = "1"
    settings.cache_clear()
    # Loaded, but not used yet: threads would not be forked.
    for choice in (embedding_settings().start.encoder, other):
        encoder.load(choice)
    forked(partial(_stock, dag), shop)
    return shop


def _stock(dag: str) -> None:
    from perennial.embeddings import pipeline
    from perennial.foundation.lake import open_lake
    from perennial.foundation.ledger import open_ledger
    from tests.embeddings.catalogue import land

    land(open_lake(), DAY, [(f"i{n}", f"Soup {n} {'with beans ' * (n % 7)}") for n in range(TEXTS)])
    open_ledger().close([DAY], announced_with=DAY)
    if dag == "backfill_embeddings":
        pipeline.embed(str(DAY))


def _try(dag: str) -> None:
    """Do the DAG's tasks that have not succeeded yet, one after the other."""
    done = set(Path(DONE).read_text().splitlines()) if Path(DONE).exists() else set()
    for name, task in _tasks(dag):
        if name not in done:
            task()
            with Path(DONE).open("a") as file:
                file.write(f"{name}\n")


def _tasks(dag: str) -> Iterator[tuple[str, Callable[[], object]]]:
    from perennial.embeddings import pipeline

    handed = Path(HANDED)
    if dag == "embed_items":
        space: dict[str, Any] = {}
        plan, encode = partial(pipeline.plan, str(DAY)), partial(pipeline.encode_shard, day=str(DAY))
    else:
        space = pipeline.choose("small", "", "", "")
        plan, encode = partial(pipeline.plan_backfill, space), partial(pipeline.encode_backfill, space=space)
    if not handed.exists():
        planned = plan()
        handed.with_suffix(".new").write_text(json.dumps(planned))
        handed.with_suffix(".new").replace(handed)
    for number, shard in enumerate(json.loads(handed.read_text())):
        yield f"encode {number}", partial(encode, shard)
    if space:
        yield "switch", partial(pipeline.switch_over, space)


def _watched(dag: str, before: Callable[[str], None]) -> None:
    """A try with `before` told of every side effect, numbered where there are several of a kind."""
    from perennial.foundation.encoder import Encoder
    from perennial.foundation.lake import Lake
    from perennial.foundation.ledger import Ledger

    seen: Counter[str] = Counter()

    def numbered(effect: str) -> None:
        seen[effect] += 1
        before(f"{effect} {seen[effect]}")

    watch(Encoder, "encode", numbered, lambda *rest: "encode")
    watch(Lake, "add", numbered, lambda _, table, *rest: f"add to {table}")
    watch(Lake, "add", numbered, lambda _, table, *rest: f"{COMMIT}{table}")
    watch(Ledger, "begin", numbered, lambda *rest: "begin")
    _counted(dag)
    before(AFTER)


def _counted(dag: str) -> None:
    """A try that writes down every text that an encoder is given, before it is."""
    from perennial.foundation.encoder import Encoder

    def write_down(_: Encoder, texts: list[str]) -> str:
        with Path(ENCODED).open("a") as file:
            file.writelines(f"{text}\n" for text in texts)
        return ""

    watch(Encoder, "encode", bool, write_down)
    _try(dag)


def _recorded(dag: str) -> list[str]:
    seen: list[str] = []
    _watched(dag, seen.append)
    return seen[:-1]


def _dying(dag: str, point: str) -> None:
    def die(effect: str) -> None:
        if effect != point:
            return
        if not effect.startswith(COMMIT):
            os.kill(os.getpid(), signal.SIGKILL)
        threading.Thread(target=_die_uncommitted, args=(_table(Path(), point),), daemon=True).start()

    _watched(dag, die)


def _die_uncommitted(table: Path) -> None:
    """Die as soon as a data file more lies there."""
    files = len(list(table.rglob("*.parquet")))
    while len(list(table.rglob("*.parquet"))) == files:
        pass
    os.kill(os.getpid(), signal.SIGKILL)


def _uncommitted(table: Path) -> bool:
    """Whether a data file lies there that no commit names."""
    log = "".join(path.read_text() for path in table.glob("_delta_log/*.json"))
    return any(path.name not in log for path in table.rglob("*.parquet"))


def _table(shop: Path, point: str) -> Path:
    return shop / "lake" / point.removeprefix(COMMIT).split()[0]


def _again(dag: str, undisturbed: Path) -> list[str]:
    """Try once more; in what the lake and the ledger are wrong by then."""
    from perennial.foundation.lake import Lake, open_lake
    from perennial.foundation.ledger import open_ledger
    from tests.content import differences

    _counted(dag)
    lake = open_lake()
    found = differences(lake, Lake(str(undisturbed / "lake"), tables=lake.tables))
    if dag == "backfill_embeddings" and "small" not in (open_ledger().about(dag) or ""):
        found.append("no backfill on record")
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
