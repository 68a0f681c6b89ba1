import numpy as np
import pyarrow as pa

from perennial.models import features
from perennial.models.features import NAMES
from tests.learning import DAY, profiles


def rows(**changed: object) -> pa.Table:
    table = profiles(DAY).select(features.COLUMNS).cast(features.schema()).slice(0, 1)
    for name, value in changed.items():
        position = table.schema.get_field_index(name)
        table = table.set_column(
            position, table.field(position), pa.array([value], table.field(position).type)
        )
    return table


def value(name: str, table: pa.Table) -> float:
    return features.matrix(table)[0, NAMES.index(name)]


def order(gap: int | None, spent: float = 10.0) -> dict[str, object]:
    return {"gap_days": gap, "value": spent, "quantity": 1}


def test_orders_are_counted_back_from_the_day():
    found = rows(recency_days=2, recent_orders=[order(None), order(30), order(4), order(1)])
    assert [value(f"orders_{days}", found) for days in (7, 14)] == [2, 3]
    assert value("last_gap_days", found) == 1


def test_the_first_order_has_no_gap_and_still_counts():
    found = rows(recency_days=0, recent_orders=[order(None, 7.5)])
    assert value("orders_7", found) == 1
    assert np.isnan(value("last_gap_days", found))
    assert value("recent_value", found) == 7.5


def test_a_customer_without_orders_has_features_all_the_same():
    table = profiles(DAY).select(features.COLUMNS).cast(features.schema())
    stranger = features.matrix(table)[-1]
    assert stranger.shape == (len(NAMES),)
    assert np.isnan(stranger[NAMES.index("recency_days")])


def test_a_frame_gives_the_same_features_as_the_table():
    table = profiles(DAY).select(features.COLUMNS).cast(features.schema())
    again = features.from_frame(features.to_frame(table))
    np.testing.assert_allclose(features.matrix(again), features.matrix(table))


def test_a_stretch_without_an_order_lowers_the_share_of_active_ones():
    often = rows(recency_days=2, tenure_days=84, recent_orders=[order(None), order(30), order(28)])
    once = rows(recency_days=2, tenure_days=84, recent_orders=[order(None), order(1)])
    assert [round(value("active_windows", table), 3) for table in (often, once)] == [1.0, 0.333]


def test_the_longest_and_the_median_gap_are_those_of_the_list():
    found = rows(recency_days=9, recent_orders=[order(None), order(3), order(40), order(5)])
    assert [value(name, found) for name in ("gap_median_days", "gap_longest_days")] == [5, 40]
    assert value("recency_in_longest", found) == 10 / 41
