"""A day of a small shop is decided exactly once, also when the step is killed."""

import hashlib
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from perennial.audience import pipeline
from perennial.audience.pipeline import DecisionError
from perennial.foundation import contracts, settings
from perennial.foundation.contracts import Contract
from perennial.foundation.lake import Lake
from perennial.foundation.ledger import OutOfOrderError, open_ledger

FIRST = date(2017, 12, 1)
SECOND = FIRST + timedelta(days=1)
THIRD = FIRST + timedelta(days=2)
AUDIENCES = {"audiences": {"slipping": {"description": "d", "who": {"p_return_28": {"below": 0.5}}}}}
CAMPAIGN = {
    "name": "Stay",
    "description": "d",
    "audience": "slipping",
    "starts_on": FIRST,
    "ends_on": THIRD,
    "measured_until": THIRD,
    "holdout": 0.3,
    "channels": ["email"],
    "priority": 1,
}


@pytest.fixture(autouse=True)
def config(shop: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One audience and one campaign of ours; days are closed one after another."""
    monkeypatch.setenv("PERENNIAL_CONFIG", str(shop))
    settings.settings.cache_clear()
    (shop / "audiences.yaml").write_text(yaml.safe_dump(AUDIENCES))
    campaigns(shop, CAMPAIGN)
    return shop


def campaigns(folder: Path, *planned: dict, share: float = 0.2) -> None:
    by_id = {f"stay_{number}": campaign for number, campaign in enumerate(planned)}
    text = {"global_holdout": {"share": share, "salt": "s"}, "campaigns": by_id}
    (folder / "campaigns.yaml").write_text(yaml.safe_dump(text))


def score(lake: Lake, day: date, chances: dict[str, float]) -> None:
    """Profiles and scores of a day on which these customers exist."""
    open_ledger().close([day], day)
    for contract in (contracts.PROFILES, contracts.SCORES):
        rows = [filled(contract, day=day, customer_id=who, p_return_28=p) for who, p in chances.items()]
        lake.replace(contract.name, pa.Table.from_pylist(rows, contract.schema), day)


def filled(contract: Contract, **known: object) -> dict:
    """A row with a value in every column that must not be null."""
    row: dict = {}
    for field in contract.schema:
        kind = field.type
        if field.name in known or field.nullable:
            row[field.name] = known.get(field.name)
        elif pa.types.is_list(kind):
            row[field.name] = []
        else:
            row[field.name] = "active" if pa.types.is_string(kind) else FIRST if pa.types.is_date(kind) else 0
    return row


def arms(lake: Lake) -> dict[str, dict]:
    return {row["customer_id"]: row for row in lake.read("arms").to_pyarrow().to_pylist()}


def bytes_of(lake: Lake) -> dict[str, str]:
    """Every file of the once-only tables with its hash."""
    tables = [Path(lake.uri) / name for name in ("audiences", "campaign_log", "arms")]
    files = [path for table in tables for path in sorted(table.rglob("*")) if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


SLIPPING = {f"c{number}": 0.1 for number in range(60)}
SAFE = {f"s{number}": 0.9 for number in range(10)}


def test_a_day_is_decided_and_its_numbers_returned(lake: Lake):
    score(lake, FIRST, SLIPPING | SAFE)
    numbers = pipeline.decide(str(FIRST))
    assert numbers["slipping"] == 60
    assert sum(n for name, n in numbers.items() if name.startswith("stay_0/")) == 60
    assert {name for name in numbers if "/" in name} <= {"stay_0/treatment", "stay_0/holdout", "stay_0/none"}
    expected = {"treatment": 0.8 * 0.7, "holdout": 0.8 * 0.3, "none": 0.2}
    for row in arms(lake).values():
        assert row["propensity"] == pytest.approx(expected[row["arm"]])
        assert row["eligible_since"] == row["day"] == FIRST


def test_later_customers_get_an_arm_later_and_nobody_gets_two(lake: Lake):
    score(lake, FIRST, SLIPPING)
    pipeline.decide(str(FIRST))
    before = arms(lake)
    score(lake, SECOND, {**dict.fromkeys(SLIPPING, 0.9), "new": 0.2, "c1": 0.2})
    assert pipeline.decide(str(SECOND))["slipping"] == 2
    after = arms(lake)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"new"}
    assert after["new"]["eligible_since"] == SECOND


def test_deciding_a_past_day_again_writes_nothing(lake: Lake, config: Path):
    for day in (FIRST, SECOND):
        score(lake, day, SLIPPING)
        second = pipeline.decide(str(day))
    frozen, first = bytes_of(lake), pipeline.decide(str(FIRST))
    score(lake, FIRST, SLIPPING | {"late": 0.1})
    campaigns(config, CAMPAIGN | {"holdout": 0.9}, share=0.0)
    assert pipeline.decide(str(FIRST)) == first
    assert pipeline.decide(str(SECOND)) == second
    assert bytes_of(lake) == frozen


class Killed(BaseException):
    """Nothing catches it, like a kill."""


def dying(write: Callable[..., object], writes: int, done: list[str]) -> Callable[..., object]:
    """The same method of the lake; raises Killed after `writes` writes."""

    def counted_write(lake: Lake, name: str, *arguments: object) -> object:
        if len(done) == writes:
            raise Killed
        done.append(name)
        return write(lake, name, *arguments)

    return counted_write


@pytest.mark.parametrize("writes", [0, 1, 2, 3])
def test_a_day_killed_between_two_writes_ends_the_same(
    lake: Lake, config: Path, monkeypatch: pytest.MonkeyPatch, writes: int
):
    """The customers change between the attempts; the first attempt's records decide."""
    score(lake, FIRST, SLIPPING)
    campaigns(config, CAMPAIGN, CAMPAIGN | {"priority": 2})
    done: list[str] = []
    with monkeypatch.context() as patched:
        for name in ("create", "add"):
            patched.setattr(Lake, name, dying(getattr(Lake, name), writes, done))
        with pytest.raises(Killed):
            pipeline.decide(str(FIRST))
    assert open_ledger().frontier(pipeline.STEP) is None
    if writes:
        score(lake, FIRST, SAFE)
    pipeline.decide(str(FIRST))
    assert open_ledger().frontier(pipeline.STEP) == FIRST
    assert set(arms(lake)) == set(SLIPPING)
    assert lake.read("arms").count().execute() == 2 * len(SLIPPING)


def test_a_day_is_not_decided_before_the_day_before(lake: Lake):
    for day in (FIRST, SECOND, THIRD):
        score(lake, day, SLIPPING)
    pipeline.decide(str(FIRST))
    with pytest.raises(OutOfOrderError, match=str(SECOND)):
        pipeline.decide(str(THIRD))
    assert lake.days("audiences") == {FIRST}


def test_without_scores_nothing_is_decided(lake: Lake):
    score(lake, FIRST, SLIPPING)
    with pytest.raises(DecisionError, match="profiles of 2017-12-02 are missing; run build_profiles"):
        pipeline.decide(str(SECOND))
    assert lake.days("audiences") == set()


def test_no_customer_enters_a_campaign_that_is_not_running(lake: Lake, config: Path):
    campaigns(config, CAMPAIGN | {"starts_on": SECOND})
    score(lake, FIRST, SLIPPING)
    assert pipeline.decide(str(FIRST)) == {"slipping": 60}
    assert arms(lake) == {}


def test_our_campaign_may_not_have_the_id_of_a_shops_campaign(lake: Lake):
    row = filled(
        contracts.CAMPAIGNS, campaign_id="stay_0", origin="shop", valid_from=FIRST, known_on=FIRST, name="x"
    )
    lake.replace("campaigns", pa.Table.from_pylist([row], contracts.CAMPAIGNS.schema), FIRST)
    score(lake, FIRST, SLIPPING)
    with pytest.raises(DecisionError, match="stay_0"):
        pipeline.decide(str(FIRST))
