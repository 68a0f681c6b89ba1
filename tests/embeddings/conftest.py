"""A shop that starts on a Monday, and knows two encoders."""

from pathlib import Path

import pytest

from perennial.foundation.lake import Lake, open_lake
from perennial.foundation.ledger import open_ledger
from tests.embeddings.catalogue import MONDAY, land
from tests.encoders import small_encoder, two_encoders

__all__ = ["small_encoder", "two_encoders"]


@pytest.fixture
def lake(two_encoders: Path) -> Lake:
    """A catalogue of 40 items with 20 different texts of five or six tokens."""
    lake = open_lake()
    land(lake, MONDAY, [(f"i{n}", f"Soup number {n % 20}") for n in range(40)])
    open_ledger().close([MONDAY], announced_with=MONDAY)
    return lake
