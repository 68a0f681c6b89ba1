"""Which items may be shown to which customers, and which together: the shop's rules as arrays.

    eligibility:
      never: [{category: Fuel}, {brand: Acme, category: Toys}]
      adults_only: [{category: Spirits}]        # to customers whose age band is known to begin at adult_age
      bought_for_good:                          # nothing of the kind, or not the same item, for so many days
        - {category: Appliances > Fridges, days: 3650}
        - {category: Books, days: 3650, again: other items}
      apart: [[{category: Infant formula}, {category: Spirits}]]       # never in one list
      most: {category: [10, 5, 2], brand: 4}    # of one list, for each category of a level and each brand

Items are selected by category (a path from the top, or the name of any level), brand and item; all given
keys must hold. A name that no item of the catalogue has is an error, so that a misspelt rule does not let
items through.
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
    """The rules over the items of a catalogue; every array of flags has shape (items,).

    Args:
        allowed: may it be shown to anybody.
        adults_only: only to adults.
        for_good: the items of each such rule, for how many days, and what of them may be shown again.
        apart: pairs of items that are never in one list.
        most: code of each item (−1 for none, shape (items,)) and how many of a code one list may hold.
    """

    allowed: BoolArray
    adults_only: BoolArray
    for_good: tuple[tuple[BoolArray, int, Again], ...]
    apart: tuple[tuple[BoolArray, BoolArray], ...]
    most: tuple[tuple[Int32Array, int], ...]

    @classmethod
    def of(cls, settings: EligibilitySettings, catalogue: Catalogue, available: BoolArray) -> Self:
        """The rules of the settings, which `check_names` has passed, over a catalogue."""
        codes = (*catalogue.levels.T, catalogue.brands)
        limits = (
            *settings.most.category,
            *[None] * (LEVELS - len(settings.most.category)),
            settings.most.brand,
        )
        return cls(
            allowed=available
            & ~_any_of([_selected(selector, catalogue) for selector in settings.never], len(catalogue)),
            adults_only=_any_of(
                [_selected(selector, catalogue) for selector in settings.adults_only], len(catalogue)
            ),
            for_good=tuple(
                (_selected(selector, catalogue), selector.days, selector.again)
                for selector in settings.bought_for_good
            ),
            apart=tuple(
                (_selected(selector, catalogue), _selected(other, catalogue))
                for selector, other in settings.apart
            ),
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
        is_eligible = self.allowed[items] & (adult[rows] | ~self.adults_only[items])
        is_for_good = _any_of([is_selected for is_selected, *_ in self.for_good], len(self.allowed))
        lines, pairs = np.flatnonzero(is_for_good[history.items]), np.flatnonzero(is_for_good[items])
        owner, owned_item, ages = history.customers[lines], history.items[lines], history.ages[lines]
        rows, items = rows[pairs], items[pairs]
        for is_selected, days, again in self.for_good:
            still_owned = np.flatnonzero(is_selected[owned_item] & (ages < days))
            candidates = np.flatnonzero(is_selected[items])
            if again is Again.NOTHING:
                owns = np.zeros(len(history), bool)
                owns[owner[still_owned]] = True
                refused = owns[rows[candidates]]
            else:
                keys = owner[still_owned].astype(np.int64) * history.width + owned_item[still_owned]
                refused = np.isin(rows[candidates] * history.width + items[candidates], keys)
            is_eligible[pairs[candidates[refused]]] = False
        return is_eligible

    def room(self, listed: IntArray, rows: IntArray, items: IntArray) -> IntArray:
        """How many items like this one a list can still take, at most `NO_LIMIT`; shape (n,).

        One, if items like it rule out others.

        Args:
            listed: the items of each customer's list, −1 for none, shape (customers, k).
            rows: row of the customer whose list it is, shape (n,).
            items: row of the item in the catalogue, shape (n,).
        """
        room = np.full(len(rows), NO_LIMIT)
        for codes, most in self.most:
            code_of_place, code = np.where(listed >= 0, codes[listed], -1), codes[items]
            left = most - (code_of_place[rows] == code[:, None]).sum(axis=1)
            room = np.where(code >= 0, np.minimum(room, left), room)
        for pair in self.apart:
            for first, second in (pair, pair[::-1]):
                ruled_out = np.any((listed >= 0) & second[listed], axis=1)
                room = np.where(first[items], np.minimum(room, ~ruled_out[rows]), room)
        return room


def check_names(settings: EligibilitySettings, catalogue: Catalogue) -> None:
    """Check that every name in the rules is the name of some item.

    Raises:
        ConfigError: no item of the catalogue has the name; the message has the key, the name and similar
            names.
    """
    if unknown := list(_unknown(settings, catalogue)):
        raise ConfigError("\n".join(unknown))


def known_adults(bands: pa.Array | pa.ChunkedArray, adult_age: int) -> BoolArray:
    """Which customers are known to be adults: their age band begins at that age or later.

    Bands are such as `19-24`, `65+`, `34`. Customers without an age band, or with one without a lower end
    (`under 25`), do not count as adults.
    """
    begins = pc.struct_field(pc.extract_regex(bands.cast(pa.string()), _BEGINS_AT), "age")
    is_adult = pc.greater_equal(begins.cast(pa.int64()), adult_age)
    return pc.fill_null(is_adult, False).to_numpy(zero_copy_only=False)


def _any_of(flags: Sequence[BoolArray], size: int) -> BoolArray:
    """Items with any of the flags."""
    return np.logical_or.reduce([np.zeros(size, bool), *flags])


def _selected(selector: ItemSelector, catalogue: Catalogue) -> BoolArray:
    """The items of the catalogue that the selector means."""
    is_selected = np.ones(len(catalogue), bool)
    if selector.category is not None:
        by_level = [
            np.append(_called(names, selector.category), False)[codes]
            for codes, names in zip(catalogue.levels.T, catalogue.level_names, strict=True)
        ]
        is_selected &= np.any(by_level, axis=0)
    if selector.brand is not None:
        is_selected &= np.append(np.equal(catalogue.brand_names, selector.brand), False)[catalogue.brands]
    if selector.item is not None:
        is_selected &= catalogue.item_ids == selector.item
    return is_selected


def _called(paths: StringArray, name: str) -> BoolArray:
    """Which paths equal the name, or end in it."""
    return np.array([path == name or path.rsplit(" > ", 1)[-1] == name for path in paths], bool)


def _unknown(settings: EligibilitySettings, catalogue: Catalogue) -> Iterator[str]:
    """A sentence for each name that no item has, and for each selector that no item meets."""
    paths = {path for names in catalogue.level_names for path in names}
    names_of = {
        "category": paths | {path.rsplit(" > ", 1)[-1] for path in paths},
        "brand": set(catalogue.brand_names),
        "item": set(catalogue.item_ids),
    }
    for place, selector in _placed(settings):
        given = {key: getattr(selector, key) for key in names_of if getattr(selector, key) is not None}
        unknown = [key for key, name in given.items() if name not in names_of[key]]
        for key in unknown:
            close = get_close_matches(given[key], names_of[key], _CLOSE)
            hint = f"close to it: {', '.join(map(repr, close))}" if close else "nothing comes close to it"
            yield f"{_WHERE}.{place}.{key}: no item has this {key}; found {given[key]!r}, {hint}"
        if not unknown and not _selected(selector, catalogue).any():
            yield f"{_WHERE}.{place}: no item is all of it; found {given}"


def _placed(settings: EligibilitySettings) -> Iterator[tuple[str, ItemSelector]]:
    """All selectors with their place in the file."""
    for key in ("never", "adults_only", "bought_for_good"):
        yield from ((f"{key}.{number}", selector) for number, selector in enumerate(getattr(settings, key)))
    for number, pair in enumerate(settings.apart):
        yield from ((f"apart.{number}.{side}", selector) for side, selector in enumerate(pair))
