"""The demo's whole year in a lake: every purchase known on its day, customers, and profiles of some days."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import ibis
import ibis.expr.types as ir

from perennial.demo import complete_journey
from perennial.demo.environment import CONFIG
from perennial.foundation import contracts
from perennial.foundation.lake import Lake, open_lake
from perennial.foundation.settings import settings
from perennial.models.settings import return_model_settings
from perennial.profiles import pipeline
from tests.benchmarks.profiles_shop import landed

FIRST, LAST = date(2017, 1, 1), date(2018, 1, 1)


@contextmanager
def shop(promoted_ahead: timedelta | None = None) -> Iterator[Lake]:
    """A lake of its own with the year's purchases, redemptions and customers; the settings point to it.

    They are the demo's, unless the environment names another folder of YAML files.

    Args:
        promoted_ahead: how long before it begins each promotion is known; None: there are none.
    """
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="perennial-year-") as name:
        folder = Path(name)
        os.environ.setdefault("PERENNIAL_CONFIG", str(CONFIG))
        os.environ["PERENNIAL_LEDGER"] = f"sqlite:///{folder}/ledger.db"
        for place in ("lake", "vault", "reports"):
            os.environ[f"PERENNIAL_{place.upper()}"] = str(folder / place)
        settings.cache_clear()
        try:
            lake = open_lake()
            events = complete_journey.purchases(), complete_journey.redemptions()
            lake.replace(
                "events", ibis.union(*(landed(contracts.EVENTS, one) for one in events)), FIRST, LAST
            )
            for contract in (contracts.ITEMS, contracts.USERS, contracts.ASSIGNMENTS):
                rows = getattr(complete_journey, contract.name)()
                lake.replace(contract.name, landed(contract, rows), FIRST, LAST)
            if promoted_ahead is not None:
                lake.replace("promotions", _promotions(promoted_ahead), FIRST - promoted_ahead, LAST)
            yield lake
        finally:
            os.environ.clear()
            os.environ.update(before)
            settings.cache_clear()


def _promotions(ahead: timedelta) -> ir.Table:
    """The demo's, an item once in a week and a store, known so long before they begin."""
    each = complete_journey.promotions().group_by("item_id", "store_id", "week")
    once = each.agg(display=lambda rows: rows.display.max(), mailer=lambda rows: rows.mailer.max())
    return landed(contracts.PROMOTIONS, once.mutate(_day=once.week - ahead))


def draw(day: date) -> None:
    """Draw the profiles that training on the day looks back on, as `build_profiles` does."""
    pipeline.fill_cutoffs(str(day), return_model_settings().cutoffs)
    pipeline.build(str(day))
