"""The little language of `audiences.yaml`: rules over what is known of a customer, compiled to Ibis.

A rule is a mapping; a customer must meet all of its keys. A key is a column with one or more tests, or one of
`all` (a list of rules, each must hold), `any` (a list, one must hold) and `not` (a rule that must not hold):

    who:
      life_cycle: {in: [active, lapsing]}
      orders: {at_least: 6}
      any:
        - p_return_28: {below: 0.7}
        - p_return_28: {is_missing: true}
      not: {categories: {contains: GROCERY}}

Numbers and dates: `at_least, above, at_most, below, equals, in`. Texts: `equals, in`. Lists: `contains` (the
name, or the beginning of a path such as `GROCERY > CHEESE`). Every column: `is_missing`. A missing value
passes no test but `is_missing: true`; so `not` of a test lets customers in whose value is missing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache, reduce
from operator import and_, or_
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr, model_validator
from pydantic_core import PydanticCustomError

from perennial.foundation import contracts
from perennial.foundation.config import Part
from perennial.foundation.contracts import Contract

Value = StrictBool | StrictInt | StrictFloat | date | StrictStr

_SOURCES = (contracts.PROFILES, contracts.SCORES, contracts.USERS)
_BOOKKEEPING = {"day", "customer_id", "valid_from", "known_on", "model_version"}
_ORDERED = ("at_least", "above", "at_most", "below")
_PICKED = ("equals", "in")


class Tests(Part):
    """What one column is asked; every test given must hold."""

    at_least: Value | None = None
    above: Value | None = None
    at_most: Value | None = None
    below: Value | None = None
    equals: Value | None = None
    among: tuple[Value, ...] | None = Field(None, alias="in", min_length=1)
    contains: StrictStr | None = None
    is_missing: StrictBool | None = None

    @model_validator(mode="before")
    @classmethod
    def _known(cls, found: Any) -> Any:
        if not isinstance(found, dict):
            raise _wrong("a column needs a test in braces, such as {at_least: 6}")
        names = [field.alias or name for name, field in cls.model_fields.items()]
        for name in found:
            if name not in names:
                raise _wrong(f"no test {name!r}; allowed are {', '.join(names)}")
        return found

    def given(self) -> dict[str, Any]:
        """The tests that were written down, by the names they have in the file."""
        named = {field.alias or name: getattr(self, name) for name, field in type(self).model_fields.items()}
        return {name: value for name, value in named.items() if value is not None}

    def values(self) -> Iterator[tuple[str, Value]]:
        """Every value that the column is compared with, with the test's name."""
        for name, value in self.given().items():
            if name == "in":
                yield from ((name, one) for one in value)
            elif name in (*_ORDERED, "equals"):
                yield name, value


class Rule(Part, extra="allow"):
    """A rule; the keys beyond the three named ones are columns."""

    __pydantic_extra__: dict[str, Tests]

    every: tuple["Rule", ...] | None = Field(None, alias="all", min_length=1)
    some: tuple["Rule", ...] | None = Field(None, alias="any", min_length=1)
    never: "Rule | None" = Field(None, alias="not")

    @property
    def tests(self) -> dict[str, Tests]:
        """The columns it asks, with what they are asked."""
        return self.__pydantic_extra__

    @model_validator(mode="after")
    def _makes_sense(self) -> "Rule":
        if not self.tests and not (self.every or self.some or self.never):
            raise _wrong("an empty rule; allowed are a column with tests, all, any, not")
        for column, tests in self.tests.items():
            _check(column, tests)
        return self


class Audience(Part):
    """A group of customers that a marketer has a name for."""

    description: str = Field(min_length=1)
    who: Rule


class Audiences(Part):
    """The file audiences.yaml."""

    audiences: dict[str, Audience] = Field(min_length=1)

    @model_validator(mode="after")
    def _named_plainly(self) -> "Audiences":
        for name in self.audiences:
            if not (name.isascii() and name.replace("_", "").isalnum() and name == name.lower()):
                raise _wrong(f"{name!r} is no name of an audience; allowed are a-z, 0-9 and _")
        return self


@dataclass(frozen=True)
class Column:
    """A column that rules may ask: what sort of thing it is, and what is allowed in it."""

    sort: str
    allowed: tuple[str, ...]
    limits: tuple[float, float] | None = None

    @property
    def tests(self) -> tuple[str, ...]:
        """The tests that make sense for it."""
        if self.sort == "list":
            return ("contains", "is_missing")
        return (*(_ORDERED if self.sort in ("number", "date") else ()), *_PICKED, "is_missing")


@cache
def columns() -> dict[str, Column]:
    """Every column that rules may ask, from the contracts of profiles, scores and users."""
    found: dict[str, Column] = {}
    for contract in _SOURCES:
        for field in contract.fields:
            if field.name not in _BOOKKEEPING and (column := _column(contract, field)) is not None:
                found.setdefault(field.name, column)
    return found


def compile_rule(rule: Rule, customers: ir.Table) -> ir.BooleanValue:
    """Does the rule hold for a customer? Never null.

    Args:
        rule: as read from audiences.yaml.
        customers: one row for each customer with (at least) the columns that the rule asks.
    """
    parts = [_ask(customers[column], test, value) for column, test, value in _tests(rule)]
    parts += [compile_rule(part, customers) for part in rule.every or ()]
    if rule.some:
        parts.append(reduce(or_, (compile_rule(part, customers) for part in rule.some)))
    if rule.never:
        parts.append(~compile_rule(rule.never, customers))
    return reduce(and_, parts)


def members(audiences: Audiences, customers: ir.Table) -> ir.Table:
    """Who is in which audience: `audience: string, customer_id: string`, one row for each membership."""
    lists = [
        customers.filter(compile_rule(audience.who, customers)).select(
            audience=ibis.literal(name), customer_id="customer_id"
        )
        for name, audience in sorted(audiences.audiences.items())
    ]
    return ibis.union(*lists, distinct=False) if len(lists) > 1 else lists[0]


def _tests(rule: Rule) -> Iterator[tuple[str, str, Any]]:
    for column, tests in rule.tests.items():
        for test, value in tests.given().items():
            yield column, test, value


def _ask(column: ir.Value, test: str, value: Any) -> ir.BooleanValue:
    """One test; a missing value passes none but `is_missing: true`."""
    if test == "is_missing":
        return column.isnull() if value else column.notnull()
    if test == "contains":
        return _contains(column, value).fill_null(False)
    plain = column.cast("float64") if column.type().is_decimal() else column
    answers = {
        "at_least": lambda: plain >= value,
        "above": lambda: plain > value,
        "at_most": lambda: plain <= value,
        "below": lambda: plain < value,
        "equals": lambda: plain == value,
        "in": lambda: plain.isin(value),
    }
    return answers[test]().fill_null(False)


def _contains(column: Any, value: str) -> ir.BooleanValue:
    if column.type().value_type.is_struct():
        column = column.map(lambda weighed: weighed["name"])
    return column.filter(lambda name: (name == value) | name.startswith(f"{value} > ")).length() > 0


def _column(contract: Contract, field: pa.Field) -> Column | None:
    """How rules see the column; None for what has no sensible question, such as a vector."""
    allowed = contract.allowed(field.name)
    kind = field.type
    if pa.types.is_list(kind):
        inner = kind.value_type
        named = pa.types.is_struct(inner) and "name" in {part.name for part in inner}
        return Column("list", allowed) if pa.types.is_string(inner) or named else None
    if pa.types.is_date(kind):
        return Column("date", allowed)
    if pa.types.is_string(kind):
        return Column("text", allowed)
    if pa.types.is_boolean(kind):
        return Column("flag", allowed)
    return Column("number", allowed, _limits(field))


def _limits(field: pa.Field) -> tuple[float, float] | None:
    """The ends of a unit such as "0 to 1"; none for any other unit."""
    low, to, high = (field.metadata or {}).get(b"unit", b"").decode().partition(" to ")
    return (float(low), float(high)) if to else None


def _check(name: str, tests: Tests) -> None:
    """Raise what is wrong with the tests of one column, as a sentence."""
    if name not in columns():
        raise _wrong(f"no column {name!r}; allowed are {', '.join(sorted(columns()))}, and all, any, not")
    column = columns()[name]
    given = tests.given()
    if not given:
        raise _wrong(f"{name}: no test; allowed are {', '.join(column.tests)}")
    for test in given:
        if test not in column.tests:
            raise _wrong(f"{name}.{test}: {name} is a {column.sort}; allowed are {', '.join(column.tests)}")
    for test, value in tests.values():
        _check_value(f"{name}.{test}", column, value)
    if column.allowed and tests.contains is not None and tests.contains not in column.allowed:
        raise _wrong(f"{name}.contains: found {tests.contains!r}; allowed are {', '.join(column.allowed)}")


def _check_value(where: str, column: Column, value: Value) -> None:
    fits = {
        "number": isinstance(value, int | float) and not isinstance(value, bool),
        "date": isinstance(value, date),
        "text": isinstance(value, str),
        "flag": isinstance(value, bool),
    }
    if not fits[column.sort]:
        raise _wrong(f"{where}: found {value!r}; allowed is a {column.sort}")
    if column.allowed and value not in column.allowed:
        raise _wrong(f"{where}: found {value!r}; allowed are {', '.join(column.allowed)}")
    if column.limits and isinstance(value, int | float) and not column.limits[0] <= value <= column.limits[1]:
        raise _wrong(f"{where}: found {value!r}; allowed is {column.limits[0]:g} to {column.limits[1]:g}")


def _wrong(sentence: str) -> PydanticCustomError:
    return PydanticCustomError("rule", "{sentence}", {"sentence": sentence})
