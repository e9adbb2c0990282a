"""The schema of a tool: only keys that servers keep, and the rest in words."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from msgspec import Meta
from pydantic import BaseModel, Field
from tool_cases import (
    Answer,
    Branch,
    Capital,
    City,
    Country,
    Leaf,
    Level,
    Node,
    Order,
    Pair,
    Point,
    Row,
    Tree,
    Unit,
    accepts,
    strays,
)

from rxollama._schema import inlined, schema_of
from rxollama.errors import InvalidValueError


class Cat(BaseModel):
    """A member of a union of models."""

    kind: Literal["cat"]


class Dog(BaseModel):
    """Another member of it."""

    kind: Literal["dog"]


class Owner(BaseModel):
    """A model that contains one of them."""

    pet: Cat | Dog = Field(discriminator="kind")


def told(kind: Any) -> dict[str, Any]:
    """Return the schema of a type for a tool."""
    return inlined(schema_of(kind, field="x"), field="x")


TABLE: list[tuple[Any, dict[str, Any]]] = [
    (str, {"type": "string"}),
    (Any, {}),
    (None, {"type": "null"}),
    (Literal["red", "green"], {"type": "string", "enum": ["green", "red"]}),
    (Literal[1, "a"], {"type": ["integer", "string"], "enum": [1, "a"]}),
    (
        Literal["a"] | None,
        {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}]},
    ),
    (Unit, {"type": "string", "enum": ["fahrenheit", "celsius"], "description": "A unit."}),
    (int | None, {"type": ["integer", "null"]}),
    (int | str | None, {"type": ["integer", "string", "null"]}),
    (list[str] | None, {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]}),
    (list[int], {"type": "array", "items": {"type": "integer"}}),
    (set[int], {"type": "array", "items": {"type": "integer"}, "description": "each only once"}),
    (
        tuple[int, str],
        {
            "type": "array",
            "items": {"type": ["integer", "string"]},
            "description": "length at least 2, length at most 2, in this order: integer, string",
        },
    ),
    (tuple[()], {"type": "array", "description": "length at least 0, length at most 0"}),
    (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
    (dict[str, int], {"type": "object", "description": "values: integer"}),
    (dict[str, Any], {"type": "object"}),
    (dict[str, list[int]], {"type": "object", "description": 'values: {"type":"array","items":{"type":"integer"}}'}),
    (date, {"type": "string", "description": "a date such as 2026-01-31"}),
    (Annotated[datetime, Meta(tz=True)], {"type": "string", "description": "a time such as 2026-01-31T12:30:00Z"}),
    (Annotated[time, Meta(tz=True)], {"type": "string", "description": "a time such as 12:30:00Z"}),
    (timedelta, {"type": "string", "description": "a duration such as PT1H30M"}),
    (UUID, {"type": "string", "description": "a UUID"}),
    (Decimal, {"type": "string", "description": "a decimal number"}),
    (bytes, {"type": "string", "description": "in base64"}),
    (Path, {"type": "string", "description": "a path"}),
    (PurePosixPath | None, {"anyOf": [{"type": "string", "description": "a path"}, {"type": "null"}]}),
    (
        Annotated[int, Meta(ge=1, lt=9, multiple_of=2, description="How many.")],
        {"type": "integer", "description": "How many (at least 1, less than 9, a multiple of 2)."},
    ),
    (
        Annotated[float, Meta(gt=0, le=1, description="part")],
        {"type": "number", "description": "part (more than 0, at most 1)"},
    ),
    (
        Annotated[str, Meta(min_length=1, max_length=9, pattern="^a")],
        {"type": "string", "description": "matching ^a, length at least 1, length at most 9"},
    ),
    (
        Annotated[dict[str, Any], Meta(min_length=1, max_length=2)],
        {"type": "object", "description": "at least 1 keys, at most 2 keys"},
    ),
    (
        Capital,
        {
            "type": "object",
            "properties": {"name": {"type": "string"}, "people": {"type": ["integer", "null"]}},
            "required": ["name"],
            "description": "A capital.",
        },
    ),
    (
        Owner,
        {
            "type": "object",
            "properties": {
                "pet": {
                    "anyOf": [
                        {
                            "type": "object",
                            "properties": {"kind": {"type": "string", "enum": [name]}},
                            "required": ["kind"],
                            "description": told,
                        }
                        for name, told in (
                            ("cat", "A member of a union of models."),
                            ("dog", "Another member of it."),
                        )
                    ]
                }
            },
            "required": ["pet"],
            "description": "A model that contains one of them.",
        },
    ),
    (Annotated[Point, Meta(description="Where.")], told(Point) | {"description": "Where."}),
    (
        Pair,
        {
            "type": "array",
            "items": {"anyOf": [{"type": "string"}, {"type": "integer", "description": "default 1"}]},
            "description": "A key and how often it was seen (length at least 1, length at most 2, "
            'in this order: string, {"type":"integer","description":"default 1"}).',
        },
    ),
]


@pytest.mark.parametrize(("kind", "expected"), TABLE, ids=str)
def test_table(kind: Any, expected: dict[str, Any]) -> None:
    """Each type has only the kept keys, and the rest is in the description."""
    assert expected == told(kind)


KINDS = [kind for kind, _ in TABLE] + [Answer, City, Country, Level, Order, Row, Leaf | Branch, list[Order | None]]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_only_kept_keys(kind: Any) -> None:
    """No other key occurs at any depth, and the schema is valid."""
    assert accepts({"anyOf": [told(kind), True]}, None)
    assert set() == strays(told(kind))


def test_order_of_properties() -> None:
    """Properties keep their order."""
    assert ["number", "rows", "unit", "notes", "placed"] == list(told(Order)["properties"])
    assert ["reasons", "answer", "confidence"] == list(told(Answer)["properties"])


@pytest.mark.parametrize("kind", [Tree, Node, list[Tree], dict[str, Node], Node | None])
def test_recursion_is_refused(kind: Any) -> None:
    """A recursive type is refused by name."""
    with pytest.raises(InvalidValueError, match="does not contain itself") as caught:
        inlined(schema_of(kind, field="f(x)"), field="f(x)")

    assert "f(x)" == caught.value.field
    assert caught.value.given in ("'Tree'", "'Node'")


def test_one_type_in_two_places_is_no_recursion() -> None:
    """A type may occur more than once."""
    two = told(tuple[Point, Point])

    assert told(Point) == two["items"]


def test_odd_schemas() -> None:
    """Keys that msgspec and pydantic do not write are kept where possible."""
    odd = {
        "oneOf": [{"type": "string", "format": "email"}, {"const": 3}, {"enum": [[1], {"a": 1}, 1.5, True]}],
        "additionalProperties": False,
        "allOf": [True],
        "default": [1],
    }

    assert inlined(odd, field="x") == {
        "anyOf": [
            {"type": "string", "description": "format email"},
            {"type": "integer", "enum": [3]},
            {"type": ["array", "object", "number", "boolean"], "enum": [[1], {"a": 1}, 1.5, True]},
        ],
        "description": "default [1]",
    }
