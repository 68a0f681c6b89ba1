"""What docs/bring-your-own-data.md shows of `sources.yaml` is what `sources.yaml` may say."""

import re
from pathlib import Path

import pytest
import yaml

from perennial.foundation import contracts
from perennial.ingestion.source_settings import Rules, Source, Sources, TableSettings

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "bring-your-own-data.md").read_text()
SHOWN = [
    yaml.safe_load(text) for text in re.findall(r"^```yaml.*?\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
]


@pytest.mark.parametrize("shown", SHOWN)
def test_every_example_is_allowed(shown: dict[str, object]):
    if "tables" in shown:
        assert Sources.model_validate(shown).tables
    elif "rules" in shown:
        assert TableSettings.model_validate(shown).rules != Rules()
    else:
        assert Source.model_validate(shown).columns


@pytest.mark.parametrize(
    ("model", "but"),
    [(Source, {"columns"}), (Rules, set()), (Sources, {"tables"})],
    ids=lambda found: str(found),
)
def test_every_key_is_documented(model: type, but: set[str]):
    assert not [
        name for name in model.model_fields if name not in but and not re.search(rf"\b{name}\b", GUIDE)
    ]


@pytest.mark.parametrize("table", contracts.LANDED_TABLES)
def test_every_table_is_documented_with_its_required_columns(table: str):
    (row,) = re.findall(rf"^\| `{table}` \|.*$", GUIDE, re.MULTILINE)
    stamped = {contracts.CONTRACTS[table].partition, "known_on"}
    for column in set(contracts.CONTRACTS[table].required) - stamped:
        assert column in row
