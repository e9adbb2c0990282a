"""The JSON Schema of a type."""

from __future__ import annotations

import json
import re
import types
from typing import Annotated, Any, Literal, TypedDict

import msgspec
import pytest
from pydantic import BaseModel
from tool_cases import Answer, Capital, City, Country, Level, Node, Order, Pair, Point, Row, Tree, Unit, accepts

from rxollama._schema import schema_of
from rxollama.errors import InvalidValueError

KINDS: list[Any] = [
    *(int, str, float, bool, None, Any, Literal["a", 1], Unit, Level, Row, Order, City, Pair, Answer, Country, Tree),
    *(Node, Point, list[Node], dict[str, Country], Country | None, list[int] | None, tuple[int, str], set[Unit]),
    *(int | str, list[tuple[Country, Node, Tree]]),
]


def references_of(schema: Any) -> set[str]:
    """Return the references in a schema."""
    return set(re.findall(r'"\$ref": "([^"]*)"', json.dumps(schema)))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_schemas_are_valid(kind: Any) -> None:
    """Every schema is valid, and its references can be resolved."""
    schema = schema_of(kind, field="format")

    assert accepts({"anyOf": [schema, True], "$defs": schema.get("$defs", {})}, None)
    assert {f"#/$defs/{name}" for name in schema.get("$defs", {})} >= references_of(schema)


def test_recursion_is_allowed() -> None:
    """A recursive type has a schema."""
    schema = schema_of(list[Node | None], field="format")

    assert accepts(schema, [{"name": "a", "kids": [{"name": "b"}]}, None])
    assert not accepts(schema, [{"name": "a", "kids": [{"name": 1}]}])


def test_typed_dicts_keep_their_order() -> None:
    """The keys of a TypedDict keep their order."""
    schema = schema_of(list[Answer], field="format")["$defs"]["Answer"]

    assert ["reasons", "answer", "confidence"] == list(schema["properties"])
    assert ["reasons", "answer"] == schema["required"]


def test_enums_keep_their_order() -> None:
    """The values of an Enum keep their order."""
    definitions = schema_of(dict[str, Unit | Level], field="format")["$defs"]

    assert ["fahrenheit", "celsius"] == definitions["Unit"]["enum"]
    assert [3, 1] == definitions["Level"]["enum"]


def test_orders_of_types_with_one_name() -> None:
    """Two types of one name each have their own order."""

    class Other(TypedDict, total=False):
        verdict: str
        answer: str

    Other.__name__ = "Answer"
    definitions = schema_of(tuple[Answer, Other], field="format")["$defs"].values()

    assert [["reasons", "answer", "confidence"], ["verdict", "answer"]] == [
        list(one["properties"]) for one in definitions
    ]


class TestModels:
    """Models of pydantic describe themselves."""

    def test_alone(self) -> None:
        """The schema of a model alone is its own."""
        assert Country.model_json_schema() == schema_of(Country, field="format")

    def test_within(self) -> None:
        """The definitions of a model within another type move to the root."""
        schema = schema_of(list[Country], field="format")

        assert {"Capital"} == set(schema["$defs"])
        assert accepts(schema, [{"name": "Norway", "capital": {"name": "Oslo"}}])

    def test_definitions_are_shared(self) -> None:
        """One model in two places is defined once."""
        schema = schema_of(tuple[Country, Country, Capital], field="format")

        assert {"Capital"} == set(schema["$defs"])

    def test_names_that_clash(self) -> None:
        """Of two definitions with one name, one is renamed with its references."""
        other = other_models()

        schema = schema_of(types.GenericAlias(tuple, (list[Country], other, other)), field="format")

        assert {"Capital", "Capital_2", "Capital_3"} == set(schema["$defs"])
        assert {"#/$defs/Capital_2"} == references_of(schema["$defs"]["Capital_2"])
        norway, tall = {"name": "N", "capital": {"name": "O"}}, {"capital": {"height": 1.5, "next": {"height": 2}}}
        assert accepts(schema, [[norway], tall, tall])
        assert not accepts(schema, [[tall], norway, norway])

    def test_root(self) -> None:
        """The root is the type itself, without definitions that nothing refers to."""

        class Leaf(msgspec.Struct):
            size: int

        leaf, tree = schema_of(Leaf, field="format"), schema_of(types.GenericAlias(list, (Leaf,)), field="format")
        assert leaf == tree["$defs"]["Leaf"]
        assert "$defs" not in leaf
        described = schema_of(Annotated[Leaf, msgspec.Meta(description="One of many.")], field="format")
        assert described == leaf | {"description": "One of many."}
        itself = schema_of(Node, field="format")
        assert {key: value for key, value in itself.items() if key != "$defs"} == itself["$defs"]["Node"]

    def test_names_that_clash_with_ours(self) -> None:
        """A definition of msgspec keeps its name."""

        class Capital(msgspec.Struct):
            letters: str

        schema = schema_of(dict[str, Capital | list[Country]], field="format")

        assert ["letters"] == list(schema["$defs"]["Capital"]["properties"])
        assert ["name", "people"] == list(schema["$defs"]["Capital_2"]["properties"])

    def test_fields_that_look_like_schema(self) -> None:
        """A field may have the name of a keyword of JSON Schema."""
        odd: Any = TypedDict("odd", {"$defs": Country, "$ref": str, "enum": Literal["a"], "properties": int})

        schema = schema_of(odd, field="format")

        assert ["Capital"] == list(schema["$defs"])
        right = {"$defs": {"name": "N", "capital": {"name": "O"}}, "$ref": "x", "enum": "a", "properties": 1}
        assert accepts(schema, right)


def other_models() -> Any:
    """Make a model that contains another with the same name."""

    class Capital(BaseModel):
        height: float
        next: Capital | None = None

    class Building(BaseModel):
        capital: Capital

    Building.model_rebuild(_types_namespace={"Capital": Capital})
    return Building


class Unresolved(msgspec.Struct):
    """A struct with a hint that cannot be resolved."""

    field: Missing  # type: ignore[name-defined]  # noqa: F821 # pyright: ignore[reportUndefinedVariable] - It is missing on purpose.


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (complex, "complex"),
        (list[complex], "complex"),
        ("text", "not supported"),
        (3, "not supported"),
        (Unresolved, "Missing"),
        (Row | Point, "more than one"),
    ],
)
def test_refused(kind: Any, reason: str) -> None:
    """A type that JSON Schema cannot describe is refused with the place and the reason."""
    with pytest.raises(InvalidValueError, match=reason) as caught:
        schema_of(kind, field="format")

    assert "format" == caught.value.field
