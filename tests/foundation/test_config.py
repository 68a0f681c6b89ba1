from pathlib import Path

import pytest
from pydantic import Field

from perennial.foundation.config import ConfigError, Part, load, path_of
from perennial.foundation.lake.maintenance import Upkeep
from perennial.foundation.pages import ReportWords
from perennial.foundation.settings import DEFAULT_CONFIG


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


def test_a_file_that_the_folder_lacks_is_read_from_the_defaults(tmp_path: Path):
    assert path_of("lake", tmp_path) == DEFAULT_CONFIG / "lake.yaml"
    (tmp_path / "lake.yaml").write_text("kept_days: -1\n")
    assert path_of("lake", tmp_path) == tmp_path / "lake.yaml"
    with pytest.raises(ConfigError, match=rf"^{tmp_path}/lake\.yaml: kept_days"):
        load("lake", Upkeep, tmp_path)


def test_a_folder_that_is_missing_is_not_taken_for_an_empty_one(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"nowhere: there is no such folder; PERENNIAL_CONFIG names it"):
        load("lake", Upkeep, tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["reprots.yaml", "reports.yml"])
def test_a_file_under_a_wrong_name_is_not_passed_over(tmp_path: Path, name: str):
    (tmp_path / name).write_text("shop: Corner\n")
    with pytest.raises(ConfigError, match=rf"{name}: nothing reads this file; allowed are .*reports\.yaml"):
        load("reports", ReportWords, tmp_path)


def test_a_hidden_file_of_an_editor_is_passed_over(tmp_path: Path):
    (tmp_path / ".#models.yaml").symlink_to("nobody@nowhere")
    (tmp_path / "._reports.yaml").write_text("no settings")
    assert path_of("reports", tmp_path) == DEFAULT_CONFIG / "reports.yaml"


def test_a_dangling_link_or_a_folder_in_place_of_a_file_is_refused(tmp_path: Path):
    (tmp_path / "reports.yaml").symlink_to(tmp_path / "gone.yaml")
    with pytest.raises(ConfigError, match=r"reports\.yaml: there is no such file"):
        load("reports", ReportWords, tmp_path)
    (tmp_path / "reports.yaml").unlink()
    (tmp_path / "reports.yaml").mkdir()
    with pytest.raises(ConfigError, match=r"reports\.yaml: cannot be read: Is a directory"):
        load("reports", ReportWords, tmp_path)
