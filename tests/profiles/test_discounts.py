from perennial.profiles import discounts
from tests.profiles.tables import event, parts, rows_of


def test_shares_are_of_list_value_and_redemptions_are_counted():
    bought = parts(
        event(0, "a", unit_price=10, quantity=2, shelf_discount=4, coupon_discount=1, revenue=15),
        event(1, "b", unit_price=20, quantity=1, revenue=20),
        event(2, "r", event_type="return", unit_price=10, revenue=-10),
        event(3, "x", event_type="redeem", revenue=None, order_id=None),
        event(3, "y", event_type="redeem", revenue=None, order_id=None),
    )
    assert rows_of(discounts.shares(bought))["c1"] == {
        "redemptions": 2,
        "discount_share": 5 / 40,
        "coupon_share": 1 / 40,
    }


def test_without_list_value_there_is_no_share():
    found = parts(
        event(0, "a", customer_id="free", revenue=0),
        event(0, "b", customer_id="redeemer", event_type="redeem", revenue=None),
    )
    rows = rows_of(discounts.shares(found))
    assert rows["free"] == {"redemptions": 0, "discount_share": None, "coupon_share": None}
    assert rows["redeemer"] == {"redemptions": 1, "discount_share": None, "coupon_share": None}


def test_a_share_stays_between_0_and_1_whatever_the_source_says():
    odd = parts(
        event(0, "a", unit_price=1, shelf_discount=5),
        event(0, "b", customer_id="c2", unit_price=1, shelf_discount=-1),
    )
    rows = rows_of(discounts.shares(odd))
    assert (rows["c1"]["discount_share"], rows["c2"]["discount_share"]) == (1, 0)
