from datetime import date
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import ibis
import pyarrow as pa
import pytest
import yaml

from perennial.audience import rules
from perennial.audience.settings import campaign_settings
from perennial.demo.environment import CONFIG
from perennial.foundation.config import ConfigError, load

PEOPLE = ibis.memtable(
    pa.table(
        {
            "customer_id": ["ann", "bob", "cas"],
            "orders": pa.array([10, 3, 0], pa.int64()),
            "spend": pa.array([Decimal("100.50"), Decimal("20"), Decimal("0")], pa.decimal128(14, 4)),
            "p_return_28": pa.array([0.9, 0.4, None], pa.float64()),
            "life_cycle": ["active", "lapsed", "new"],
            "joined_on": [date(2017, 1, 1), date(2017, 6, 1), date(2017, 12, 1)],
            "consents": [["email"], [], ["push", "email"]],
            "categories": pa.array(
                [
                    [{"name": "GROCERY > CHEESE", "weight": 0.4}],
                    [{"name": "GROCERY", "weight": 0.2}],
                    [{"name": "GROCERY STORE", "weight": 1.0}],
                ],
                pa.list_(pa.struct([("name", pa.string()), ("weight", pa.float64())])),
            ),
        }
    )
)
WRONG = [
    ({"ordres": {"at_least": 1}}, ["no column 'ordres'", "orders", "p_return_28", "consents"]),
    ({"orders": {"at_leest": 1}}, ["who.orders", "no test 'at_leest'", "at_least"]),
    ({"orders": {"at_least": "six"}}, ["orders.at_least: found 'six'", "a number"]),
    ({"orders": {"contains": "x"}}, ["orders.contains", "orders is a number", "at_least"]),
    ({"orders": 6}, ["{at_least: 6}"]),
    ({"orders": {}}, ["orders: no test"]),
    ({"p_return_28": {"below": 70}}, ["p_return_28.below: found 70", "0 to 1"]),
    ({"life_cycle": {"in": ["lapsd"]}}, ["found 'lapsd'", "new, active, lapsing, lapsed, returned"]),
    ({"joined_on": {"at_least": 5}}, ["joined_on.at_least: found 5", "a date"]),
    ({"vector": {"is_missing": True}}, ["no column 'vector'"]),
    ({"known_on": {"is_missing": True}}, ["no column 'known_on'"]),
    ({"any": [{"not": {"consents": {"contains": "fax"}}}]}, ["who.any.0.not", "'fax'", "email, sms, push"]),
    ({}, ["an empty rule"]),
]


def rule(who: object) -> rules.Rule:
    return rules.Rule.model_validate(who)


def selected(who: object) -> set[str]:
    rows = PEOPLE.filter(rules.compile_rule(rule(who), PEOPLE))
    return set(rows.to_pyarrow()["customer_id"].to_pylist())


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        ({"orders": {"at_least": 3}}, {"ann", "bob"}),
        ({"orders": {"above": 3}}, {"ann"}),
        ({"orders": {"at_most": 3}}, {"bob", "cas"}),
        ({"orders": {"below": 3}}, {"cas"}),
        ({"orders": {"at_least": 1, "below": 10}}, {"bob"}),
        ({"orders": {"equals": 0}}, {"cas"}),
        ({"spend": {"at_least": 100.5}}, {"ann"}),
        ({"life_cycle": {"in": ["new", "lapsed"]}}, {"bob", "cas"}),
        ({"joined_on": {"at_least": date(2017, 6, 1)}}, {"bob", "cas"}),
        ({"consents": {"contains": "push"}}, {"cas"}),
        ({"p_return_28": {"is_missing": True}}, {"cas"}),
        ({"orders": {"at_least": 1}, "life_cycle": {"equals": "active"}}, {"ann"}),
        ({"all": [{"orders": {"at_least": 1}}, {"orders": {"at_most": 5}}]}, {"bob"}),
        ({"any": [{"orders": {"at_least": 10}}, {"orders": {"at_most": 0}}]}, {"ann", "cas"}),
        ({"not": {"orders": {"at_least": 3}}}, {"cas"}),
    ],
)
def test_a_rule_selects_the_customers_who_meet_it(who: dict, expected: set[str]):
    assert selected(who) == expected


def test_contains_matches_the_beginning_of_a_path_but_not_part_of_a_word():
    assert selected({"categories": {"contains": "GROCERY"}}) == {"ann", "bob"}


def test_a_missing_value_fails_a_test_and_passes_its_opposite():
    assert selected({"p_return_28": {"below": 0.95}}) == {"ann", "bob"}
    assert selected({"not": {"p_return_28": {"below": 0.95}}}) == {"cas"}


def test_rules_compile_for_spark(monkeypatch: pytest.MonkeyPatch):
    # Ibis registers this option with its PySpark backend, which is not installed here.
    options = SimpleNamespace(pyspark=SimpleNamespace(treat_nan_as_null=False))
    monkeypatch.setattr("ibis.backends.sql.compilers.pyspark.options", options)
    table = ibis.table(PEOPLE.schema(), name="people")
    who = {"categories": {"contains": "GROCERY"}, "consents": {"contains": "email"}, "spend": {"above": 1}}
    expression = table.filter(rules.compile_rule(rule(who), table))
    assert "SELECT" in ibis.to_sql(expression, dialect="pyspark")


@pytest.mark.parametrize(("who", "expected"), WRONG)
def test_the_error_of_a_wrong_rule_names_file_audience_key_and_allowed_values(
    tmp_path: Path, who: dict, expected: list[str]
):
    text = yaml.safe_dump({"audiences": {"slipping": {"description": "d", "who": who}}})
    (tmp_path / "audiences.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        load("audiences", rules.Audiences, tmp_path)
    for part in ["audiences.yaml", "audiences.slipping.who", *expected]:
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "audience: slipping_regulars",
            "audience: sliping",
            ["keep_regulars.audience", "'sliping'", "lapsed"],
        ),
        ("ends_on: 2017-12-17", "ends_on: 2017-11-17", ["ends_on 2017-11-17 is before starts_on 2017-12-01"]),
        ("measured_until: 2017-12-31", "measured_until: 2017-12-16", ["measured_until 2017-12-16 is before"]),
        ("    holdout: 0.10", "    holdout: 10", ["keep_regulars.holdout", "0.9", "10"]),
        ("share: 0.10", "share: 1.1", ["global_holdout.share"]),
        ("[email, push]", "[fax]", ["channels.0", "'email', 'sms' or 'push'"]),
        ("priority: 1", "prioritty: 1", ["prioritty"]),
        ("  keep_regulars:", "  Keep Regulars!:", ["Keep Regulars!"]),
    ],
)
def test_the_error_of_a_wrong_campaign_names_file_and_key(
    shop: Path, old: str, new: str, expected: list[str]
):
    (shop / "audiences.yaml").write_text((CONFIG / "audiences.yaml").read_text())
    text = (CONFIG / "campaigns.yaml").read_text()
    assert old in text
    (shop / "campaigns.yaml").write_text(text.replace(old, new))
    with pytest.raises(ConfigError) as error:
        campaign_settings(shop)
    for part in ["campaigns.yaml", *expected]:
        assert part in str(error.value)


def test_the_demos_files_are_valid():
    settings = campaign_settings(CONFIG)
    assert "slipping_regulars" in settings.audiences.audiences
    assert settings.campaigns.global_holdout.share == 0.1
