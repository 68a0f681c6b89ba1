"""Bad landings, each beside a good day: published and accounted for, or one clear sentence and nothing else.

Each is taken in by a process that is told one after the other, so that a crash or an endless loop is a
finding like any other. `python -m tests.acceptance.ingest_fuzz 17 18` shows what becomes of those two.
"""

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from tests.acceptance.ingest_fuzz_inputs import DAY, Bad, inputs
from tests.acceptance.lines import Line, at_least, none_of
from tests.ingestion.drops import drop, drop_all, item, user

GOOD_DAY = "2024-05-02"
LONGEST_MESSAGE = 1000
"""Characters; a message has up to three sentences."""
PATIENCE_SECONDS = 180
KEY = "a key for tests, of no use elsewhere"


@dataclass(frozen=True)
class Outcome:
    """What became of a landing: how it ended, and what is wrong with that, if anything."""

    how: str
    wrong: str = ""


class Bench:
    """A shop whose good day is in the lake, made anew for each bad landing."""

    def __init__(self, shop: Path) -> None:
        """Take the good day in; the settings must point into `shop`: lake, vault, landing, config."""
        from perennial.ingestion import pipeline

        self.shop = shop
        self._declare(None)
        drop_all(
            shop, GOOD_DAY, users=[user(), *(user(f"c{n}") for n in range(1, 4))], items=[item(), item("i2")]
        )
        pipeline.ingest(GOOD_DAY)
        for name in ("lake", "vault", "landing"):
            shutil.copytree(shop / name, shop / "pristine" / name)

    def attempt(self, bad: Bad) -> Outcome:
        """Land it beside one good file of the same day, and see."""
        for name in ("lake", "vault", "landing"):
            shutil.rmtree(self.shop / name)
            shutil.copytree(self.shop / "pristine" / name, self.shop / name)
        self._declare(bad.sources)
        drop(self.shop, "users", [user("beside")], DAY, "beside.parquet")
        try:
            bad.drop(self.shop / "landing")
        except OSError as error:
            return Outcome(f"cannot be there: {type(error).__name__}")
        return self._ingest()

    def _declare(self, text: str | None) -> None:
        from perennial.demo.environment import CONFIG

        config = self.shop / "config"
        shutil.rmtree(config, ignore_errors=True)
        if text is None:
            shutil.copytree(CONFIG, config)
        else:
            config.mkdir()
            (config / "sources.yaml").write_bytes(text.encode(errors="surrogateescape"))

    def _ingest(self) -> Outcome:
        from perennial.foundation.config import ConfigError
        from perennial.ingestion import pipeline
        from perennial.ingestion.errors import RefusedTableError, SourceError

        before = versions()
        try:
            pipeline.ingest(DAY)
        except (SourceError, RefusedTableError, ConfigError) as error:
            after = versions()
            wrong = sentence_is_wrong(str(error))
            if after != before:
                changed = [name for name, version in after.items() if before.get(name) != version]
                wrong = f"{', '.join(changed)} changed though it says {str(error)[:80]}"
            return Outcome(type(error).__name__, wrong)
        except BaseException as error:
            traceback.print_exc()
            return Outcome("bare", f"{type(error).__module__}.{type(error).__name__}: {str(error)[:400]}")
        return Outcome("published", account_is_wrong())


def versions() -> dict[str, int | None]:
    """The version of every table that a refused landing must leave alone."""
    from perennial.foundation.lake import open_lake, open_vault

    return {
        name: lake.version(name)
        for lake in (open_lake(), open_vault())
        for name in lake.tables
        if name != "validations"
    }


def account_is_wrong() -> str:
    """What does not add up on the day; empty if everything does."""
    from perennial.ingestion.reconciliation import reconcile
    from perennial.ingestion.screening import Storage

    try:
        entries = reconcile(Storage.from_settings(), date.fromisoformat(DAY), date.fromisoformat(DAY))
    except Exception as error:
        return f"no account: {type(error).__name__}: {str(error)[:300]}"
    return "; ".join(f"out of balance: {entry}" for entry in entries if not entry.balanced)


def sentence_is_wrong(text: str) -> str:
    """What is wrong with a sentence that stops a landing; empty if nothing is."""
    from perennial.foundation import masking

    shown = text[:200]
    if len(text) > LONGEST_MESSAGE:
        return f"{len(text)} characters: {shown}"
    if any(word in text for word in ("Traceback", 'File "', "0x7f", ".py")):
        return f"speaks of our code: {shown}"
    if not text.replace("\n", "").isprintable():
        return f"has letters that nobody can see: {shown!r}"
    if masking.find(text):
        return f"shows a contact: {shown}"
    if not any(word in text for word in (DAY, "sources", "items", "users", "events")):
        return f"names no file, table or source: {shown}"
    return ""


def fuzz() -> Iterator[Line]:
    """At least 300 bad landings: always landed = published + quarantined + left out, or one sentence."""
    count = len(inputs())
    found: dict[int, tuple[str, Outcome]] = {}
    while len(found) < count:
        found |= _worked_off([n for n in range(count) if n not in found])
    print(
        "  " + ", ".join(f"{how}: {n}" for how, n in Counter(o.how for _, o in found.values()).most_common())
    )
    wrong = [f"{n} {name}: {outcome.wrong}" for n, (name, outcome) in sorted(found.items()) if outcome.wrong]
    for line in wrong:
        print(f"  {line}")
    yield at_least("ingest.fuzz_inputs", count, 300, "")
    yield none_of("ingest.fuzz_wrong", "outcomes", [line.replace(" ", "_") for line in wrong])


def _worked_off(numbers: list[int]) -> dict[int, tuple[str, Outcome]]:
    """What became of these, up to the first that its process does not survive."""
    names = [bad.name for bad in inputs()]
    code = [sys.executable, "-m", "tests.acceptance.ingest_fuzz", *map(str, numbers)]
    found: dict[int, tuple[str, Outcome]] = {}
    with subprocess.Popen(code, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it is ready
        for number in numbers:
            ready, _, _ = select.select([process.stdout], [], [], PATIENCE_SECONDS)
            line = process.stdout.readline() if ready else ""
            if not line:
                process.kill()
                how = f"died ({process.wait()})" if ready else f"took more than {PATIENCE_SECONDS} s"
                return found | {number: (names[number], Outcome("bare", how))}
            found[number] = (names[number], Outcome(**json.loads(line)))
    return found


def main(*numbers: int) -> None:
    """Take these landings in, one line of JSON each."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    every = inputs()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        shop = Path(folder)
        for name in ("lake", "landing", "reports", "vault", "staging", "config"):
            os.environ[f"PERENNIAL_{name.upper()}"] = str(shop / name)
        for name in ("lake", "landing", "reports"):
            (shop / name).mkdir()
        os.environ |= {"PERENNIAL_LEDGER": f"sqlite:///{shop}/ledger.db", "PERENNIAL_PSEUDONYM_KEY": KEY}
        bench = Bench(shop)
        print("ready", file=answers, flush=True)
        for number in numbers:
            began = time.monotonic()
            outcome = bench.attempt(every[number])
            if "FUZZ_TIMES" in os.environ:
                print(
                    f"{time.monotonic() - began:.1f} s {number} {every[number].name}: {outcome}",
                    file=sys.stderr,
                )
            print(json.dumps(outcome.__dict__), file=answers, flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
