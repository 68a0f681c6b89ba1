import json
from datetime import timedelta

import pytest

from perennial.foundation.endpoint import Endpoint
from perennial.foundation.lake import Lake
from perennial.foundation.ledger import open_ledger
from perennial.foundation.modelling import model_log, promotion, roll_back, tracking
from perennial.foundation.modelling.roll_back import RollBackError
from tests import planted
from tests.planted import FIRST, MODEL, aliases, client, log

FOURTH = FIRST + timedelta(3)


def back(
    endpoint: Endpoint, version: int | None = None, *, reason: str = "odd scores", through: str = ""
) -> str:
    chosen = roll_back.choose(MODEL, version)
    return roll_back.roll_back(MODEL, **chosen, reason=reason, held_through=through, endpoint=endpoint)


def test_going_back_holds_from_the_first_open_day_on_and_leaves_the_past_alone(
    lake: Lake, endpoint: Endpoint
):
    planted.promoted(endpoint, 3)
    assert back(endpoint) == f"version 2 is in force from {FOURTH} on, held through {FOURTH}"
    assert log(lake)[-1] == (FOURTH, "rolled_back", 2)
    row = model_log.records(lake, MODEL)[-1]
    assert (row.trained_through, row.reason) == (FIRST + timedelta(1), "in place of version 3: odd scores")
    in_force = [promotion.version_in_force(lake, MODEL, FIRST + timedelta(n)) for n in range(5)]
    assert in_force == [1, 2, 3, 2, 2]
    assert aliases(endpoint) == {"champion": "2"}
    gone = client(endpoint).get_model_version(MODEL, "3").tags["rolled_back"]
    assert gone == f"from {FOURTH} on: in place of version 3: odd scores"
    assert open_ledger().frontier(promotion.STEP) == FIRST + timedelta(2)


def test_candidates_are_compared_with_the_version_rolled_back_to_and_not_promoted_during_its_hold(
    lake: Lake, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
):
    planted.promoted(endpoint, 3)
    loaded: list[int] = []
    load_model = tracking.load_model
    monkeypatch.setattr(tracking, "load_model", lambda *asked: loaded.append(asked[2]) or load_model(*asked))
    back(endpoint, through=str(FOURTH))
    planted.train(endpoint, FOURTH)
    verdict = planted.promote(FOURTH, endpoint)
    assert verdict.startswith(f"kept: version 2 is held through {FOURTH}, in place of version 3: odd scores")
    assert "fresher and not worse" in verdict
    assert log(lake)[-2:] == [(FOURTH, "rolled_back", 2), (FOURTH, "kept", 4)]
    planted.train(endpoint, FOURTH + timedelta(1))
    assert planted.promote(FOURTH + timedelta(1), endpoint).startswith("promoted: fresher")
    assert set(loaded) == {2, 4, 5}


def test_a_roll_back_to_a_version_that_this_code_cannot_read_fails(
    lake: Lake, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
):
    planted.promoted(endpoint, 2)
    before = log(lake)

    def load_nothing(folder: str) -> None:
        raise ModuleNotFoundError("No module named 'perennial.gone'")

    monkeypatch.setattr(planted, "_load_pyfunc", load_nothing)
    with pytest.raises(tracking.SavedOtherwiseError, match="version 1 was saved by other code"):
        back(endpoint)
    assert log(lake) == before


def test_a_second_call_changes_nothing_and_sets_the_aliases_again(lake: Lake, endpoint: Endpoint):
    planted.promoted(endpoint, 2)
    chosen = roll_back.choose(MODEL)
    asked = {"reason": "odd scores", "held_through": "", "endpoint": endpoint}
    first = roll_back.roll_back(MODEL, **chosen, **asked)  # type: ignore[arg-type]
    tracking.set_aliases(endpoint, MODEL, {"champion": 2})
    assert roll_back.roll_back(MODEL, **chosen, **asked) == first  # type: ignore[arg-type]
    assert [one[1] for one in log(lake)] == ["promoted", "promoted", "rolled_back"]
    assert aliases(endpoint) == {"champion": "1"}


def test_two_roll_backs_go_back_two_versions_and_a_named_version_goes_forward_again(
    lake: Lake, endpoint: Endpoint
):
    planted.promoted(endpoint, 3)
    for _ in range(2):
        back(endpoint)
    assert [one[2] for one in log(lake)] == [1, 2, 3, 2, 1]
    assert [one.change for one in model_log.records(lake, MODEL)[-2:]] == [1, 2]
    with pytest.raises(RollBackError, match="before version 1 none was in force"):
        back(endpoint)
    back(endpoint, 3)
    assert promotion.version_in_force(lake, MODEL, FOURTH) == 3
    assert roll_back.choose(MODEL) == {"from_version": 3, "to_version": 1}


def test_a_roll_back_between_the_comparison_and_the_record_makes_the_verdict_void(
    lake: Lake, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
):
    planted.promoted(endpoint, 2)
    third = FIRST + timedelta(2)
    planted.train(endpoint, third)
    judge = promotion._judge

    def meanwhile(*asked: object) -> object:
        verdict = judge(*asked)  # type: ignore[arg-type]
        monkeypatch.setattr(promotion, "_judge", judge)
        back(endpoint)
        return verdict

    monkeypatch.setattr(promotion, "_judge", meanwhile)
    with pytest.raises(promotion.ChangedMeanwhileError, match="roll back came between"):
        planted.promote(third, endpoint)
    assert open_ledger().frontier(promotion.STEP) == FIRST + timedelta(1)
    assert planted.promote(third, endpoint).startswith("kept: version 1 is held")
    assert log(lake)[-2:] == [(third, "rolled_back", 1), (third, "kept", 3)]


def test_a_form_without_sense_is_refused(lake: Lake, endpoint: Endpoint):
    with pytest.raises(RollBackError, match="no return_model has ever been promoted"):
        back(endpoint)
    planted.promoted(endpoint, 2)
    planted.train(endpoint, FIRST + timedelta(2))
    with pytest.raises(RollBackError, match=r"version 3 was never in force; allowed are \[1\]"):
        back(endpoint, 3)
    with pytest.raises(RollBackError, match=r"version 2 is in force; allowed are \[1\]"):
        back(endpoint, 2)
    with pytest.raises(RollBackError, match="a reason is needed"):
        back(endpoint, reason=" ")
    with pytest.raises(RollBackError, match="held through 2017-12-01: 2017-12-02 is the first open day"):
        back(endpoint, through="2017-12-01")
    with pytest.raises(RollBackError, match="meanwhile version 2 is in force"):
        roll_back.roll_back(MODEL, 7, 1, "odd scores", "", endpoint)
    assert [one[1] for one in log(lake)] == ["promoted", "promoted"]
    assert json.loads(model_log.records(lake, MODEL)[0].figures)["auc"] == 0.9
