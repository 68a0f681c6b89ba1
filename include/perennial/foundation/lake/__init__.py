"""The lake: tables by name, versions in and versions out."""

from perennial.foundation.lake.as_known import end_of
from perennial.foundation.lake.lake import Lake, open_lake, open_vault
from perennial.foundation.lake.table import LakeError, conform

__all__ = ["Lake", "LakeError", "conform", "end_of", "open_lake", "open_vault"]
