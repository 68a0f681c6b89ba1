"""Chance that keys decide: a hash takes the place of a random number, so that it can be repeated at any time.

The same keys give the same number on every machine, whoever else is drawn and in whatever order. No record of
the draw is needed to repeat it.
"""

from dataclasses import dataclass
from datetime import date
from hashlib import sha256

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.foundation.arrays import FloatArray, IntArray, StringArray

Keys = NDArray[np.uint64]
_BITS = 53
"""As many bits as a float holds exactly."""


def position(salt: str, name: str) -> float:
    """A number in [0, 1), uniform over names, that depends on nothing but the salt and the name (SHA-256).

    Campaigns that run depend on it: it must never change.
    """
    digest = sha256(f"{len(salt)}|{salt}|{name}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> (64 - _BITS)) / 2**_BITS


def keys(names: StringArray) -> Keys:
    """Names as numbers of 64 bits, the same on every machine."""
    return pd.util.hash_array(names)


@dataclass(frozen=True)
class KeyedChance:
    """Random numbers that a customer, an item and a day decide: many at once, where `position` is slow.

    Args:
        customers: `keys` of the customers of a block.
        items: `keys` of the items of the catalogue.
        day: the day.
    """

    customers: Keys
    items: Keys
    day: date

    def uniform(self, rows: IntArray, items: IntArray) -> FloatArray:
        """A number for each pair of a customer's row and an item's row, uniform in (0, 1), independent."""
        customers = _mixed(self.customers + np.uint64(self.day.toordinal()))
        bits = _mixed(customers[rows] ^ self.items[items]) >> np.uint64(64 - _BITS)
        return (bits.astype(np.float64) + 0.5) / 2.0**_BITS


def _mixed(numbers: Keys) -> Keys:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014): every bit decides over every other."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))
