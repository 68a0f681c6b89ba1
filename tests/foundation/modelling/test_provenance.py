import subprocess
import tomllib
from pathlib import Path

import pytest

import perennial
from perennial.foundation import contracts
from perennial.foundation.modelling import provenance

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def asked_anew():
    provenance.code_version.cache_clear()
    yield
    provenance.code_version.cache_clear()


def test_the_code_is_named_by_its_commit_where_there_is_one():
    asked = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    if asked.returncode:
        pytest.skip("this copy is no git work tree")
    assert provenance.code_version().removesuffix("-dirty") == asked.stdout.strip()


def test_without_git_it_is_named_by_the_packages_version(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    assert provenance.code_version() == f"perennial {perennial.__version__}"
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == perennial.__version__


def test_every_contract_can_be_described_as_columns_of_a_data_set():
    for contract in contracts.CONTRACTS.values():
        told = provenance.columns(contract.schema)
        assert [one["name"] for one in told] == contract.schema.names
        assert [one["name"] for one in told if one["required"]] == list(contract.required)
    (weights,) = provenance.columns(contracts.PROFILES.schema.empty_table().select(["categories"]).schema)
    assert weights["items"]["properties"]["weight"] == {"type": "double", "required": False}
