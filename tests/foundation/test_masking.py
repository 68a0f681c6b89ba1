import json
import string
import time
from types import SimpleNamespace

import ibis
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from perennial.foundation import engine, masking
from perennial.foundation.masking import find, is_pseudonym, masked, pseudonym

KEY = b"a key that is long enough to be one"
FCM = "cRqFJf3LTf6:APA91bHPRgkF3JUikC4ENAHEeMrd41Zxv3hVZjC9KtT8OvPVGJ-hQMRKRrZuJAEcl7B338qju59zJMjw2"

CONTACTS = [
    "anna@example.com",
    "Anna.Muster+shop@Example.COM",
    "o'brien_1@mail.example.org",
    "jörg@münchen.example",
    "иван@почта.рф",
    "anna%40example.com",
    "anna%2Bshop%40example.com",
    "+491701234567",
    "+49 170 1234567",
    "+49 (0)170 / 123 45 67",
    "+1 (202) 555-0143",
    "+1-202-555-0143",
    "+33 1 23 45 67 89",
    "%2B12025550143",
    "(202) 555-0143",
    "202-555-0143",
    "1-202-555-0143",
    "202.555.0143",
    "(030) 1234567",
    "(0170) 123 45 67",
    "(020) 7946 0958",
    FCM,
    "ExponentPushToken[xxxxxxxxxxxxxxxxxxxxxx]",
]
NO_CONTACTS = [
    "",
    "1105433",
    "31198459904",
    "31198459904-1105433",
    "redeem-1018-26-10000085364-20170504",
    "4006381333931",  # EAN
    "00012345678905",  # GTIN
    "(01)09521234543213(10)ABC123",  # the same on a pallet
    "978-3-16-148410-0",  # ISBN
    "112-1234567-1234567",  # an order number
    "2024-05-02",
    "02.05.2024",
    "2024-05-02T09:30:00.123456+00:00",
    "2024-05-02T09:30:00+1000 2024-05-03T10:00:00+1000",
    "20240502093000",
    "1.234.567,89 €",
    "+1,250.00",
    "-12.50",
    "1e+10",
    "550e8400-e29b-41d4-a716-446655440000",
    "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "192.168.200.255",
    "react@18.2.0",
    "3 @ 5.00",
    "Omega 3+6+9, 1000 mg, 120 ct",
    "C++11 14 17",
    "iPhone 15 Pro, 256 GB",
    "cell-20240502",
    "hotel 12345678",
    "Batteries (100) AA 1.5 V",
    "12 pieces at 10:30",
    "p_0123456789abcdef",
]
PIECES = [
    *CONTACTS,
    *NO_CONTACTS,
    " ",
    ", ",
    "@",
    "+",
    "%40",
    ".",
    "-",
    "Tel. ",
    "phone: ",
    '"',
    "1",
    "x",
    "(",
]


@pytest.mark.parametrize("contact", CONTACTS)
def test_a_contact_is_found_alone_in_a_sentence_and_in_json(contact: str):
    assert find(contact) == [contact]
    assert find(f"Please call '{contact}', or write.") == [contact]
    assert find(json.dumps({"note": contact}, ensure_ascii=False)) == [contact]
    assert find(f"{contact};{contact}\t{contact}") == [contact] * 3


@pytest.mark.parametrize("text", NO_CONTACTS)
def test_ids_codes_prices_and_times_are_no_contacts(text: str):
    assert find(text) == []
    assert masked(text, KEY) == text


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Tel. 030 1234567", "030 1234567"),
        ("phone number: 0170/1234567, evenings", "0170/1234567"),
        ('{"phone": "0170 123 45 67"}', "0170 123 45 67"),
        ("WhatsApp 07700 900123", "07700 900123"),
    ],
)
def test_a_number_is_a_telephone_number_where_the_text_says_so(text: str, number: str):
    assert find(text) == [number]
    assert find(number) == []


def test_text_around_a_contact_stays():
    text = f"mailto:anna@example.com?cc=ben@example.org; Tel. 030 1234567 ({FCM})"
    assert masked(text, None) == "mailto:[contact]?cc=[contact]; Tel. [contact] ([contact])"
    assert masked("id=17/anna@example.com/17", KEY) == f"id=17/{pseudonym(KEY, 'anna@example.com')}/17"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("anna@example.com", " Anna@EXAMPLE.com "),
        ("anna+shop@example.com", "anna%2Bshop%40example.com"),
        ("+491701234567", "+49 (0)170 / 123 45 67"),
        ("+12025550143", "%2B1-202-555-0143"),
        ("2025550143", "(202) 555-0143"),
    ],
)
def test_every_spelling_of_a_contact_has_the_same_pseudonym(one: str, other: str):
    assert pseudonym(KEY, one) == pseudonym(KEY, other)
    assert is_pseudonym(pseudonym(KEY, one))
    assert pseudonym(b"another key, just as long as needed", one) != pseudonym(KEY, one)


def test_ids_that_differ_have_different_pseudonyms():
    ids = ["12-3", "1-23", "123", "c1", "c 1", "anna@example.com", "anna@example.org"]
    assert len({pseudonym(KEY, value) for value in ids}) == len(ids)


TEXTS = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=6).map("".join),
    st.text(st.sampled_from("ab1234567890@.+-%()/: p_é٣" + string.ascii_letters), max_size=40),
    st.text(max_size=30),
)


@settings(max_examples=1500, deadline=None)
@given(TEXTS, st.sampled_from([KEY, None]))
@example("a@b.co1@c.org@d.org", KEY)
@example("@anna@example.com", KEY)
@example("ExpoPushToken[\ud800]", KEY)
@example("%40anna%40example.com", KEY)
def test_nothing_is_left_to_mask(text: str, key: bytes | None):
    after = masked(text, key)
    assert find(after) == []
    assert masked(after, key) == after
    assert (after == text) == (find(text) == [])


DOMAINS = st.from_regex(r"[a-z]{1,10}\.(com|org|example)", fullmatch=True)


@settings(max_examples=200, deadline=None)
@given(st.emails(domains=DOMAINS).filter(lambda address: address[0].isalnum()))
def test_no_domain_and_no_end_of_a_name_outlives_masking(address: str):
    local, _, domain = address.rpartition("@")
    after = masked(f"<{address}>", None)
    assert domain not in after
    assert local[-1] not in after.removesuffix(">")[-1:]


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "a.",
        "@",
        "a@",
        "a@b.",
        "+1",
        "+1 ",
        "p_",
        "tel ",
        "-",
        ":APA91b",
        "%40",
        "(0",
        "202-555-",
        "1",
        "/",
        "=a",
        "a/",
        "'",
        "a%",
    ],
)
def test_a_field_of_ten_megabytes_is_read_in_time_that_grows_with_its_length(piece: str):
    text = piece * (2_000_000 // len(piece))
    start = time.process_time()
    masked(text, KEY)
    assert time.process_time() - start < 6


def column(values: list[str | None]) -> ibis.Table:
    return ibis.memtable(pa.table({"n": list(range(len(values))), "text": pa.array(values, pa.string())}))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(TEXTS.filter(lambda text: "\0" not in text), min_size=1, max_size=60))
@example(PIECES)
@example(["a%40b.co", "a@b.co", "+12345678", "(030)12345", "tel 1234567", "PHONE no. 1234567", "%2B12345678"])
def test_the_engine_suspects_whatever_masking_changes(values: list[str]):
    rows = column(values)
    suspected = set(rows.filter(masking.suspects(rows.text)).n.to_pyarrow().to_pylist())
    assert suspected >= {n for n, value in enumerate(values) if masked(value, KEY) != value}


def test_no_id_price_or_time_is_suspected():
    rows = column([text for text in NO_CONTACTS if not set(text) & set(" @+(")])
    assert rows.filter(masking.suspects(rows.text)).text.to_pyarrow().to_pylist() == ["cell-20240502"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(*[st.none() | st.sampled_from(PIECES)] * 2), min_size=1, max_size=30),
    st.sampled_from([KEY, None]),
)
def test_hiding_masks_each_value_and_nothing_else(
    pairs: list[tuple[str | None, str | None]], key: bytes | None
):
    table = pa.table(
        {
            "n": list(range(len(pairs))),
            "a": pa.array([a for a, _ in pairs], pa.string()),
            "b": pa.array([b for _, b in pairs], pa.string()),
            "c": pa.array([a for a, _ in pairs], pa.string()),
        }
    )
    hidden = masking.hide(ibis.memtable(table), ["a", "b"], key).order_by("n").to_pyarrow()
    assert hidden.column_names == table.column_names
    assert hidden["n"].to_pylist() == table["n"].to_pylist()
    assert hidden["c"].to_pylist() == table["c"].to_pylist()
    for name in ("a", "b"):
        wanted = [None if value is None else masked(value, key) for value in table[name].to_pylist()]
        assert hidden[name].to_pylist() == wanted


def test_rows_without_contacts_are_left_as_they_are():
    rows = column(["1", None, "plain", "react@18.2.0"])
    assert masking.hide(rows, ["text"], KEY) is rows
    assert masking.hide(rows, [], KEY) is rows


def test_pseudonymising_replaces_every_value_once():
    values = ["anna@example.com", "c1", None, pseudonym(KEY, "c2"), "ANNA@example.com", "c1"]
    once = masking.pseudonymise(column(values), ["text"], KEY)
    anna, one = pseudonym(KEY, "anna@example.com"), pseudonym(KEY, "c1")
    assert once.order_by("n").text.to_pyarrow().to_pylist() == [anna, one, None, values[3], anna, one]
    again = masking.pseudonymise(once, ["text"], KEY)
    assert again.order_by("n").text.to_pyarrow().to_pylist() == [anna, one, None, values[3], anna, one]


def test_masked_rows_can_be_kept_and_streamed():
    rows = column(["anna@example.com", "c1"] * 3)
    hidden = masking.hide(rows, ["text"], KEY)
    with engine.kept(hidden) as held:
        assert sum(len(batch) for batch in engine.stream(held)) == 6
        assert set(held.text.to_pyarrow().to_pylist()) == {pseudonym(KEY, "anna@example.com"), "c1"}


def test_the_same_columns_can_be_suspected_on_spark(monkeypatch: pytest.MonkeyPatch):
    # Ibis registers this option with its PySpark backend, which is not installed here.
    options = SimpleNamespace(pyspark=SimpleNamespace(treat_nan_as_null=False))
    monkeypatch.setattr("ibis.backends.sql.compilers.pyspark.options", options)
    rows = ibis.table({"text": "string"}, name="rows")
    assert "RLIKE" in ibis.to_sql(masking.suspects(rows.text), dialect="pyspark")
