"""`make acceptance [ONLY="group | group.case …"]`: the heavy proofs. Exit status 1 when a figure is short."""

import importlib
import os
import sys
import time
from pathlib import Path

from perennial.demo.environment import CONFIG

GROUPS = ("day", "ingest", "embed", "profiles", "recommend", "house")


def main(*only: str) -> int:
    """Run the cases whose name or group is among `only`; all of them without any.

    The settings are the demo's, unless the environment names another folder of YAML files.
    """
    os.environ.setdefault("PERENNIAL_CONFIG", str(CONFIG))
    cases = {
        f"{group}.{name}": case
        for group in GROUPS
        for name, case in importlib.import_module(f"tests.acceptance.{group}").CASES.items()
    }
    chosen = {
        name: case for name, case in cases.items() if not only or {name, name.split(".")[0]} & set(only)
    }
    if not chosen:
        print(f"no case {' '.join(only)}; there are {', '.join(cases)}")
        return 2
    short = 0
    for name, case in chosen.items():
        began = time.monotonic()
        print(f"{name}: {(case.__doc__ or '').splitlines()[0]}", flush=True)
        for line in case():
            print(line, flush=True)
            short += not line.ok
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
    return 1 if short else 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    sys.exit(main(*sys.argv[1:]))
