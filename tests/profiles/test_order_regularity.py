import ibis
import numpy as np
import pyarrow as pa
import pytest

from perennial.profiles.order_regularity import regularity
from perennial.profiles.settings import OrderRegularitySettings
from tests.profiles.tables import rows_of

CHOSEN = OrderRegularitySettings(least=5)


def found(**gaps: list[int | None]) -> dict:
    rows = [{"customer_id": who, "gap_days": gap} for who, each in gaps.items() for gap in each]
    schema = pa.schema([("customer_id", pa.string()), ("gap_days", pa.int64())])
    return rows_of(regularity(ibis.memtable(pa.Table.from_pylist(rows, schema)), CHOSEN))


def test_equal_gaps_are_regular_and_one_gap_with_all_of_the_time_is_bursty():
    rows = found(clock=[None, *[7] * 9], burst=[None, *[0] * 8, 90])
    assert rows["clock"] == {"burstiness": pytest.approx(-1), "rhythm": "regular"}
    assert rows["burst"] == {"burstiness": pytest.approx(1), "rhythm": "bursty"}


def test_burstiness_is_that_of_kim_and_jo():
    gaps = [3, 10, 1, 4, 20, 6]
    spread = np.std(gaps) / np.mean(gaps)
    expected = (7**0.5 * spread - 5**0.5) / ((7**0.5 - 2) * spread + 5**0.5)
    assert found(c=[None, *gaps])["c"]["burstiness"] == pytest.approx(expected)


def test_too_few_gaps_say_nothing_and_neither_do_orders_of_one_day():
    nothing = {"burstiness": None, "rhythm": None}
    assert found(few=[None, 1, 2, 3, 4], once=[None], day=[None, *[0] * 9]) == {
        "few": nothing,
        "once": nothing,
        "day": nothing,
    }


@pytest.mark.parametrize("gaps", [5, 20, 100])
def test_of_those_who_order_at_random_about_one_in_twenty_is_not_called_so(gaps: int):
    rng = np.random.default_rng(gaps)
    drawn = {f"c{n}": [None, *map(int, rng.exponential(200, gaps))] for n in range(2000)}
    said = [row["rhythm"] for row in found(**drawn).values()]
    assert 0.03 < 1 - said.count("random") / len(said) < 0.07
