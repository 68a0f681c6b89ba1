"""The names of what tasks make in the staging folder.

`PERENNIAL_STAGING` may name a folder with the user's own files: what has another name is never removed.
"""

import re

SPILL = "spill"
"""The engine's own folder."""
_MADE = re.compile(r"(tmp|recommendations-)[a-z0-9_]{8}(\.lock)?")
_SPILLED = re.compile(r"duckdb_temp_.+")


def is_made(name: str) -> bool:
    """Whether a task made the file or folder with this name: by `tempfile`, which gives these names."""
    return _MADE.fullmatch(name) is not None


def is_spilled(name: str) -> bool:
    """Whether the engine made the file with this name in `SPILL`."""
    return _SPILLED.fullmatch(name) is not None
