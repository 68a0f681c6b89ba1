"""Which items may be shown to whom, and which together: the shop's own rules, from names to arrays.

    eligibility:
      never: [{category: Fuel}, {brand: Acme, category: Toys}]
      adults_only: [{category: Spirits}]        # to customers whose age band is known to begin at adult_age
      bought_for_good:                          # nothing of the kind, or not the same item, for so many days
        - {category: Appliances > Fridges, days: 3650}
        - {category: Books, days: 3650, again: other items}
      apart: [[{category: Infant formula}, {category: Spirits}]]       # never in one list
      most: {category: [10, 5, 2], brand: 4}    # of one list, for each category of a level and each brand

Items are meant by category (a path from the top, or the name of any level), brand and item; all that is given
must hold. A name that no item of the catalogue has is an error, so that a slip of the pen does not let
through what it should keep out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from perennial.foundation.arrays import BoolArray, Int32Array, IntArray, StringArray
from perennial.foundation.config import ConfigError
from perennial.recommend.data.catalogue import Catalogue
from perennial.recommend.data.history import PurchaseHistory
from perennial.recommend.settings import LEVELS, Again, EligibilitySettings, ItemSelector

_WHERE = "models.yaml: recommender.eligibility"
_CLOSE = 3
NO_LIMIT = 1_000_000
_BEGINS_AT = r"^\s*(?P<age>\d{1,3})\s*(?:$|\+|[-–]\s*\d|to\s+\d|(?:and|or) (?:over|older|above|more))"


@dataclass(frozen=True)
class EligibilityRules:
    """The same over the items of a catalogue; every array of flags has shape (items,).

    Args:
        allowed: may it be shown to anybody.
        adults_only: only to adults.
        for_good: the items of each such rule, for how many days, and what of them may be shown again.
        apart: two kinds of items that never share a list.
        most: code of each item (−1 for none, shape (items,)) and how many of a code one list may hold.
    """

    allowed: BoolArray
    adults_only: BoolArray
    for_good: tuple[tuple[BoolArray, int, Again], ...]
    apart: tuple[tuple[BoolArray, BoolArray], ...]
    most: tuple[tuple[Int32Array, int], ...]

    @classmethod
    def of(cls, chosen: EligibilitySettings, catalogue: Catalogue, available: BoolArray) -> Self:
        """The rules of the settings, which `check_names` has passed, over a catalogue."""
        codes = (*catalogue.levels.T, catalogue.brands)
        limits = (*chosen.most.category, *[None] * (LEVELS - len(chosen.most.category)), chosen.most.brand)
        return cls(
            allowed=available & ~_either([_meant(one, catalogue) for one in chosen.never], len(catalogue)),
            adults_only=_either([_meant(one, catalogue) for one in chosen.adults_only], len(catalogue)),
            for_good=tuple((_meant(one, catalogue), one.days, one.again) for one in chosen.bought_for_good),
            apart=tuple((_meant(one, catalogue), _meant(other, catalogue)) for one, other in chosen.apart),
            most=tuple((code, most) for code, most in zip(codes, limits, strict=True) if most is not None),
        )

    def eligible(
        self, rows: IntArray, items: IntArray, history: PurchaseHistory, adult: BoolArray
    ) -> BoolArray:
        """May the item be shown to the customer? Shape (n,).

        Args:
            rows: row of the customer in the block, shape (n,).
            items: row of the item in the catalogue, shape (n,).
            history: what the customers of the block bought.
            adult: which of them are known to be adults, shape (customers,).
        """
        found = self.allowed[items] & (adult[rows] | ~self.adults_only[items])
        lasting = _either([wares for wares, *_ in self.for_good], len(self.allowed))
        lines, pairs = np.flatnonzero(lasting[history.items]), np.flatnonzero(lasting[items])
        owners, owned, ages = history.customers[lines], history.items[lines], history.ages[lines]
        rows, items = rows[pairs], items[pairs]
        for wares, days, again in self.for_good:
            still = np.flatnonzero(wares[owned] & (ages < days))
            asked = np.flatnonzero(wares[items])
            if again is Again.NOTHING:
                owns = np.zeros(len(history), bool)
                owns[owners[still]] = True
                refused = owns[rows[asked]]
            else:
                keys = owners[still].astype(np.int64) * history.width + owned[still]
                refused = np.isin(rows[asked] * history.width + items[asked], keys)
            found[pairs[asked[refused]]] = False
        return found

    def room(self, listed: IntArray, rows: IntArray, items: IntArray) -> IntArray:
        """How many items like this one a list can still take, `NO_LIMIT` at most; shape (n,).

        Of items that rule others out, one.

        Args:
            listed: the items of each customer's list, −1 for none, shape (customers, k).
            rows: row of the customer whose list it is, shape (n,).
            items: row of the item in the catalogue, shape (n,).
        """
        found = np.full(len(rows), NO_LIMIT)
        for codes, most in self.most:
            held, code = np.where(listed >= 0, codes[listed], -1), codes[items]
            left = most - (held[rows] == code[:, None]).sum(axis=1)
            found = np.where(code >= 0, np.minimum(found, left), found)
        for pair in self.apart:
            for one, other in (pair, pair[::-1]):
                ruled_out = np.any((listed >= 0) & other[listed], axis=1)
                found = np.where(one[items], np.minimum(found, ~ruled_out[rows]), found)
        return found


def check_names(chosen: EligibilitySettings, catalogue: Catalogue) -> None:
    """Do the rules mean anything?

    Raises:
        ConfigError: a name that no item of the catalogue has; it says which and what comes close to it.
    """
    if unknown := list(_unknown(chosen, catalogue)):
        raise ConfigError("\n".join(unknown))


def known_adults(bands: pa.Array | pa.ChunkedArray, adult_age: int) -> BoolArray:
    """Who is known to be an adult: an age band that begins at that age or later (`19-24`, `65+`, `34`).

    A missing band says nothing, nor does one without a lower end (`under 25`).
    """
    begins = pc.struct_field(pc.extract_regex(bands.cast(pa.string()), _BEGINS_AT), "age")
    known = pc.greater_equal(begins.cast(pa.int64()), adult_age)
    return pc.fill_null(known, False).to_numpy(zero_copy_only=False)


def _either(flags: Sequence[BoolArray], size: int) -> BoolArray:
    """What is in any of several kinds of items."""
    return np.logical_or.reduce([np.zeros(size, bool), *flags])


def _meant(wares: ItemSelector, catalogue: Catalogue) -> BoolArray:
    """The items of the catalogue that are meant."""
    found = np.ones(len(catalogue), bool)
    if wares.category is not None:
        among = [
            np.append(_called(names, wares.category), False)[codes]
            for codes, names in zip(catalogue.levels.T, catalogue.level_names, strict=True)
        ]
        found &= np.any(among, axis=0)
    if wares.brand is not None:
        found &= np.append(np.equal(catalogue.brand_names, wares.brand), False)[catalogue.brands]
    if wares.item is not None:
        found &= catalogue.item_ids == wares.item
    return found


def _called(paths: StringArray, name: str) -> BoolArray:
    """Which paths are this one, or end in this name."""
    return np.array([path == name or path.rsplit(" > ", 1)[-1] == name for path in paths], bool)


def _unknown(chosen: EligibilitySettings, catalogue: Catalogue) -> Iterator[str]:
    """A sentence for each name that no item has, and for each rule that no item meets."""
    paths = {path for names in catalogue.level_names for path in names}
    held = {
        "category": paths | {path.rsplit(" > ", 1)[-1] for path in paths},
        "brand": set(catalogue.brand_names),
        "item": set(catalogue.item_ids),
    }
    for place, wares in _placed(chosen):
        named = {key: getattr(wares, key) for key in held if getattr(wares, key) is not None}
        strange = [key for key, name in named.items() if name not in held[key]]
        for key in strange:
            close = get_close_matches(named[key], held[key], _CLOSE)
            hint = f"close to it: {', '.join(map(repr, close))}" if close else "nothing comes close to it"
            yield f"{_WHERE}.{place}.{key}: no item has this {key}; found {named[key]!r}, {hint}"
        if not strange and not _meant(wares, catalogue).any():
            yield f"{_WHERE}.{place}: no item is all of it; found {named}"


def _placed(chosen: EligibilitySettings) -> Iterator[tuple[str, ItemSelector]]:
    """All items that are meant anywhere, with their place in the file."""
    for key in ("never", "adults_only", "bought_for_good"):
        yield from ((f"{key}.{number}", one) for number, one in enumerate(getattr(chosen, key)))
    for number, pair in enumerate(chosen.apart):
        yield from ((f"apart.{number}.{side}", one) for side, one in enumerate(pair))
