"""`make bench [ONLY=name]`: one line a benchmark and size, then how our time grows with size."""

import os
import sys

from perennial.demo.environment import CONFIG
from tests.benchmarks import bench, embed, ingest, lake, profiles

BASE = 30_000
SIZES = (BASE, 10 * BASE, 50 * BASE)
BENCHMARKS = {
    "lake": lake.run,
    "ingest": ingest.run,
    "embed": embed.run,
    "profiles": profiles.run,
}


def main(*only: str) -> int:
    """Run the benchmarks that are named, or all.

    The settings are the demo's, unless the environment names another folder of YAML files.
    """
    os.environ.setdefault("PERENNIAL_CONFIG", str(CONFIG))
    if unknown := set(only) - BENCHMARKS.keys():
        print(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
        return 2
    results = []
    for name, run in BENCHMARKS.items():
        if only and name not in only:
            continue
        mine = []
        for result in run(SIZES):
            print(result, flush=True)
            mine.append(result)
        for series in dict.fromkeys(result.name for result in mine):
            grown = [result for result in mine if result.name == series]
            if len(grown) > 1:
                print(f"{series}: time grows with size to the power of {bench.growth(grown):.2f}")
        results += mine
    print(f"written to {bench.save(results)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
