import json
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from perennial.foundation import model_log, promotion, tracking
from perennial.foundation.endpoint import Endpoint
from perennial.foundation.lake import Lake
from perennial.foundation.ledger import OutOfOrderError, open_ledger
from perennial.models import pipeline
from tests.learning import DAY, fill

NEXT = DAY + timedelta(1)
MODEL = "return_model"


@pytest.fixture(autouse=True)
def one_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promotion, "MODELS", (MODEL,))


@pytest.fixture
def shop_with_history(lake: Lake) -> Lake:
    fill(lake, through=NEXT, days=(DAY, NEXT))
    return lake


def log(lake: Lake) -> list[tuple[date, str, int | None]]:
    return [(one.day, one.verdict, one.version) for one in promotion.records(lake, MODEL)]


def aliases(endpoint: Endpoint) -> dict[str, str]:
    import mlflow

    found = mlflow.MlflowClient(endpoint.url, endpoint.url).get_registered_model(MODEL)
    return {alias: str(version) for alias, version in found.aliases.items()}


def versions(endpoint: Endpoint) -> list[str]:
    import mlflow

    found = mlflow.MlflowClient(endpoint.url, endpoint.url).search_model_versions(f"name = '{MODEL}'")
    return sorted(str(one.version) for one in found)


def test_promotion_happens_once(shop_with_history: Lake, endpoint: Endpoint):
    pipeline.train(DAY, endpoint)
    assert promotion.promote(DAY, endpoint)[MODEL].startswith("promoted")
    held = shop_with_history.version("model_log")
    assert promotion.promote(DAY, endpoint)[MODEL].startswith("promoted")
    assert shop_with_history.version("model_log") == held
    assert log(shop_with_history) == [(DAY, "promoted", 1)]
    assert open_ledger().frontier(promotion.STEP) == DAY


def test_a_row_of_the_encoder_neither_decides_the_models_day_nor_goes_with_it(
    shop_with_history: Lake, endpoint: Endpoint
):
    row = model_log.Record("encoder", DAY, 1, None, DAY, model_log.PROMOTED, "switched", "{}")
    model_log.add(shop_with_history, [row])
    pipeline.train(DAY, endpoint)
    assert promotion.promote(DAY, endpoint)[MODEL].startswith("promoted")
    assert log(shop_with_history) == [(DAY, "promoted", 1)]
    assert model_log.records(shop_with_history, "encoder") == [row]


def test_a_day_on_record_is_not_trained_again(shop_with_history: Lake, endpoint: Endpoint):
    pipeline.train(DAY, endpoint)
    promotion.promote(DAY, endpoint)
    again = pipeline.train(DAY, endpoint)
    assert (again["verdict"], again["version"]) == ("promoted", "1")
    assert "verdict" in pipeline.train(DAY - timedelta(7), endpoint)
    assert versions(endpoint) == ["1"]


def test_what_a_killed_attempt_left_is_thrown_away(shop_with_history: Lake, endpoint: Endpoint):
    for _ in range(2):
        pipeline.train(DAY, endpoint)
    assert versions(endpoint) == ["1", "2"]
    promotion.promote(DAY, endpoint)
    assert log(shop_with_history) == [(DAY, "promoted", 2)]
    assert versions(endpoint) == ["2"]


def test_a_kill_between_record_and_frontier_changes_nothing(
    shop_with_history: Lake, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
):
    pipeline.train(DAY, endpoint)
    add = Lake.add

    def killed(self: Lake, name: str, rows: pa.Table) -> int:
        add(self, name, rows)
        raise KeyboardInterrupt

    monkeypatch.setattr(Lake, "add", killed)
    with pytest.raises(KeyboardInterrupt):
        promotion.promote(DAY, endpoint)
    monkeypatch.undo()
    monkeypatch.setattr(promotion, "MODELS", (MODEL,))
    assert open_ledger().frontier(promotion.STEP) is None
    assert pipeline.train(DAY, endpoint)["version"] == "1"
    promotion.promote(DAY, endpoint)
    assert log(shop_with_history) == [(DAY, "promoted", 1)]
    assert open_ledger().frontier(promotion.STEP) == DAY


def test_the_aliases_follow_the_record(shop_with_history: Lake, endpoint: Endpoint):
    pipeline.train(DAY, endpoint)
    assert aliases(endpoint) == {"challenger": "1"}
    promotion.promote(DAY, endpoint)
    assert aliases(endpoint) == {"champion": "1"}
    tracking.set_aliases(endpoint, MODEL, {"champion": None, "challenger": 1})
    promotion.promote(DAY, endpoint)
    assert aliases(endpoint) == {"champion": "1"}


def test_a_fresher_copy_takes_the_champions_place(shop_with_history: Lake, endpoint: Endpoint):
    for day in (DAY, NEXT):
        pipeline.train(day, endpoint)
        promotion.promote(day, endpoint)
    assert log(shop_with_history) == [(DAY, "promoted", 1), (NEXT, "promoted", 2)]
    figures = json.loads(promotion.records(shop_with_history, MODEL)[-1].figures)
    assert figures["extra_loss_low"] <= figures["extra_loss"] <= figures["extra_loss_high"]
    assert aliases(endpoint) == {"champion": "2"}


def test_a_worse_candidate_is_kept_out(
    shop_with_history: Lake, endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pipeline.train(DAY, endpoint)
    promotion.promote(DAY, endpoint)
    config = Path(__file__).resolve().parents[2] / "include" / "config" / "models.yaml"
    (tmp_path / "config").mkdir()
    lazy = config.read_text().replace("rounds: 200", "rounds: 1")
    (tmp_path / "config" / "models.yaml").write_text(lazy)
    monkeypatch.setenv("PERENNIAL_CONFIG", str(tmp_path / "config"))
    _forget_settings()
    pipeline.train(NEXT, endpoint)
    promotion.promote(NEXT, endpoint)
    assert log(shop_with_history)[-1] == (NEXT, "kept", 2)
    assert aliases(endpoint) == {"champion": "1", "challenger": "2"}
    assert promotion.version_in_force(shop_with_history, MODEL, NEXT) == 1


def test_a_failed_training_moves_the_frontier(shop_with_history: Lake, endpoint: Endpoint):
    pipeline.train(DAY, endpoint)
    promotion.promote(DAY, endpoint)
    promotion.promote(NEXT, endpoint)
    assert log(shop_with_history)[-1] == (NEXT, "failed", None)
    assert open_ledger().frontier(promotion.STEP) == NEXT
    assert aliases(endpoint) == {"champion": "1"}


def test_neither_champion_nor_candidate_is_a_clear_error(shop_with_history: Lake, endpoint: Endpoint):
    with pytest.raises(promotion.NoModelError, match="return_model: training for 2017-11-30 failed"):
        promotion.promote(DAY, endpoint)
    assert open_ledger().frontier(promotion.STEP) is None


def test_a_later_day_waits_for_the_earlier_one(shop_with_history: Lake, endpoint: Endpoint):
    ledger = open_ledger()
    for day in (DAY, NEXT, NEXT + timedelta(1)):
        ledger.close([day], day)
    pipeline.train(DAY, endpoint)
    promotion.promote(DAY, endpoint)
    with pytest.raises(OutOfOrderError, match=str(NEXT)):
        promotion.promote(NEXT + timedelta(1), endpoint)
    assert log(shop_with_history) == [(DAY, "promoted", 1)]


def test_scoring_a_past_day_uses_that_days_model(shop_with_history: Lake, endpoint: Endpoint):
    for day in (DAY, NEXT):
        pipeline.train(day, endpoint)
        promotion.promote(day, endpoint)
    assert promotion.version_in_force(shop_with_history, MODEL, NEXT) == 2
    pipeline.score(DAY, endpoint)
    assert set(shop_with_history.read("scores").to_pyarrow()["model_version"].to_pylist()) == {1}


def _forget_settings() -> None:
    from tests.conftest import forget

    forget()
