import pytest
from pydantic import ValidationError

from perennial.foundation.settings import Settings

KEY = "k" * 32


def test_a_short_pseudonym_key_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PERENNIAL_PSEUDONYM_KEY", "mellon")
    with pytest.raises(ValidationError, match="it has 6 characters; at least 32 random ones") as refused:
        Settings()
    assert "mellon" not in str(refused.value)


def test_the_pseudonym_key_is_read_and_never_printed(monkeypatch: pytest.MonkeyPatch):
    assert Settings().key is None
    monkeypatch.setenv("PERENNIAL_PSEUDONYM_KEY", KEY)
    assert Settings().key == KEY.encode()
    assert KEY not in repr(Settings())


@pytest.mark.parametrize("name", ["lake", "landing", "reports"])
def test_the_vault_lies_outside_all_other_folders(monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.setenv(f"PERENNIAL_{name.upper()}", "/data/shop")
    monkeypatch.setenv("PERENNIAL_VAULT", "/data/shop/vault")
    with pytest.raises(ValidationError, match=f"lies in the {name} folder"):
        Settings()
    monkeypatch.setenv("PERENNIAL_VAULT", "/data/shopvault")
    assert Settings().vault == "/data/shopvault"


def test_a_late_day_raises_its_alert_before_it_fails(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PERENNIAL_LANDING_PATIENCE_HOURS", "2")
    with pytest.raises(ValidationError, match="allowed is an alert before the day fails"):
        Settings()
    monkeypatch.setenv("PERENNIAL_LANDING_DEADLINE_HOURS", "1.5")
    assert Settings().landing_deadline_hours == 1.5
