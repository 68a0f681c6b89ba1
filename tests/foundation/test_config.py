from pathlib import Path

import pytest
from pydantic import Field

from perennial.foundation.config import ConfigError, Part, load


class Shop(Part):
    name: str
    share: float = Field(ge=0, le=1)


def write(folder: Path, text: str) -> Path:
    (folder / "shop.yaml").write_text(text)
    return folder


def test_a_good_file_becomes_its_model(tmp_path: Path):
    assert load("shop", Shop, write(tmp_path, "name: Corner\nshare: 0.1")) == Shop(name="Corner", share=0.1)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name: Corner\nshare: 7", r"shop\.yaml: share: .*less than or equal to 1; found 7"),
        ("name: Corner\nshare: 0.1\ncolour: red", r"shop\.yaml: colour: .*found 'red'"),
        ("share: 0.1", r"shop\.yaml: name: Field required"),
        ("name: [", r"shop\.yaml: not YAML: line 1, column 8: while parsing a flow node"),
        ("name:\n\ta", r"line 2, column 1: while scanning for the next token found character '\\t'"),
        ("", r"shop\.yaml: name: Field required"),
    ],
)
def test_nonsense_is_refused_with_file_key_and_what_was_found(tmp_path: Path, text: str, sentence: str):
    with pytest.raises(ConfigError, match=sentence):
        load("shop", Shop, write(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"shop\.yaml: there is no such file"):
        load("shop", Shop, tmp_path)
