import json
import re
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from perennial.foundation.endpoint import Endpoint
from perennial.foundation.lake import Lake
from perennial.foundation.ledger import OutOfOrderError, open_ledger
from perennial.foundation.modelling import model_log, promotion, roll_back, tracking
from perennial.foundation.modelling.registered import check_layout
from tests import planted
from tests.planted import FIRST, MODEL, Planted, aliases, client, log

NEXT = FIRST + timedelta(1)


def versions(endpoint: Endpoint) -> list[str]:
    return sorted(
        str(version.version) for version in client(endpoint).search_model_versions(f"name = '{MODEL}'")
    )


def test_promotion_happens_once(lake: Lake, endpoint: Endpoint):
    planted.train(endpoint, FIRST)
    assert planted.promote(FIRST, endpoint).startswith("promoted")
    version = lake.version("model_log")
    assert planted.promote(FIRST, endpoint).startswith("promoted")
    assert lake.version("model_log") == version
    assert log(lake) == [(FIRST, "promoted", 1)]
    assert open_ledger().frontier(promotion.STEP) == FIRST
    assert promotion.decided(lake, open_ledger(), MODEL, FIRST) == {
        "model": MODEL,
        "verdict": "promoted",
        "reason": "the first of its kind: there is no champion yet",
        "version": "1",
    }
    assert promotion.decided(lake, open_ledger(), MODEL, NEXT) is None


def test_a_row_of_the_encoder_neither_decides_the_models_day_nor_goes_with_it(lake: Lake, endpoint: Endpoint):
    row = model_log.Record("encoder", FIRST, 1, None, FIRST, model_log.PROMOTED, "switched", "{}")
    model_log.add(lake, [row])
    planted.promoted(endpoint, 1)
    assert log(lake) == [(FIRST, "promoted", 1)]
    assert model_log.records(lake, "encoder") == [row]


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError("deep_trees"),
        ModuleNotFoundError("No module named 'deep_trees'"),
        AttributeError("module has no 'deep_trees'"),
    ],
)
def test_a_champion_that_older_code_saved_gives_way_and_the_reason_says_so(
    error: Exception, lake: Lake, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
):
    planted.promoted(endpoint, 1)
    planted.train(endpoint, NEXT, Planted(seed=1))
    load = planted._load_pyfunc

    def load_as_today(folder: str) -> Planted:
        if (model := load(folder)).seed == 0:
            raise error
        return model

    monkeypatch.setattr(planted, "_load_pyfunc", load_as_today)
    assert re.match(
        "promoted: there is no champion to ask: return_model version 1 was saved by other code .*deep_trees",
        planted.promote(NEXT, endpoint),
    )
    with pytest.raises(tracking.SavedOtherwiseError, match="the code of that time"):
        tracking.load_model(endpoint, MODEL, 1)


def test_a_champion_of_another_layout_gives_way_even_while_it_is_held(
    lake: Lake, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
):
    planted.promoted(endpoint, 2)
    versions_of = roll_back.choose(MODEL)
    roll_back.roll_back(MODEL, **versions_of, reason="odd", held_through="2018-12-31", endpoint=endpoint)
    later = planted.train(endpoint, FIRST + timedelta(2), Planted(seed=9))
    load = planted._load_pyfunc

    def load_layout_2(folder: str) -> Planted:
        if (model := load(folder)).seed == 9:
            return model
        check_layout(Path(folder), 2)
        raise AssertionError

    monkeypatch.setattr(planted, "_load_pyfunc", load_layout_2)
    verdict = planted.promote(FIRST + timedelta(2), endpoint)
    assert re.match("promoted: .*files are in layout 1; this code reads layout 2", verdict)
    assert promotion.version_in_force(lake, MODEL, FIRST + timedelta(2)) == later


def test_leftovers_of_a_killed_attempt_are_discarded(lake: Lake, endpoint: Endpoint):
    for _ in range(2):
        planted.train(endpoint, FIRST)
    assert versions(endpoint) == ["1", "2"]
    planted.promote(FIRST, endpoint)
    assert log(lake) == [(FIRST, "promoted", 2)]
    assert versions(endpoint) == ["2"]


def test_a_kill_between_record_and_frontier_changes_nothing(
    lake: Lake, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
):
    planted.train(endpoint, FIRST)
    add = Lake.add

    def killed(self: Lake, name: str, rows: pa.Table) -> int:
        add(self, name, rows)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Lake, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            planted.promote(FIRST, endpoint)
    assert open_ledger().frontier(promotion.STEP) is None
    assert promotion.decided(lake, open_ledger(), MODEL, FIRST)["version"] == "1"  # type: ignore[index]
    planted.promote(FIRST, endpoint)
    assert log(lake) == [(FIRST, "promoted", 1)]
    assert open_ledger().frontier(promotion.STEP) == FIRST


def test_the_aliases_follow_the_record(lake: Lake, endpoint: Endpoint):
    planted.train(endpoint, FIRST)
    assert aliases(endpoint) == {"challenger": "1"}
    planted.promote(FIRST, endpoint)
    assert aliases(endpoint) == {"champion": "1"}
    tracking.set_aliases(endpoint, MODEL, {"champion": None, "challenger": 1})
    planted.promote(FIRST, endpoint)
    assert aliases(endpoint) == {"champion": "1"}


def test_a_fresher_copy_replaces_the_champion(lake: Lake, endpoint: Endpoint):
    planted.promoted(endpoint, 2)
    assert log(lake) == [(FIRST, "promoted", 1), (NEXT, "promoted", 2)]
    last = promotion.records(lake, MODEL)[-1]
    assert last.reason.startswith("fresher and not worse")
    figures = json.loads(last.figures)
    assert figures["extra_loss_low"] <= figures["extra_loss"] <= figures["extra_loss_high"]
    assert aliases(endpoint) == {"champion": "2"}
    assert [promotion.version_in_force(lake, MODEL, day) for day in (FIRST, NEXT)] == [1, 2]


def test_a_worse_candidate_is_not_promoted(lake: Lake, endpoint: Endpoint):
    planted.promoted(endpoint, 1)
    planted.train(endpoint, NEXT, Planted(noise=2, noise_of_young=2))
    assert planted.promote(NEXT, endpoint).startswith("kept: not shown to be as good")
    assert log(lake)[-1] == (NEXT, "kept", 2)
    assert aliases(endpoint) == {"champion": "1", "challenger": "2"}
    assert promotion.version_in_force(lake, MODEL, NEXT) == 1


def test_an_analyst_finds_verdict_and_figures_on_the_run_and_the_trend_in_the_series(
    lake: Lake, endpoint: Endpoint
):
    planted.promoted(endpoint, 2)
    for _ in range(2):
        planted.promote(NEXT, endpoint)
    last = promotion.records(lake, MODEL)[-1]
    run = client(endpoint).get_run(client(endpoint).get_model_version(MODEL, "2").run_id)
    assert (run.data.tags["verdict"], run.data.tags["reason"]) == ("promoted", last.reason)
    assert run.data.metrics == json.loads(last.figures)
    experiment = client(endpoint).get_experiment_by_name(MODEL)
    (series,) = client(endpoint).search_runs([experiment.experiment_id], "tags.series = 'every day'")
    for name, values in {"promoted": [1, 1], "trained": [1, 1], "auc": [0.9, 0.9]}.items():
        logged = client(endpoint).get_metric_history(series.info.run_id, name)
        assert [(metric.step, metric.value) for metric in logged] == [
            ((day - date(2000, 1, 1)).days, value) for day, value in zip((FIRST, NEXT), values, strict=True)
        ]


def test_a_failed_training_moves_the_frontier(lake: Lake, endpoint: Endpoint):
    planted.promoted(endpoint, 1)
    planted.promote(NEXT, endpoint)
    assert log(lake)[-1] == (NEXT, "failed", None)
    assert open_ledger().frontier(promotion.STEP) == NEXT
    assert aliases(endpoint) == {"champion": "1"}


def test_neither_champion_nor_candidate_is_a_clear_error(lake: Lake, endpoint: Endpoint):
    with pytest.raises(promotion.NoModelError, match="return_model: training for 2017-11-30 failed"):
        planted.promote(FIRST, endpoint)
    assert open_ledger().frontier(promotion.STEP) is None


def test_a_later_day_waits_for_the_earlier_one(lake: Lake, endpoint: Endpoint):
    ledger = open_ledger()
    for day in (FIRST, NEXT, NEXT + timedelta(1)):
        ledger.close([day], day)
    planted.promoted(endpoint, 1)
    with pytest.raises(OutOfOrderError, match=str(NEXT)):
        planted.promote(NEXT + timedelta(1), endpoint)
    assert log(lake) == [(FIRST, "promoted", 1)]


def test_a_candidate_of_a_past_day_is_too_late_and_its_verdict_says_so(lake: Lake, endpoint: Endpoint):
    planted.promoted(endpoint, 1)
    earlier = FIRST - timedelta(2)
    late = planted.train(endpoint, earlier, Planted(noise=0, noise_of_young=0))
    verdict = planted.promote(earlier, endpoint)
    assert verdict.startswith("none: too late: 2017-11-30 is decided already")
    assert promotion.decided(lake, open_ledger(), MODEL, earlier)["verdict"] == verdict  # type: ignore[index]
    assert client(endpoint).get_model_version(MODEL, str(late)).tags["reason"] in verdict
    assert (log(lake), aliases(endpoint)) == ([(FIRST, "promoted", 1)], {"champion": "1"})
