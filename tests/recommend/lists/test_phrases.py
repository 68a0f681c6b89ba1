from pathlib import Path

import pyarrow as pa
import pytest

from perennial.foundation.config import ConfigError, load
from perennial.foundation.settings import settings
from perennial.recommend.lists.phrases import Languages, languages


def test_everybody_is_spoken_to_in_their_language_and_strangers_in_the_first():
    spoken = languages()
    names = list(spoken.root)
    found = spoken.of(pa.array(["de-AT", "DE", "de_DE", "en-US", "fr", None], pa.string()))
    assert [names[place] for place in found] == ["de", "de", "de", "en", "en", "en"]


def test_one_and_many_are_told_apart():
    english, german = languages()[0], languages()[1]
    assert english.repeat(1, 0, None) == "you bought this once, last today"
    assert english.repeat(2, 1, None) == "you bought this 2 times, last 1 day ago"
    assert english.repeat(5, 30, 1) == "you buy this every day, last 30 days ago"
    assert english.repeat(5, 3, 12) == "you buy this about every 12 days, last 3 days ago"
    assert german.repeat(5, 1, 12) == "Sie kaufen das etwa alle 12 Tage, zuletzt vor 1 Tag"
    assert german.popular(1) == "von 1 Kunden in den letzten 28 Tagen gekauft"


def test_a_sentence_without_its_braces_or_with_others_is_refused(tmp_path: Path):
    whole = (settings().config / "reasons.yaml").read_text()
    for right, wrong, said in (
        (
            '"like {item}, which',
            '"like it, which',
            "content: {item} is meant to be in it; found 'like it, which",
        ),
        ("today: today", "today: 'today {n}'", "today: nothing in braces is meant to be in it"),
        ("last {ago}", "last {when}", "regular: {ago} and {every} is meant to be in it"),
        ("{n} days ago", "{m} days ago", "days_ago: {n} is meant to be in it"),
    ):
        (tmp_path / "reasons.yaml").write_text(whole.replace(right, wrong))
        with pytest.raises(ConfigError) as caught:
            load("reasons", Languages, tmp_path)
        assert said in str(caught.value)
    (tmp_path / "reasons.yaml").write_text("{}")
    with pytest.raises(ConfigError, match="at least 1"):
        load("reasons", Languages, tmp_path)


def test_without_a_sentence_of_its_own_the_sequence_speaks_as_item_neighbours(tmp_path: Path):
    assert languages()[0].like("sequence", "ale") == "often bought after ale"
    whole = (settings().config / "reasons.yaml").read_text()
    lines = [line for line in whole.splitlines() if not line.startswith("  sequence:")]
    (tmp_path / "reasons.yaml").write_text("\n".join(lines))
    english, german = load("reasons", Languages, tmp_path).root.values()
    assert english.like("sequence", "ale") == "often bought with ale"
    assert german.like("sequence", "Bier") == "oft zusammen gekauft mit Bier"
