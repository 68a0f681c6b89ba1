"""Items with nothing but a title."""

from collections.abc import Iterable
from datetime import date, timedelta

from perennial.foundation.lake import Lake
from tests.profiles.tables import landed

MONDAY = date(2017, 12, 4)
TUESDAY = MONDAY + timedelta(days=1)


def land(lake: Lake, day: date, titles: Iterable[tuple[str, str]]) -> None:
    """Let the items (id, title) of a day be in the catalogue, in the place of what landed on it before."""
    of_day = {"valid_from": day, "available": True, "known_on": day}
    lake.replace("items", landed("items", *({"item_id": i, "title": t} | of_day for i, t in titles)), day)
