from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perennial.foundation import neighbours
from perennial.foundation.neighbours import nearest


@pytest.fixture(params=["bfloat16", "float32"])
def precision(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(neighbours, "_precision", lambda device: getattr(torch, request.param))
    return request.param


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {"_QUERIES": 16, "_ROWS": 64, "_GROUP": 8, "_HELD": 150, "_WAITING": 300, "_GATHERED": 50}
    for name, size in sizes.items():
        monkeypatch.setattr(neighbours, name, size)


def vectors(count: int, width: int = 24, seed: int = 0) -> np.ndarray:
    """Clusters of vectors that bfloat16 hardly tells apart, and many that are equal."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(9, width))[rng.integers(0, 9, count)]
    made = centres + rng.choice([0, 1e-4, 0.1], (count, 1)) * rng.normal(size=(count, width))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def brute_force(
    queries: np.ndarray, base: np.ndarray, k: int, closed: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    scores = (queries.astype(np.float64) @ base.astype(np.float64).T).astype(np.float32)
    if closed is not None:
        scores[closed] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(scores, order, 1)


@pytest.mark.usefixtures("precision", "small_blocks")
@pytest.mark.parametrize(("queries", "rows", "k"), [(40, 1000, 5), (16, 64, 1), (3, 151, 40), (70, 7, 7)])
def test_neighbours_are_those_of_brute_force_and_of_equals_the_first(queries: int, rows: int, k: int):
    asked, base = vectors(queries, seed=1), vectors(rows)
    found = nearest(asked, base, k)
    expected, scores = brute_force(asked, base, k)
    assert np.array_equal(found.rows, expected)
    assert np.array_equal(found.scores, scores)
    assert (found.rows.dtype, found.scores.dtype) == (np.int64, np.float32)


@pytest.mark.usefixtures("precision")
def test_lengths_need_not_be_one_and_blocks_do_not_show():
    rng = np.random.default_rng(0)
    base = vectors(9000, 8) * rng.choice([0, 1e-3, 1, 50], (9000, 1)).astype(np.float32)
    asked = vectors(600, 8, seed=1) * np.float32(3)
    assert np.array_equal(nearest(asked, base, 12).rows, brute_force(asked, base, 12)[0])


@pytest.mark.usefixtures("precision")
def test_what_rounding_makes_look_alike_is_told_apart():
    rng = np.random.default_rng(0)
    asked, base = vectors(5, 64), rng.normal(size=(20_000, 64)).astype(np.float32) / 64
    alike = rng.permutation(20_000)[:150]
    base[alike] = asked[rng.integers(0, 5, 150)] + rng.normal(0, 1e-3, (150, 64)).astype(np.float32)
    assert np.array_equal(nearest(asked, base, 20).rows, brute_force(asked, base, 20)[0])


@pytest.mark.usefixtures("precision", "small_blocks")
@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_an_item_is_not_its_own_neighbour_and_what_is_closed_is_nobodys(spread: float):
    base = vectors(400) + np.random.default_rng(1).normal(0, spread, (400, 24)).astype(np.float32)
    own, allowed = np.r_[np.arange(0, 300, 3), -1], np.arange(400) % 3 < 2
    asked = np.vstack([base[own[:-1]], base[:1]])
    closed = np.broadcast_to(~allowed, (101, 400)).copy()
    closed[np.arange(100), own[:-1]] = True
    for k in (1, 9):
        found = nearest(asked, base, k, own=own, allowed=allowed)
        assert np.array_equal(found.rows, brute_force(asked, base, k, closed)[0])


def test_where_there_are_too_few_rows_minus_one_fills_up():
    base = np.eye(3, dtype=np.float32)
    found = nearest(base, base, 3, own=np.arange(3), allowed=np.array([True, True, False]))
    assert found.rows.tolist() == [[1, -1, -1], [0, -1, -1], [0, 1, -1]]
    assert found.scores[:, 1:].tolist() == [[-np.inf] * 2, [-np.inf] * 2, [0, -np.inf]]
    assert nearest(base, base[:0], 2).rows.tolist() == [[-1, -1]] * 3
    assert nearest(base[:0], base, 2).rows.shape == (0, 2)


def test_the_base_may_lie_in_a_file(tmp_path: Path):
    base = vectors(500)
    np.save(tmp_path / "base.npy", base)
    held = np.load(tmp_path / "base.npy", mmap_mode="r")
    assert np.array_equal(nearest(base[:5], held, 3).rows, nearest(base[:5], base, 3).rows)


def test_vectors_that_cannot_be_compared_are_refused():
    base = vectors(10)
    with pytest.raises(ValueError, match="queries are 3 wide, the base 24"):
        nearest(base[:, :3], base, 1)
    broken = base.copy()
    broken[4, 2] = np.nan
    with pytest.raises(ValueError, match="finite"):
        nearest(base, broken, 1)


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 7, 384]), st.sampled_from(["bfloat16", "float32"]))
def test_no_quick_score_is_further_off_than_the_bound(seed: int, width: int, precision: str):
    rng = np.random.default_rng(seed)
    queries, base = (rng.normal(size=(8, width)).astype(np.float32) for _ in range(2))
    base *= np.float32(10.0) ** rng.integers(-3, 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "_precision", lambda device: getattr(torch, precision))
        asked, held = (neighbours._rounded(one, np.arange(8)) for one in (queries, base))
    quick = (asked.vectors @ held.vectors.T)[:8, :8].double().numpy()
    exact = queries.astype(np.float64) @ base.astype(np.float64).T
    assert (np.abs(quick - exact) <= neighbours._bound(asked, held).numpy()[:, None]).all()
