"""The acceptance runs themselves: what they print, and that a shortfall shows."""

from pathlib import Path

import pyarrow as pa
import pytest

from perennial.foundation.lake import Lake
from tests.acceptance import __main__ as acceptance
from tests.acceptance.lines import at_most, none_of
from tests.content import differences


def test_a_line_names_figure_bar_and_verdict():
    assert str(at_most("day.make_run", 183.2, 480, "s")) == "ACCEPT day.make_run 183s <=480s ok"
    assert str(at_most("day.make_run", 500, 480, "s")).endswith(" short")
    assert str(none_of("day.pending", "keys", [])) == "ACCEPT day.pending 0_keys 0_keys ok"
    assert str(none_of("day.pending", "keys", ["a"])).endswith("1_keys(a) 0_keys short")


def test_an_unknown_case_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]):
    assert acceptance.main("nonsense") == 2
    assert "day.kills" in capsys.readouterr().out


def vectors(value: float) -> pa.Table:
    return pa.Table.from_pylist([{"encoder": "e", "text_hash": "h", "text": "t", "vector": [1.0, value]}])


def test_content_that_differs_is_found_and_content_within_tolerance_is_not(shop: Path):
    lakes = [Lake(str(shop / name)) for name in ("one", "two", "three", "four")]
    for lake, value in zip(lakes, (0.5, 0.5001, 0.9), strict=False):
        lake.add("item_embeddings", vectors(value))
    assert differences(lakes[0], lakes[1]) == []
    assert "item_embeddings.vector: 1 of 1 rows differ" in differences(lakes[0], lakes[2])[0]
    assert "1 and 0 rows" in differences(lakes[0], lakes[3])[0]
