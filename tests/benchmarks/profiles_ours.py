"""Ours: `build` of a day, from the lake's tables to the lake's table of profiles, committed."""

import os
import shutil
from pathlib import Path

from perennial.foundation.settings import settings
from perennial.profiles import pipeline
from tests.benchmarks.profiles_shop import DAY

NAME = "perennial"


def draw(lake: Path, out: Path) -> None:
    """Make the profiles of the day in the lake; beside `out` lies only what does not fit in memory."""
    os.environ |= {"PERENNIAL_LAKE": str(lake), "PERENNIAL_STAGING": str(out.parent)}
    settings.cache_clear()
    shutil.rmtree(lake / "profiles", ignore_errors=True)
    pipeline.build(str(DAY))
