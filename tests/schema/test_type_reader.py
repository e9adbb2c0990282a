"""The reading of values from JSON, and the errors with their paths."""

from __future__ import annotations

from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta
from tool_cases import Answer, Capital, City, Country, Level, Node, Order, Pair, Point, Row, Strict, Tree, Unit

from rxollama._schema import Misfit, TypeReader
from rxollama.errors import InvalidValueError

ROWS = st.builds(
    Row,
    st.text(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.frozensets(st.text(max_size=3), max_size=3),
)
ORDERS = st.builds(
    Order,
    st.integers(0, 99),
    st.lists(ROWS, max_size=3),
    st.sampled_from(Unit),
    st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
    st.none() | st.datetimes(),
)
STRICT = TypeReader.of(Order, field="format")
LAX = TypeReader.of(Order, field="format", lax=True)


@given(ORDERS)
def test_converts_what_it_wrote(order: Order) -> None:
    """A value survives JSON, strictly or not."""
    assert order == STRICT.convert(msgspec.to_builtins(order))
    assert order == LAX.convert(msgspec.to_builtins(order))
    assert order == STRICT.convert(msgspec.json.decode(msgspec.json.encode(order)))


@pytest.mark.parametrize(
    ("kind", "json", "value"),
    [
        (Unit, "celsius", Unit.CELSIUS),
        (Level, 3, Level.HIGH),
        (Pair, ["a"], Pair("a")),
        (City, {"name": "Oslo", "at": {"latitude": 59.9}}, City("Oslo", Point(59.9))),
        (Answer, {"reasons": [], "answer": "no"}, {"reasons": [], "answer": "no"}),
        (dict[int, str], {"1": "a"}, {1: "a"}),
        (set[int], [1, 1], {1}),
        (list[Any], [1, "a", None], [1, "a", None]),
        (dict[str, PurePosixPath | None], {"a": "b/c", "d": None}, {"a": PurePosixPath("b/c"), "d": None}),
        (datetime, "2026-01-31T12:30:00", datetime(2026, 1, 31, 12, 30)),  # noqa: DTZ001 - As it is written.
        (Tree | None, {"name": "a", "kids": [{"name": "b"}]}, Tree("a", [Tree("b")])),
    ],
)
def test_values(kind: Any, json: Any, value: Any) -> None:
    """Values have their types."""
    shape = TypeReader[Any].of(kind, field="format")

    assert value == shape.convert(json)
    assert value == shape.convert(msgspec.json.decode(msgspec.json.encode(json)))


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [(int, "3", 3), (float, "3.5", 3.5), (bool, "true", True), (int | None, "null", None), (int | str, "3", "3")],
)
def test_lax(kind: Any, text: str, value: Any) -> None:
    """Numbers and bools may be strings only if the reader is lax."""
    assert value == TypeReader[Any].of(kind, field="format", lax=True).convert(text)
    if value != text:
        with pytest.raises(Misfit):
            TypeReader[Any].of(kind, field="format").convert(text)


def test_types() -> None:
    """The value has the type of the reader."""
    assert "a" == TypeReader.of(Row, field="format").convert({"name": "a", "price": 1}).name
    assert ["a"] == TypeReader.of(list[str], field="format").convert(["a"])


ROW = {"name": "a", "price": 1}


@pytest.mark.parametrize(
    ("json", "path", "reason"),
    [
        (
            {"number": 1, "rows": [ROW, ROW, {"name": "a", "price": "x"}]},
            "$.rows[2].price",
            "Expected `float`, got `str`",
        ),
        ({"number": 1, "rows": [ROW, {"name": "a"}]}, "$.rows[1]", "Object missing required field `price`"),
        ({"number": 1, "rows": [], "unit": "kelvin"}, "$.unit", "Invalid enum value 'kelvin'"),
        ({"number": 1, "rows": [], "notes": {"a": 1}}, "$.notes[...]", "Expected `str`, got `int`"),
        ([], "$", "Expected `object`, got `array`"),
    ],
)
def test_misfits(json: Any, path: str, reason: str) -> None:
    """The error names the fault and its path."""
    with pytest.raises(Misfit) as caught:
        STRICT.convert(json)

    assert path == caught.value.path
    assert reason == caught.value.reason
    assert f"{reason} - at `{path}`" == str(caught.value)


def test_misfit_of_a_path() -> None:
    """A path must be a str."""
    with pytest.raises(Misfit, match="Expected `str`, got `int`") as caught:
        TypeReader.of(list[PurePosixPath], field="format").convert(["a", 1])

    assert "$[1]" == caught.value.path


def test_misfit_of_a_key() -> None:
    """The path to a key is the path of its object."""
    with pytest.raises(Misfit, match="Expected `int`, got `str`") as caught:
        TypeReader.of(dict[str, dict[int, str]], field="format").convert({"x": {"a": "b"}})

    assert "$[...]" == caught.value.path


def test_nested_too_deeply() -> None:
    """A value that is nested too deeply does not fit."""
    deep: dict[str, Any] = {"name": "a"}
    for _ in range(100_000):
        deep = {"name": "a", "kids": [deep]}
    with pytest.raises(Misfit, match="nested too deeply"):
        TypeReader.of(Tree, field="format").convert(deep)


class Even(msgspec.Struct):
    """A struct with its own check."""

    number: int

    def __post_init__(self) -> None:
        """Refuse odd numbers."""
        if self.number % 2:
            raise ValueError(f"{self.number} is odd")


def test_rules_of_types() -> None:
    """A value that fails a type's own check does not fit, with the check's words."""
    with pytest.raises(Misfit) as caught:
        TypeReader.of(list[Even], field="format").convert([{"number": 2}, {"number": 3}])

    assert ("$[1]", "3 is odd") == (caught.value.path, caught.value.reason)


class TestModels:
    """Models of pydantic validate their own values."""

    def test_values(self) -> None:
        """A model is validated alone and within another type."""
        norway = {"name": "Norway", "capital": {"name": "Oslo", "people": "700000"}}

        assert Country.model_validate(norway) == TypeReader.of(Country, field="format").convert(norway)
        assert 700_000 == TypeReader.of(list[Country], field="format").convert([norway])[0].capital.people

    def test_path(self) -> None:
        """The path continues within the model."""
        wrong = {"no": [{"name": "Norway", "capital": {"name": "Oslo"}, "neighbours": [{"name": "a"}, {}]}]}

        with pytest.raises(Misfit, match="Field required") as caught:
            TypeReader.of(dict[str, list[Country]], field="format").convert(wrong)

        assert "$[...][0].neighbours[1].name" == caught.value.path

    def test_at_the_root(self) -> None:
        """The path of a model alone begins at the root."""
        with pytest.raises(Misfit, match=r"Field required - at `\$.capital`"):
            TypeReader.of(Country, field="format").convert({"name": "Norway"})

    def test_strictness(self) -> None:
        """The strictness of a model is its own."""
        assert 3 == TypeReader.of(Capped, field="format").convert({"point": {"name": "a", "people": "3"}}).point.people
        with pytest.raises(Misfit, match="valid integer"):
            TypeReader.of(Strict, field="format", lax=True).convert({"count": "3"})

    def test_recursion(self) -> None:
        """A model may be recursive."""
        assert "b" == TypeReader.of(Node, field="format").convert({"name": "a", "kids": [{"name": "b"}]}).kids[0].name


class Capped(msgspec.Struct):
    """A struct that contains a model."""

    point: Capital


class Opaque:
    """A type of which msgspec knows only a schema."""


def test_types_of_nobody() -> None:
    """A type that cannot be made is an error when a value is read."""
    shape = TypeReader[Any].of(Annotated[Opaque, Meta(extra_json_schema={"type": "string"})], field="format")
    made = Opaque()

    assert made is shape.convert(made)
    with pytest.raises(Misfit, match="Expected `Opaque`, got `str`"):
        shape.convert("text")


def test_refused() -> None:
    """A type that cannot be read from JSON is refused with its field."""
    with pytest.raises(InvalidValueError) as caught:
        TypeReader.of(complex, field="format")

    assert "format" == caught.value.field


def test_schema() -> None:
    """A reader has the schema of its type."""
    assert {"enum": [1, 2]} == TypeReader[Any].of(Literal[1, 2], field="format").schema
