r"""Contact data in text is found and replaced by a pseudonym, the same one for the same contact everywhere.

What counts as a contact:

- an e-mail address, also with its @ written as in a URL (`%40`);
- a telephone number with `+` and a country code; `(030) 1234567` and `(202) 555-0143`; the North American
  `202-555-0143`; and any number of 7 to 12 digits after a word like `phone` or `Tel.`;
- a push token with a recognisable form: Firebase's (`…:APA91b…`) and Expo's (`ExponentPushToken[…]`). Apple's
  is 64 hexadecimal digits, like every SHA-256: it cannot be distinguished from an id, so it is not searched.

Any other number counts as an id, a price or a time. `suspects` lets the engine select, by a cheap test of
each value, the values that are worth matching against the patterns here.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pyarrow as pa

NAMELESS = "[contact]"
"""Stands for a contact if the shop has no key."""

_GAP = r"[ \u00a0\u202f.\-()/\u2010\u2011\u2013]{0,3}"
_SIGNS = r".+'!#$*^~{}`-"
"""Characters besides letters that the name in an address may have."""
_LINKS = "/=?&|"
"""Characters that a name may only end in: in a link they stand before an address."""
_WORD = "tel|telephone|telefon|phone|mobile|mobil|handy|cell|fax|whatsapp"
_CONTACT = re.compile(
    # Each form is one named group; text before the group is context and is kept. No form reads the same
    # letters again from every start: a field of 10 MB is read once.
    r"(?<![\w-])(?P<token>[\w-]{8,}:APA91b[\w-]{20,}|Expo(?:nent)?PushToken\[[^\]\s]+\])"
    rf"|(?:(?<![\w%{_SIGNS}])|(?<=%40))[{_SIGNS}]*+(?P<email>"
    rf"(?:(?:\w|%(?!40))(?:[\w{_SIGNS}]|%(?!40))*+[{_LINKS}{_SIGNS}]{{0,20}}+|[{_LINKS}{_SIGNS}]{{1,20}}+)"
    r"(?:(?:@|%40)(?:[\w-]+\.)+(?:xn--[\w-]+|[^\W\d_]{2,}))+)"
    rf"|(?P<phone>(?:\+|%2[Bb])(?:[1-9]\d{{6,14}}(?!\d)|(?<!\d\+)[ ]?[1-9](?:{_GAP}\d){{8,14}}(?!\d)))"
    r"|(?<!\w)(?P<area>\(0[1-9][0-9]{1,3}\)(?=(?:[ ./-]?[0-9]){5,9}(?![0-9]))(?:[ ./-]?[0-9])+"
    r"|\([2-9][0-9]{2}\)[ ]?[0-9]{3}[ .-][0-9]{4}(?![0-9]))"
    r"|(?<![\w.-])(?P<american>(?:1[.-])?[2-9][0-9]{2}[.-][2-9][0-9]{2}[.-][0-9]{4})(?!\w|[.-]\w)"
    rf"|(?<![^\W_])(?ai:{_WORD})(?:[ ]?(?ai:number|no|nr))?[\"' .:=]{{1,4}}"
    r"(?P<named>\(?[0-9](?:[ ./()-]{0,2}[0-9]){6,11})(?![0-9])"
)
_RARE = (
    r"%40|%2[Bb]|:APA91b|PushToken\[|\([0-9]{3,5}\)|[2-9][0-9]{2}[.-][2-9][0-9]{2}[.-][0-9]{4}"
    r"|(?i:tel|phone|mobil|handy|cell|fax|whatsapp)[^0-9]{1,16}[0-9]"
)
"""Matches more than `_CONTACT`, in the syntax that RE2, Java and Python share."""
_UNMISTAKABLE = ("%", ":APA91b", "PushToken[")
"""Text that no id has, besides @ and +."""
_SHORTEST, _SHORTEST_RARE = 6, 8
"""Length of the shortest contact, and of the shortest one without @ and +."""
_PSEUDONYM = re.compile(r"p_[0-9a-f]{16}")


def find(text: str) -> list[str]:
    """The contacts in a text, as they are written there."""
    return [match[str(match.lastgroup)] for match in _CONTACT.finditer(text)]


def masked(text: str, key: bytes | None) -> str:
    """The text with each contact replaced: by its pseudonym, or by `[contact]` without a key.

    The result has no contact: `find` finds none, and masking it again changes nothing.
    """
    while changed := [match.span(str(match.lastgroup)) for match in _CONTACT.finditer(text)]:
        parts, at = [], 0
        for start, end in changed:
            parts += [text[at:start], pseudonym(key, text[start:end]) if key else NAMELESS]
            at = end
        text = "".join([*parts, text[at:]])
    return text


def pseudonym(key: bytes, value: str) -> str:
    """`p_` and 16 hex digits that stand for a value, the same for all spellings of an address or number."""
    plain = _normal_form(value).encode(errors="surrogatepass")
    return "p_" + hmac.digest(key, plain, hashlib.sha256).hex()[:16]


def is_pseudonym(value: str) -> bool:
    """Is the whole value a pseudonym?"""
    return _PSEUDONYM.fullmatch(value) is not None


def suspects(column: "ir.StringValue") -> "ir.BooleanValue":
    """True if `masked` could change the value, and for a few other values; hardly ever for an id.

    In a column of ids (its name ends in `_id`) national telephone numbers are not searched, because ids look
    like them.
    """
    length = column.length()
    usual = column.contains("@") | column.contains("+")
    if column.get_name().endswith("_id"):
        return (length >= _SHORTEST) & reduce(or_, (column.contains(mark) for mark in _UNMISTAKABLE), usual)
    return (length >= _SHORTEST) & (usual | ((length >= _SHORTEST_RARE) & column.re_search(_RARE)))


def hide(rows: "ir.Table", columns: Sequence[str], key: bytes | None) -> "ir.Table":
    """The rows with the contacts in these text columns masked; everything else stays, and no row is lost.

    Reads `rows` once, now, for the suspect values. Only these are in memory. The order of the rows is not
    kept.
    """
    return _replaced(rows, columns, suspects, lambda value: masked(value, key))


def pseudonymise(rows: "ir.Table", columns: Sequence[str], key: bytes) -> "ir.Table":
    """The rows with every value of these text columns replaced by its pseudonym, unless it is one already.

    Reads `rows` once, now, and holds the distinct values in memory. Null stays null; the order is not kept.
    """
    return _replaced(
        rows,
        columns,
        lambda column: column.notnull(),
        lambda value: value if is_pseudonym(value) else pseudonym(key, value),
    )


def _normal_form(value: str) -> str:
    text = value.strip().lower()
    match = _CONTACT.fullmatch(text)
    form = match.lastgroup if match else None
    if form == "email":
        return unquote(text) if "%40" in text else text
    if form in ("phone", "area", "american"):
        return re.sub(r"[^+\d]", "", text.replace("%2b", "+").replace("(0)", ""))
    return text


def _replaced(
    rows: "ir.Table",
    columns: Sequence[str],
    is_affected: Callable[["ir.StringValue"], "ir.BooleanValue"],
    change: Callable[[str], str],
) -> "ir.Table":
    """The rows with the affected values of the columns changed, by a join with their new values."""
    import ibis

    for column, mapping in _changes(rows, columns, is_affected, change).items():
        mapping_table = ibis.memtable(mapping)
        joined = rows.left_join(mapping_table, rows[column] == mapping_table["_before"])
        # Not one `select`: Ibis 12 cannot join rows again that the select of a join has computed.
        changed = joined.mutate(**{column: ibis.coalesce(joined["_after"], joined[column])})
        rows = changed.drop("_before", "_after")
    return rows


def _changes(
    rows: "ir.Table",
    columns: Sequence[str],
    is_affected: Callable[["ir.StringValue"], "ir.BooleanValue"],
    change: Callable[[str], str],
) -> "dict[str, pa.Table]":
    """For each column with values that change: these values, and their new values."""
    # Imported here, because logs are masked in processes that compute no tables.
    import ibis
    import pyarrow as pa

    from perennial.foundation import engine

    if not columns:
        return {}
    touched = rows.filter(ibis.or_(*(is_affected(rows[column]) for column in columns)))
    values = {column: ibis.ifelse(is_affected(touched[column]), touched[column], None) for column in columns}
    places = [ibis.struct({"column": column, "value": value}) for column, value in values.items()]
    place = touched.select(place=ibis.array(places).unnest()).place
    values_of = place.as_table().select(column=place["column"], before=place["value"])
    mappings: dict[str, dict[str, str]] = {}
    for batch in engine.stream(values_of.filter(values_of.before.notnull()).distinct()):
        for column, before in zip(*(batch[name].to_pylist() for name in values_of.columns), strict=True):
            if (after := change(before)) != before:
                mappings.setdefault(column, {})[before] = after
    return {
        column: pa.table({"_before": list(mapping), "_after": list(mapping.values())})
        for column, mapping in mappings.items()
    }
