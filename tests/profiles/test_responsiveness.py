import ibis
import pyarrow as pa
import pytest

from perennial.profiles import purchases, responsiveness
from perennial.profiles.settings import ResponsivenessSettings
from tests.profiles.tables import dated, day, event, landed, rows_of

CHOSEN = ResponsivenessSettings(messages_of_population=10, campaigns_of_population=2)


def people(*names: str) -> ibis.Table:
    return ibis.memtable(pa.table({"customer_id": list(names)}))


def said(number: int, who: str, kind: str, channel: str | None = "email", **given: object) -> dict:
    name = f"{who}-{kind}-{channel}-{number}"
    return event(number, name, customer_id=who, event_type=kind, channel=channel, **given)


def channels(*rows: dict, on: int = 9) -> dict:
    touches = purchases.as_of(responsiveness.touches(dated(*rows)), day(on))
    found = responsiveness.channels(touches, people("a", "b", "new"), CHOSEN)
    return {who: row["channels"] for who, row in rows_of(found).items()}


def test_each_channel_of_the_shop_has_counts_and_a_share_of_clicks_that_leans_on_everybodys():
    rows = [said(number, "a", "delivered") for number in range(4)]
    rows += [said(0, "a", "open"), said(0, "a", "click"), said(1, "a", "click")]
    rows += [said(number, "b", "delivered", "sms") for number in range(5)]
    rows += [said(number, "b", "delivered") for number in range(4)]
    found = channels(*rows)
    everybody = 2 / 8
    email = {"channel": "email", "delivered": 4, "opened": 1, "clicked": 2}
    sms = {"channel": "sms", "delivered": 0, "opened": 0, "clicked": 0, "response": 0}
    assert found["a"] == [email | {"response": pytest.approx((2 + 10 * everybody) / 14)}, sms]
    assert found["b"][0]["response"] == pytest.approx(10 * everybody / 14)
    assert found["new"][0] == email | {
        "delivered": 0,
        "opened": 0,
        "clicked": 0,
        "response": pytest.approx(0.25),
    }


def test_more_clicks_than_messages_count_as_one_each():
    found = channels(said(0, "a", "delivered"), *(said(number, "a", "click") for number in range(5)))
    assert found["a"][0]["clicked"] == 5
    assert found["a"][0]["response"] == 1


def test_what_was_not_known_yet_does_not_count_and_a_shop_without_messages_has_no_channels():
    rows = [said(0, "a", "delivered"), said(5, "a", "click"), said(0, "a", "delivered", None)]
    assert channels(*rows, on=4)["a"][0]["clicked"] == 0
    assert channels(said(0, "a", "click")) == {}


def campaigns(assigned: list[tuple], *rows: dict) -> dict:
    names = ("campaign_id", "customer_id", "arm")
    table = landed("assignments", *(dict(zip(names, each, strict=True)) for each in assigned))
    touches = purchases.as_of(responsiveness.touches(dated(*rows)), day(9))
    section = responsiveness.campaigns(ibis.memtable(table), touches, people("a", "b", "new"), CHOSEN)
    return {who: tuple(row.values()) for who, row in rows_of(section).items()}


def test_campaigns_are_answered_by_a_click_an_order_or_a_coupon_under_them():
    found = campaigns(
        [
            ("x", "a", None),
            ("y", "a", "treatment"),
            ("z", "a", "holdout"),
            ("x", "b", None),
            ("y", "b", None),
        ],
        said(1, "a", "redeem", campaign_id="x"),
        said(2, "a", "redeem", campaign_id="x"),
        said(1, "a", "click", campaign_id="z"),
        said(1, "a", "open", campaign_id="y"),
        said(1, "b", "purchase", campaign_id=None),
    )
    everybody = 1 / 4
    assert found == {
        "a": (2, 1, pytest.approx((1 + 2 * everybody) / 4)),
        "b": (2, 0, pytest.approx(2 * everybody / 4)),
        "new": (0, 0, pytest.approx(everybody)),
    }


def test_in_a_shop_without_campaigns_nobody_has_a_response():
    assert campaigns([])["a"] == (0, 0, None)
