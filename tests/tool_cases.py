"""Types and functions for the tests of tools and schemas: one of everything that a model can be asked for."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict
from uuid import UUID

import msgspec
from jsonschema import Draft202012Validator
from msgspec import Meta
from pydantic import BaseModel, ConfigDict

from rxollama._checks import is_mapping

__all__ = (
    "KEPT",
    "Answer",
    "Branch",
    "Capital",
    "City",
    "Country",
    "Leaf",
    "Level",
    "Node",
    "Order",
    "Pair",
    "Point",
    "Row",
    "Strict",
    "Tree",
    "Unit",
    "accepts",
    "everything",
    "join_tools",
    "strays",
)

PATIENCE = 10.0

# What Ollama's servers keep of a property: https://github.com/ollama/ollama/blob/main/api/types.go.
KEPT = {"anyOf", "type", "items", "description", "enum", "properties", "required"}


class Unit(Enum):
    """A unit."""

    FAHRENHEIT = "fahrenheit"
    CELSIUS = "celsius"


class Level(IntEnum):
    """A level, not in the order of its numbers."""

    HIGH = 3
    LOW = 1


@dataclass
class Point:
    """A place on earth."""

    latitude: Annotated[float, Meta(ge=-90, le=90)]
    longitude: float = 0.0


class City(msgspec.Struct, frozen=True):
    """A city."""

    name: str
    at: Point
    aliases: tuple[str, ...] = ()


class Pair(NamedTuple):
    """A key and how often it was seen."""

    key: str
    seen: int = 1


class Answer(TypedDict):
    """An answer, its reasons first."""

    reasons: list[str]
    answer: str
    confidence: NotRequired[float]


class Capital(BaseModel):
    """A capital."""

    name: str
    people: int | None = None


class Country(BaseModel):
    """A country."""

    name: str
    capital: Capital
    neighbours: list[Capital] = []


class Strict(BaseModel):
    """A model that does not accept strings for numbers."""

    model_config = ConfigDict(strict=True)

    count: int


class Node(BaseModel):
    """A model that contains itself."""

    name: str
    kids: list[Node] = []


class Tree(msgspec.Struct):
    """A struct that contains itself."""

    name: str
    kids: list[Tree] = []


class Leaf(msgspec.Struct, tag=True):
    """One kind of a union."""

    colour: str


class Branch(msgspec.Struct, tag=True):
    """Another kind of a union."""

    leaves: list[Leaf]


@dataclass(frozen=True)
class Row:
    """A row of a table."""

    name: str
    price: float
    count: int | None = None
    tags: frozenset[str] = frozenset()


@dataclass
class Order:
    """An order."""

    number: int
    rows: list[Row]
    unit: Unit = Unit.CELSIUS
    notes: dict[str, str] = field(default_factory=dict[str, str])
    placed: datetime | None = None


def everything(
    *,
    text: str,
    number: Annotated[int, Meta(ge=1, le=9, description="A small number.")],
    share: float,
    flag: bool,
    choice: Literal["red", "green"],
    unit: Unit,
    level: Level,
    maybe: int | None,
    either: int | str,
    kind: Leaf | Branch,
    names: Annotated[list[str], Meta(min_length=1)],
    pair: Pair,
    fixed: tuple[int, str],
    many: tuple[int, ...],
    unique: set[int],
    table: dict[str, int],
    cities: dict[str, City],
    point: Point,
    city: City,
    answer: Answer,
    country: Country,
    anything: Any,
    code: Annotated[str, Meta(pattern="^[A-Z]{2}$")] = "NO",
    day: date | None = None,
    moment: Annotated[datetime, Meta(tz=True)] | None = None,
    identity: UUID | None = None,
    amount: Decimal = Decimal("1.50"),
    data: bytes = b"",
    order: Order | None = None,
) -> str:
    """
    Accept one of everything.

    :param text: Any text.
    :param number: Not what is told of it, since its hint says more.
    :param point: Where it is.
    :param order: What is wanted.
    """
    return f"{text} {locals()}"


def accepts(schema: dict[str, Any], value: Any) -> bool:
    """Return whether a foreign validator accepts a value by a valid schema."""
    validator: Any = Draft202012Validator
    validator.check_schema(schema)
    return bool(validator(schema).is_valid(value))


def strays(schema: Any) -> set[str]:
    """Find the keys of a property, at any depth, that a server would drop."""
    if not is_mapping(schema):
        return set()
    found = set(schema) - KEPT
    for part in (*schema.get("anyOf", ()), schema.get("items"), *schema.get("properties", {}).values()):
        found |= strays(part)
    return found


def join_tools() -> None:
    """Wait for the threads of tools that were left: each ends after its current step."""
    for thread in threading.enumerate():
        if thread.name.startswith("tool "):
            thread.join(PATIENCE)
            assert not thread.is_alive(), f"the thread of {thread.name} goes on"
