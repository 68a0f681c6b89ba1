from pathlib import Path

import pytest
import yaml

from perennial.foundation.config import ConfigError
from perennial.foundation.settings import settings
from perennial.recommend.settings import RecommenderSettings, recommender_settings


def test_candidates_of_a_source_that_is_not_there_are_refused_with_those_that_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    chosen = yaml.safe_load((settings().config / "models.yaml").read_text())
    monkeypatch.setenv("PERENNIAL_CONFIG", str(tmp_path))
    settings.cache_clear()
    for name, sentence in {
        "tastes_8_days": "found 'tastes_8_days'; allowed are .*, tastes_7_days, .*, popularity",
        "sequence": r"found 'sequence' \(sequence is null: off\); allowed are",
    }.items():
        chosen["recommender"]["candidates"] = {"popularity": 1, name: 2}
        (tmp_path / "models.yaml").write_text(yaml.safe_dump(chosen))
        with pytest.raises(ConfigError, match=f"models.yaml: recommender: .*candidates: {sentence}"):
            recommender_settings()
    chosen["recommender"]["sequence"] = {"seconds": 5}
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(chosen))
    assert "sequence" in recommender_settings().score_names
    settings.cache_clear()


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (("content", "habits"), "content"),
        (("sequence",), "sequence"),
        (("needs_text",), "needs_text"),
        (("a", "a_ever"), "a_ever"),
    ],
)
def test_a_model_of_item_neighbours_may_not_take_the_name_of_another_score(
    names: tuple[str, ...], taken: str
):
    written = recommender_settings().model_dump()
    model = written["item_neighbours"]["habits"]
    written |= {"item_neighbours": dict.fromkeys(names, model), "candidates": {"popularity": 1}}
    with pytest.raises(
        ValueError, match=f"item_neighbours: '{taken}' names another score too; allowed is any"
    ):
        RecommenderSettings.model_validate(written)


@pytest.mark.parametrize("name", ["a/b", "../x", "a b", "", "A", "x" * 41, "nul\0"])
def test_the_name_of_a_model_of_item_neighbours_is_fit_for_a_file(name: str):
    written = recommender_settings().model_dump()
    written |= {
        "item_neighbours": {name: written["item_neighbours"]["habits"]},
        "candidates": {"popularity": 1},
    }
    with pytest.raises(ValueError, match="item_neighbours"):
        RecommenderSettings.model_validate(written)
