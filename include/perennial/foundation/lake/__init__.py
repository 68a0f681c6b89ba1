"""The lake: tables by name, versions in and versions out."""

from perennial.foundation.lake.lake import Lake, end_of, open_lake, open_vault
from perennial.foundation.lake.table import LakeError, conform

__all__ = ["Lake", "LakeError", "conform", "end_of", "open_lake", "open_vault"]
