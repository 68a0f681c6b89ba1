"""The rules of `audiences.yaml`: conditions on the columns of a customer, compiled to Ibis.

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
passes only the test `is_missing: true`. So customers with a missing value pass the `not` of any other test.
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
_EXACT = ("equals", "in")


class Tests(Part):
    """The tests of one column; every given test must hold."""

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
    def _known(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            raise _error("a column needs a test in braces, such as {at_least: 6}")
        names = [field.alias or name for name, field in cls.model_fields.items()]
        for name in value:
            if name not in names:
                raise _error(f"no test {name!r}; allowed are {', '.join(names)}")
        return value

    def given(self) -> dict[str, Any]:
        """The given tests with their values, by their names in the file."""
        named = {field.alias or name: getattr(self, name) for name, field in type(self).model_fields.items()}
        return {name: value for name, value in named.items() if value is not None}

    def values(self) -> Iterator[tuple[str, Value]]:
        """Every value that the column is compared with, together with the name of the test."""
        for name, value in self.given().items():
            if name == "in":
                yield from ((name, choice) for choice in value)
            elif name in (*_ORDERED, "equals"):
                yield name, value


class Rule(Part, extra="allow"):
    """A rule. Every key other than `all`, `any` and `not` is a column."""

    __pydantic_extra__: dict[str, Tests]

    all_of: tuple["Rule", ...] | None = Field(None, alias="all", min_length=1)
    any_of: tuple["Rule", ...] | None = Field(None, alias="any", min_length=1)
    not_this: "Rule | None" = Field(None, alias="not")

    @property
    def tests(self) -> dict[str, Tests]:
        """The tests by column."""
        return self.__pydantic_extra__

    @model_validator(mode="after")
    def _consistent(self) -> "Rule":
        if not self.tests and not (self.all_of or self.any_of or self.not_this):
            raise _error("an empty rule; allowed are a column with tests, all, any, not")
        for column, tests in self.tests.items():
            _check(column, tests)
        return self


class Audience(Part):
    """A group of customers with a name and a rule."""

    description: str = Field(min_length=1)
    who: Rule


class Audiences(Part):
    """The file audiences.yaml."""

    audiences: dict[str, Audience] = Field(min_length=1)

    @model_validator(mode="after")
    def _valid_names(self) -> "Audiences":
        for name in self.audiences:
            if not (name.isascii() and name.replace("_", "").isalnum() and name == name.lower()):
                raise _error(f"{name!r} is not a valid name of an audience; allowed are a-z, 0-9 and _")
        return self


@dataclass(frozen=True)
class Column:
    """A column that rules may use: its kind, its allowed values and its limits."""

    kind: str
    allowed: tuple[str, ...]
    limits: tuple[float, float] | None = None

    @property
    def tests(self) -> tuple[str, ...]:
        """The tests that a column of this kind allows."""
        if self.kind == "list":
            return ("contains", "is_missing")
        return (*(_ORDERED if self.kind in ("number", "date") else ()), *_EXACT, "is_missing")


@cache
def columns() -> dict[str, Column]:
    """Every column that rules may use, from the contracts of profiles, scores and users."""
    by_name: dict[str, Column] = {}
    for contract in _SOURCES:
        for field in contract.fields:
            if field.name not in _BOOKKEEPING and (column := _column(contract, field)) is not None:
                by_name.setdefault(field.name, column)
    return by_name


def compile_rule(rule: Rule, customers: ir.Table) -> ir.BooleanValue:
    """Whether the rule holds for each customer, as a boolean column without nulls.

    Args:
        rule: as read from audiences.yaml.
        customers: one row for each customer with at least the columns that the rule uses.
    """
    parts = [_passes(customers[column], test, value) for column, test, value in _tests(rule)]
    parts += [compile_rule(part, customers) for part in rule.all_of or ()]
    if rule.any_of:
        parts.append(reduce(or_, (compile_rule(part, customers) for part in rule.any_of)))
    if rule.not_this:
        parts.append(~compile_rule(rule.not_this, customers))
    return reduce(and_, parts)


def members(audiences: Audiences, customers: ir.Table) -> ir.Table:
    """The members of each audience: `audience: string, customer_id: string`, one row for each membership."""
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


def _passes(column: ir.Value, test: str, value: Any) -> ir.BooleanValue:
    """Whether the column passes one test. A missing value passes only `is_missing: true`."""
    if test == "is_missing":
        return column.isnull() if value else column.notnull()
    if test == "contains":
        return _contains(column, value).fill_null(False)
    number = column.cast("float64") if column.type().is_decimal() else column
    results = {
        "at_least": lambda: number >= value,
        "above": lambda: number > value,
        "at_most": lambda: number <= value,
        "below": lambda: number < value,
        "equals": lambda: number == value,
        "in": lambda: number.isin(value),
    }
    return results[test]().fill_null(False)


def _contains(column: Any, value: str) -> ir.BooleanValue:
    if column.type().value_type.is_struct():
        column = column.map(lambda entry: entry["name"])
    return column.filter(lambda name: (name == value) | name.startswith(f"{value} > ")).length() > 0


def _column(contract: Contract, field: pa.Field) -> Column | None:
    """The column as rules use it; None if no test applies to it, for example a vector."""
    allowed = contract.allowed(field.name)
    arrow_type = field.type
    if pa.types.is_list(arrow_type):
        inner = arrow_type.value_type
        named = pa.types.is_struct(inner) and "name" in {part.name for part in inner}
        return Column("list", allowed) if pa.types.is_string(inner) or named else None
    if pa.types.is_date(arrow_type):
        return Column("date", allowed)
    if pa.types.is_string(arrow_type):
        return Column("text", allowed)
    if pa.types.is_boolean(arrow_type):
        return Column("flag", allowed)
    return Column("number", allowed, _limits(field))


def _limits(field: pa.Field) -> tuple[float, float] | None:
    """The limits of a unit such as "0 to 1"; none for any other unit."""
    low, to, high = (field.metadata or {}).get(b"unit", b"").decode().partition(" to ")
    return (float(low), float(high)) if to else None


def _check(name: str, tests: Tests) -> None:
    """Check the tests of one column, and raise the first error as a sentence."""
    if name not in columns():
        raise _error(f"no column {name!r}; allowed are {', '.join(sorted(columns()))}, and all, any, not")
    column = columns()[name]
    given = tests.given()
    if not given:
        raise _error(f"{name}: no test; allowed are {', '.join(column.tests)}")
    for test in given:
        if test not in column.tests:
            raise _error(f"{name}.{test}: {name} is a {column.kind}; allowed are {', '.join(column.tests)}")
    for test, value in tests.values():
        _check_value(f"{name}.{test}", column, value)
    if column.allowed and tests.contains is not None and tests.contains not in column.allowed:
        raise _error(f"{name}.contains: found {tests.contains!r}; allowed are {', '.join(column.allowed)}")


def _check_value(where: str, column: Column, value: Value) -> None:
    fits = {
        "number": isinstance(value, int | float) and not isinstance(value, bool),
        "date": isinstance(value, date),
        "text": isinstance(value, str),
        "flag": isinstance(value, bool),
    }
    if not fits[column.kind]:
        raise _error(f"{where}: found {value!r}; allowed is a {column.kind}")
    if column.allowed and value not in column.allowed:
        raise _error(f"{where}: found {value!r}; allowed are {', '.join(column.allowed)}")
    if column.limits and isinstance(value, int | float) and not column.limits[0] <= value <= column.limits[1]:
        raise _error(f"{where}: found {value!r}; allowed is {column.limits[0]:g} to {column.limits[1]:g}")


def _error(sentence: str) -> PydanticCustomError:
    return PydanticCustomError("rule", "{sentence}", {"sentence": sentence})
