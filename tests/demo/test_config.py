"""The default configuration does not mention the demo's grocery; the demo has its own files."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from perennial.audience.rules import Audiences
from perennial.audience.settings import Campaigns, campaign_settings
from perennial.demo.environment import CONFIG, State
from perennial.foundation.config import load
from perennial.foundation.embedding_spaces import EmbeddingSettings, embedding_settings
from perennial.foundation.lake.maintenance import Upkeep
from perennial.foundation.pages import ReportWords, report_words
from perennial.foundation.settings import DEFAULT_CONFIG, Settings, settings
from perennial.ingestion.source_settings import OCCURRENCE, Rules, Sources, read_sources
from perennial.models.settings import monitoring_settings, return_model_settings
from perennial.profiles.settings import ProfileSettings, profile_settings
from perennial.recommend.lists.phrases import Languages
from perennial.recommend.settings import recommender_settings

MODELS: dict[str, type[BaseModel]] = {
    "audiences": Audiences,
    "campaigns": Campaigns,
    "embeddings": EmbeddingSettings,
    "lake": Upkeep,
    "profiles": ProfileSettings,
    "reasons": Languages,
    "reports": ReportWords,
    "sources": Sources,
}
READERS: list[Callable[[], Any]] = [
    campaign_settings,
    embedding_settings,
    monitoring_settings,
    profile_settings,
    read_sources,
    recommender_settings,
    report_words,
    return_model_settings,
]
DEMO_WORDS = (
    *("fuel", "gasoline", "coupons?", "postal", "beer", "milk", "cheese", "soup", "grocery", "groceries"),
    *("food", "miscellaneous", "charitable", "spirits", "formula", "control/store"),
    *("2017", "complete journey", "84.51", "demo", "keep_regulars", "slipping_regulars"),
)


def read(folder: Path, name: str) -> dict[str, Any]:
    return yaml.safe_load((folder / f"{name}.yaml").read_text())


@pytest.mark.parametrize("file", sorted(DEFAULT_CONFIG.iterdir()), ids=lambda path: path.name)
def test_no_default_mentions_the_demos_grocery(file: Path):
    assert not re.findall(rf"(?i)\b(?:{'|'.join(DEMO_WORDS)})\b", file.read_text())


def test_the_defaults_suit_any_shop():
    settings = campaign_settings(DEFAULT_CONFIG)
    assert settings.audiences.audiences
    assert settings.campaigns.campaigns == {}
    assert read(DEFAULT_CONFIG, "models")["recommender"]["excluded_categories"] == []
    assert read(DEFAULT_CONFIG, "profiles")["preferences"]["left_out"] == []
    sources = load("sources", Sources, DEFAULT_CONFIG)
    assert sources.tables.keys() == OCCURRENCE.keys() - {"items"}, (
        "rows of a first load are known from the day they happened"
    )
    assert all(landed.rules == Rules() for landed in sources.tables.values())
    words = load("reports", ReportWords, DEFAULT_CONFIG)
    assert (words.currency, words.data_note) == ("", "")


def test_the_examples_in_the_comments_are_allowed(tmp_path: Path):
    texts = {
        name: (DEFAULT_CONFIG / f"{name}.yaml").read_text() for name in ("campaigns", "reports", "sources")
    }
    examples = {
        "campaigns": texts["campaigns"].replace("campaigns: {}", "").replace("# campaigns:", "campaigns:"),
        "reports": texts["reports"].replace("# data_note", "data_note"),
        "sources": re.sub("(?m)^# ?", "", texts["sources"].split("a normal day is:\n#\n")[1]),
    }
    examples["campaigns"] = re.sub("(?m)^# (?=  )", "", examples["campaigns"])
    for name, text in examples.items():
        (tmp_path / f"{name}.yaml").write_text(text)
        assert load(name, MODELS[name], tmp_path) != load(name, MODELS[name], DEFAULT_CONFIG)
    assert campaign_settings(tmp_path).campaigns.campaigns


@pytest.mark.parametrize("folder", [DEFAULT_CONFIG, CONFIG], ids=["defaults", "demo"])
def test_every_file_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch):
    for name, model in MODELS.items():
        load(name, model, folder)
    monkeypatch.setenv("PERENNIAL_CONFIG", str(folder))
    settings.cache_clear()
    try:
        for reader in READERS:
            reader()
    finally:
        settings.cache_clear()


def test_the_demo_has_only_files_that_differ():
    names = sorted(path.name for path in CONFIG.iterdir())
    assert names == [
        f"{name}.yaml" for name in ("audiences", "campaigns", "models", "profiles", "reports", "sources")
    ]
    assert all(read(CONFIG, name[:-5]) != read(DEFAULT_CONFIG, name[:-5]) for name in names)


@pytest.mark.parametrize(
    ("name", "section", "key"),
    [("models", "recommender", "excluded_categories"), ("profiles", "preferences", "left_out")],
)
def test_the_demos_copy_differs_in_one_key(name: str, section: str, key: str):
    ours, default = read(CONFIG, name), read(DEFAULT_CONFIG, name)
    assert ours[section].pop(key)
    default[section].pop(key)
    assert ours == default


def test_the_demos_servers_read_its_files_and_other_commands_the_shops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("PERENNIAL_CONFIG", raising=False)
    state = State(tmp_path)
    assert state.environment()["PERENNIAL_CONFIG"] == str(CONFIG)
    assert "PERENNIAL_CONFIG" not in state.settings()
    assert Settings().config == DEFAULT_CONFIG
    monkeypatch.setenv("PERENNIAL_CONFIG", "elsewhere")
    assert state.environment()["PERENNIAL_CONFIG"] == str(Path("elsewhere").resolve())
    assert "elsewhere" not in (tmp_path / "env").read_text()
