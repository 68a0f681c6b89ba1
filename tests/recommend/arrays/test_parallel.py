import threading
import time

import numpy as np
import pytest

from perennial.foundation.settings import settings
from perennial.recommend.arrays import parallel


@pytest.mark.parametrize("threads", ["1", "3"])
def test_blocks_come_in_order_and_only_a_few_are_under_way(monkeypatch: pytest.MonkeyPatch, threads: str):
    monkeypatch.setenv("PERENNIAL_THREADS", threads)
    monkeypatch.setattr(parallel, "BLOCK_SIZE", 10)
    settings.cache_clear()
    begun, names = [], set()

    def work(rows: np.ndarray) -> list[int]:
        begun.append(rows[0])
        names.add(threading.current_thread().name)
        time.sleep(0.02 if rows[0] % 20 else 0.001)
        return rows.tolist()

    found = []
    for block in parallel.map_blocks(95, work):
        found += block
        assert len(begun) <= len(found) / 10 + int(threads) + 1
    assert found == list(range(95))
    assert len(names) <= int(threads)
    settings.cache_clear()


def test_what_fails_in_a_block_fails_as_it_is():
    def work(rows: np.ndarray) -> None:
        raise ValueError(f"row {rows[0]}")

    with pytest.raises(ValueError, match="row 0"):
        list(parallel.map_blocks(1000, work))
    assert list(parallel.map_blocks(0, work)) == []
