"""Readable titles of Complete Journey products: the abbreviations of the till, written out.

The package describes a product by department, category, type, package size and number of its maker. The
texts are cut at thirty letters and full of abbreviations (`FRZN SS PREMIUM ENTREES/DNRS/N`). Titles, category
paths and brands here are the same words in normal spelling. No information is added.
"""

import json
import re

import pyarrow as pa

_SHORTHAND = """
frzn = frozen; frz = frozen; fz = frozen; refrgratd = refrigerated; refrig = refrigerated; pkg = package;
pkgd = packaged; pckgd = packaged; mlt = multi; sngl = single; sgl = single; sft = soft; drnk = drink;
drnks = drinks; bev = beverage; btl = bottle; carb = carbonated; flvrd = flavored; flvr = flavor;
jce = juice; wtr = water; choc = chocolate; chococlate = chocolate; chocol = chocolate; dnr = dinner;
dnrs = dinners; brkfst = breakfast; whlsm = wholesome; sndwch = sandwich; sandwic = sandwich; sprd = spread;
sald = salad; drsng = dressing; veg = vegetables; chix = chicken; chick = chicken; grnd = ground;
gds = goods; sw = sweet; bkd = baked; fd = food; prep = prepared; brd = breaded; misc = miscellaneous;
sply = supplies; suppplies = supplies; access = accessories; snks = snacks; ckys = cookies; crkr = crackers;
cndy = candy; pnt = peanut; btr = butter; cnd = canned; crmd = creamed; pkld = pickled; hygn = hygiene;
fem = feminine; cleang = cleaning; trsh = trash; dsh = dish; deod = deodorants; stk = stick; pwdr = powder;
liq = liquid; syrp = syrup; sherbts = sherbets; catfd = cat food; prem = premium; sup = super; mxs = mixes;
mixs = mixes; mx = mix; bg = bag; ss = single-serve; srv = serve; sv = single-serve; incl = including;
excp = except; ex = except; conc = concentrate; occas = occasion; cntrl = control; prod = products;
tiss = tissue; memorablilia = memorabilia; sweetners = sweeteners; w = with; childrens = children's;
womens = women's; mens = men's; mw = microwave; elect = electrical; beeralemalt = beer, ale and malt;
saucessalsapicantee = sauces, salsa and picante; loreal = L'Oréal; hbc = health and beauty;
gm = general merchandise; iqf = quick-frozen; bbq = BBQ; nz = NZ; dvd = DVD; spf = SPF;
rts = ready-to-serve; maybelline = Maybelline; covergirl = CoverGirl; revlon = Revlon; almay = Almay;
barbie = Barbie
"""
"""Abbreviation = meaning."""
_VAGUE_WORDS = """
all bag basic blends bulk choice decor economy end enhanced everyday fresh frozen general items juice low
mainstream miscellaneous natural non novelties organic other package pantry popular premium products
promotional regular seasonal select special specialty standard super traditional value
"""
"""Words that do not name a product. If a type has only such words, its category is added to the title."""
_UNITS = {"gal": "gal", "ga": "gal", "lt": "l", "ltr": "l"}
_UNCLOSED = re.compile(r"\s*\([^)]*$")
_CUT_OFF = re.compile(r"[/&\-:,]\s*[A-Za-z]?$")
_WORD = re.compile(r"[A-Za-z']+")
_SIZE = re.compile(
    r"^[\d.,/x \-]*\d[\d.,/x \-]*(?:fl )?(oz|lb|ct|pk|ml|l|lt|ltr|gal|ga|in|ft|yd|sq ft|pt|qt|gm|pc|cm)\b.*$"
)
_WORDS = dict(pair.strip().split(" = ") for pair in _SHORTHAND.split(";"))
_VAGUE = frozenset(_VAGUE_WORDS.split())


def name(products: pa.Table) -> pa.Table:
    """The columns of `items`, made from `item_id`, `maker` and the package's own columns; `_day` is copied.

    Only `category` and `brand` can be null: where the package has no value.
    """
    rows = products.to_pylist()
    return pa.table(
        {
            "_day": products["_day"],
            "item_id": products["item_id"],
            "title": pa.array([_title(row) for row in rows], pa.string()),
            "category": pa.array([_category(row) for row in rows], pa.string()),
            "brand": pa.array([_brand(row) for row in rows], pa.string()),
            "attributes": pa.array([_attributes(row) for row in rows], pa.string()),
            "available": pa.array([True] * len(rows), pa.bool_()),
        }
    )


def _title(row: dict[str, str | None]) -> str:
    kind = _plain(row["product_type"])
    wider = _plain(row["product_category"]) or _plain(row["department"])
    words = _WORD.findall(kind.lower())
    if not kind:
        title = wider
    elif all(word in _VAGUE for word in words) and wider.lower() != kind.lower():
        title = f"{wider}, {kind[0].lower()}{kind[1:]}"
    else:
        title = kind
    size = _size(row["package_size"])
    return f"{title}, {size}" if size else title


def _category(row: dict[str, str | None]) -> str | None:
    path = [_plain(row[level]) for level in ("department", "product_category", "product_type")]
    return " > ".join(level for level in path if level) or None


def _brand(row: dict[str, str | None]) -> str | None:
    label = {"Private": "Store brand", "National": "Brand"}.get(row["brand"] or "")
    return f"{label} {row['maker']}" if label else None


def _attributes(row: dict[str, str | None]) -> str:
    return json.dumps({"package_size": row["package_size"]} if row["package_size"] else {})


def _plain(shorthand: str | None) -> str:
    """`FRZN BREADED PREPARED CHICK` → `Frozen breaded prepared chicken`."""
    text = _UNCLOSED.sub("", (shorthand or "").strip())
    text = _CUT_OFF.sub("", text) if len(shorthand or "") >= 30 else text
    text = re.sub(r"(?i)-magazine\b", " magazine", re.sub(r"(?i)\bmisc\.", "misc", text))
    text = re.sub(r"\s*([:&])\s*", lambda match: {":": ": ", "&": " and "}[match[1]], text)
    text = re.sub(r"\s+", " ", text).strip(" -/")
    text = _WORD.sub(lambda word: _WORDS.get(word[0].lower(), word[0].lower()), text)
    return text[:1].upper() + text[1:]


def _size(size: str | None) -> str | None:
    """The package size, or None where the column holds something else, such as a stock code of the till."""
    text = re.sub(r"\s+", " ", (size or "").strip().lower())
    if not _SIZE.match(text) or re.search(r"\d{5}", text):
        return None
    return _WORD.sub(lambda unit: _UNITS.get(unit[0], unit[0]), text)
