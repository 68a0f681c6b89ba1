from pathlib import Path

import pytest

from tests.acceptance.ingest_fuzz import KEY, Bench
from tests.acceptance.ingest_fuzz_inputs import inputs
from tests.conftest import forget

EVERY = 23


def test_a_bad_landing_is_accounted_for_or_stopped_with_one_clear_sentence(
    shop: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PERENNIAL_CONFIG", str(shop / "config"))
    monkeypatch.setenv("PERENNIAL_PSEUDONYM_KEY", KEY)
    forget()
    bench, few = Bench(shop), inputs()[::EVERY]
    assert len(few) >= 20
    outcomes = {bad.name: bench.attempt(bad) for bad in few}
    assert {name: outcome for name, outcome in outcomes.items() if outcome.wrong} == {}
    assert len({outcome.how for outcome in outcomes.values()}) > 2, "some of each kind"
