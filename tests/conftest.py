"""A shop of its own for each test: empty lake, landing folder, reports and ledger in a temporary folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from perennial.foundation import ledger, settings
from perennial.foundation.lake import Lake, open_lake


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The settings point into a fresh folder, which is returned."""
    for name in ("lake", "landing", "reports"):
        (tmp_path / name).mkdir()
    for name in ("lake", "landing", "reports", "vault", "staging"):
        monkeypatch.setenv(f"PERENNIAL_{name.upper()}", str(tmp_path / name))
    monkeypatch.setenv("PERENNIAL_LEDGER", f"sqlite:///{tmp_path}/ledger.db")
    forget()
    yield tmp_path
    forget()


@pytest.fixture
def lake(shop: Path) -> Lake:
    """The empty lake of that shop."""
    return open_lake()


def forget() -> None:
    """Make the next look at the settings a fresh one."""
    settings.settings.cache_clear()
    ledger.open_ledger.cache_clear()
