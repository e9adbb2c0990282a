"""The schemas in docs/tools.md are those that tools have."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict
from uuid import UUID

import msgspec
import pytest
from msgspec import Meta
from ollama import _utils
from pydantic import BaseModel

from rxollama._schema import inlined, schema_of
from rxollama.tools import Tool

DOCS = (Path(__file__).parent.parent.parent / "docs" / "tools.md").read_text("utf-8")
TABLE = DOCS.partition("## Side by side")[0]
ROWS = [re.split(r"(?<!\\) \| ", line.strip("| "))[:2] for line in TABLE.splitlines() if line.startswith("| `")]


class Colour(Enum):
    """A colour."""

    RED = "red"
    GREEN = "green"


@dataclass
class Place:
    """A place on earth."""

    latitude: float
    longitude: float


class PlaceStruct(msgspec.Struct):
    """A place on earth."""

    latitude: float
    longitude: float


class PlaceDict(TypedDict):
    """A place on earth."""

    latitude: float
    longitude: float


class PlaceModel(BaseModel):
    """A place on earth."""

    latitude: float
    longitude: float


NAMES: dict[str, Any] = {
    "__name__": __name__,
    **{one.__name__: one for one in (Colour, Decimal, Meta, Path, Place, UUID, dataclass, date, datetime, timedelta)},
    "Annotated": Annotated,
    "Any": Any,
    "Literal": Literal,
}


def block(kind: str) -> str:
    """Return the only block of a kind."""
    (found,) = re.findall(rf"^```{kind}\n(.*?)^```", DOCS, re.DOTALL | re.MULTILINE)
    return str(found)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_table(row: list[str]) -> None:
    """Each annotation of the table has the schema in its row."""
    annotations = re.findall(r"`([^`]+)`", re.split(", a dataclass|, an `|, or another", row[0])[0])
    (told,) = re.findall(r"`([^`]+)`", row[1])

    for annotation in annotations:
        kind = eval(annotation.replace("\\|", "|"), NAMES)  # noqa: S307 - The document is ours.
        assert json.loads(told) == inlined(schema_of(kind, field="x"), field="x")


def test_table_is_whole() -> None:
    """The table is found."""
    assert len(ROWS) > 20
    assert ["none, `Any`", "`{}`"] == next(
        line.strip("| ").split(" | ") for line in DOCS.splitlines() if line.startswith("| none")
    )
    assert {} == inlined(schema_of(Any, field="x"), field="x")


@pytest.mark.parametrize("kind", [Place, PlaceStruct, PlaceDict, PlaceModel])
def test_kinds_of_objects(kind: Any) -> None:
    """All kinds of objects have the same schema."""
    assert inlined(schema_of(Place, field="x"), field="x") == inlined(schema_of(kind, field="x"), field="x")


def test_side_by_side() -> None:
    """The function of the document has the two schemas in it, ours and the official client's."""
    names = dict(NAMES)
    exec(compile(block("python"), "docs/tools.md", "exec", dont_inherit=True), names)  # noqa: S102 - The document is ours.
    function: Any = names["get_weather"]

    assert block("json rxollama") == json.dumps(Tool(function).schema, indent=2) + "\n"
    client: Any = _utils
    theirs = client.convert_function_to_tool(function).model_dump(exclude_none=True)
    assert json.loads(block("json ollama")) == theirs
