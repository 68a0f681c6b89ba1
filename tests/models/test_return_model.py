from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from perennial.models import return_model
from perennial.models.return_model import Fit
from perennial.models.settings import ReturnModelSettings, return_model_settings
from perennial.models.training_cases import GROUPED_BY, TrainingCases
from tests.models.test_order_hazard_network import customers

SHARES = (0.5, 0.6, 0.7, 0.8, 0.9)
"""Of the customers that came back, in windows newest first; the customers look the same in all."""


@pytest.fixture(scope="module")
def chosen() -> ReturnModelSettings:
    found = return_model_settings()
    quick = found.rhythm.model_copy(update={"epochs": 1})
    return found.model_copy(update={"rhythm": quick, "level_carried": 1.0})


@pytest.fixture(scope="module")
def windows() -> list[TrainingCases]:
    random = np.random.default_rng(0)
    rows = customers({f"c{i:03}": (int(gap), 1) for i, gap in enumerate(random.integers(2, 25, 300))})
    for name in GROUPED_BY:
        rows = rows.append_column(name, pa.nulls(rows.num_rows, pa.string()))
    return [
        TrainingCases(rows, (random.random((300, 3)) < share) * 1.0, np.full(300, 10.0)) for share in SHARES
    ]


def fit(windows: list[TrainingCases], chosen: ReturnModelSettings) -> Fit:
    return return_model.fit(windows, windows[0].rows, chosen)


def test_the_level_goes_on_falling_as_it_fell_in_the_rehearsals(
    windows: list[TrainingCases], chosen: ReturnModelSettings
):
    # On average 0.75, 0.8 and 0.85 came back before the three newest windows, in which 0.5, 0.6 and 0.7 did.
    assert fit(windows, chosen).level == pytest.approx([-0.99] * 3, abs=0.2)
    unrehearsed = chosen.model_copy(update={"rehearsals": 0})
    assert fit(windows, unrehearsed).level.tolist() == [0, 0, 0]


def test_a_single_window_leaves_nothing_to_rehearse_on(
    windows: list[TrainingCases], chosen: ReturnModelSettings
):
    assert fit(windows[:1], chosen).level.tolist() == [0, 0, 0]


def test_the_parts_have_their_shares_in_the_blend(windows: list[TrainingCases], chosen: ReturnModelSettings):
    found = fit(windows, chosen.model_copy(update={"rehearsals": 0}))
    read = found.read(windows[0].rows)
    sooner = [said[:, 0] for said in found.by_part(read).values()]
    trees, deep_trees, followed = (np.log(said / (1 - said)) for said in sooner)
    blended = 0.35 * trees + 0.35 * deep_trees + 0.3 * followed
    np.testing.assert_allclose(found.returns(read)[:, 0], 1 / (1 + np.exp(-blended)), rtol=1e-9)


def test_shares_that_do_not_add_up_are_refused(chosen: ReturnModelSettings):
    given = chosen.model_dump()
    given["trees"]["share"] = 0.5
    with pytest.raises(ValueError, match=r"must add up to 1, not 1\.15"):
        ReturnModelSettings(**given)


def test_a_saved_fit_says_the_same(windows: list[TrainingCases], chosen: ReturnModelSettings, tmp_path: Path):
    found, rows = fit(windows[:2], chosen), windows[0].rows
    found.save(tmp_path)
    np.testing.assert_array_equal(Fit.load(tmp_path).answers(rows), found.answers(rows))
