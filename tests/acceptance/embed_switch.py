"""The encoder changed under a reader: another process reads on and on, and writes down what it sees.

`python -m tests.acceptance.embed_switch` does it in the shop of its settings.
"""

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from multiprocessing.synchronize import Event
from pathlib import Path

from tests.acceptance.forks import FOLDERS
from tests.acceptance.lines import Line, at_least, none_of

ITEMS = 5000
TOKENS_PER_SHARD = 2000
State = tuple[int, tuple[int, ...]]
"""How many items had a vector, and how wide these were."""


@dataclass(frozen=True)
class Seen:
    """What a reader saw of each day, one state for each change, and how often it looked."""

    states: list[list[State]]
    looks: int


def switch() -> Iterator[Line]:
    """There and back again under a reader of the days before and after: whole old or new, no mixture."""
    from tests.encoders import WIDTH

    with tempfile.TemporaryDirectory(prefix="perennial-embed-") as name:
        places = {f"PERENNIAL_{place.upper()}": f"{name}/{place}" for place in (*FOLDERS, "config")}
        environment = os.environ | places | {"PERENNIAL_LEDGER": f"sqlite:///{name}/ledger.db"}
        code = [sys.executable, "-m", "tests.acceptance.embed_switch", name]
        done = subprocess.run(code, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    *said, answer = done.stdout.splitlines()
    print("\n".join(f"  {line}" for line in said))
    seen = json.loads(answer)
    old, new = [ITEMS, [384]], [ITEMS, [WIDTH]]
    for which, states, wanted in zip(
        ("before", "after"), seen["states"], ([old], [old, new, old]), strict=True
    ):
        mixed = [str(state) for state in states if state not in (old, new)]
        yield none_of(f"embed.switch_mixtures_on_the_day_{which}", "mixtures", mixed)
        yield Line(
            f"embed.switches_on_the_day_{which}", f"{len(states)}", f"={len(wanted)}", states == wanted
        )
    yield at_least("embed.switch_looks", seen["looks"], 20, "")


def main(folder: str) -> None:
    """Fill the shop, go to a small encoder and back again under a reader, and print what it saw as JSON."""
    from perennial.foundation.settings import settings
    from tests.encoders import declare, small

    there = os.environ.pop("PERENNIAL_CONFIG")
    declare(small(Path(folder) / "small"), Path(there), TOKENS_PER_SHARD)
    os.environ["PERENNIAL_CONFIG"] = there
    settings.cache_clear()
    print(json.dumps(asdict(_there_and_back())))


def _there_and_back() -> Seen:
    from perennial.embeddings import pipeline
    from perennial.foundation.embedding_spaces import embedding_settings
    from perennial.foundation.lake import open_lake
    from perennial.foundation.ledger import open_ledger
    from tests.benchmarks import embed

    before, after = embed.DAY, embed.DAY + timedelta(days=1)
    open_lake().replace("items", embed.catalogue().slice(0, ITEMS), before)
    open_ledger().close([before], announced_with=before)
    pipeline.embed(str(before))

    def work() -> None:
        for encoder in ("small", embedding_settings().encoder):
            space = pipeline.choose(encoder, "", "", "")
            for shard in pipeline.plan_backfill(space):
                pipeline.encode_backfill(shard, space)
            print(pipeline.switch_over(space))

    return seen_during(work, [before, after])


def seen_during(work: Callable[[], object], days: Sequence[date]) -> Seen:
    """What a reader in another process sees of the days' items while `work` is done here."""
    processes = multiprocessing.get_context("spawn")
    reading, over = processes.Event(), processes.Event()
    with processes.Pool(1, initializer=_share, initargs=(reading, over)) as pool:
        answer = pool.apply_async(_read_on, [days])
        while not reading.wait(1):
            if answer.ready():
                answer.get()
        work()
        over.set()
        return answer.get()


_signals: list[Event] = []


def _share(*signals: Event) -> None:
    _signals.extend(signals)


def _read_on(days: Sequence[date]) -> Seen:
    """Look until it is over, and once more."""
    from perennial.foundation.embedding_spaces import item_vectors
    from perennial.foundation.lake import open_lake

    reading, over = _signals
    lake = open_lake()
    states: list[list[State]] = [[] for _ in days]
    looks, last = 0, False
    while not last:
        last = over.is_set()
        for day, seen in zip(days, states, strict=True):
            found = item_vectors(lake, lake.known("items", day), day)
            widths = found.group_by(width=found.vector.length()).agg(items=found.count()).to_pyarrow()
            state = (sum(widths["items"].to_pylist()), tuple(sorted(widths["width"].to_pylist())))
            looks += 1
            if seen[-1:] != [state]:
                seen.append(state)
        reading.set()
    return Seen(states, looks)


if __name__ == "__main__":
    main(sys.argv[1])
