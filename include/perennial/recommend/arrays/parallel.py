"""Work on many customers block by block, several blocks at a time."""

import ctypes
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from perennial.foundation.arrays import IntArray
from perennial.foundation.settings import settings

BLOCK_SIZE = 640
"""Customers of a block at most: enough to be worth the calls, few enough to stay close to the processor."""
_TRIMMED_AFTER = 8
"""So many blocks; less often, freed memory has piled up by then."""
Result = TypeVar("Result")


def map_blocks(customers: int, work: Callable[[IntArray], Result]) -> Iterator[Result]:
    """Work on each block of customers; the results in order, few of them in memory at a time.

    NumPy, torch and LightGBM let go of the interpreter while they compute, so threads are enough. Matrix
    products get one thread each meanwhile: more would only wait for one another.

    Args:
        customers: how many there are.
        work: from rows of customers; several threads call it at once, unless there is only one block.
    """
    if customers <= BLOCK_SIZE:
        yield from map(work, [np.arange(customers)] if customers else [])
        return
    # Equal blocks, and an even number of them: two threads have as much to do.
    blocks = np.array_split(np.arange(customers), 2 * -(-customers // (2 * BLOCK_SIZE)))
    threads = min(settings().threads, len(blocks))
    alone = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    waiting: deque[Future[Result]] = deque()
    with threadpool_limits(1, "blas"), alone as pool:
        for number, rows in enumerate(blocks, 1):
            waiting.append(pool.submit(work, rows))
            if len(waiting) > threads:
                yield waiting.popleft().result()
            if number % _TRIMMED_AFTER == 0:
                _give_back()
        while waiting:
            yield waiting.popleft().result()
    _give_back()


def _give_back() -> None:
    """Return freed memory to the system; left alone, glibc keeps more of it with every thousand customers."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
