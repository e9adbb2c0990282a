"""The schema of a function: valid, and with only the keys that servers keep."""

from __future__ import annotations

from typing import Any

import pytest
from tool_cases import accepts, everything, strays

from rxollama._schema import Misfit
from rxollama.tools import Tool

TOOL = Tool(everything)
PARAMETERS: dict[str, Any] = TOOL.schema["function"]["parameters"]
RIGHT: dict[str, Any] = {
    "text": "a",
    "number": 1,
    "share": 0.5,
    "flag": True,
    "choice": "red",
    "unit": "celsius",
    "level": 3,
    "maybe": None,
    "either": "a",
    "kind": {"type": "Branch", "leaves": [{"type": "Leaf", "colour": "green"}]},
    "names": ["a"],
    "pair": ["a", 2],
    "fixed": [1, "a"],
    "many": [1, 2, 3],
    "unique": [1, 2],
    "table": {"a": 1},
    "cities": {"no": {"name": "Oslo", "at": {"latitude": 59.9}}},
    "point": {"latitude": 59.9, "longitude": 10.7},
    "city": {"name": "Oslo", "at": {"latitude": 59.9}, "aliases": ["Christiania"]},
    "answer": {"reasons": ["a"], "answer": "b"},
    "country": {"name": "Norway", "capital": {"name": "Oslo"}},
    "anything": [1, {"a": None}],
}
OPTIONAL: dict[str, Any] = {
    "code": "SE",
    "day": "2026-01-31",
    "moment": "2026-01-31T12:30:00Z",
    "identity": "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    "amount": "2.50",
    "data": "aGVsbG8=",
    "order": {"number": 1, "rows": [{"name": "a", "price": 1.5, "count": None, "tags": ["x"]}], "unit": "fahrenheit"},
}
WRONG: list[tuple[str, Any]] = [
    ("text", 1),
    ("number", "one"),
    ("share", "half"),
    ("flag", "perhaps"),
    ("choice", "blue"),
    ("unit", "kelvin"),
    ("level", 2),
    ("maybe", "none"),
    ("either", [1]),
    ("kind", {"type": "Root"}),
    ("names", "a"),
    ("pair", {"key": "a"}),
    ("fixed", [1.5, []]),
    ("many", [1, "a"]),
    ("unique", [[]]),
    ("table", [1]),
    ("cities", "Oslo"),
    ("point", {"longitude": 10.7}),
    ("city", {"name": "Oslo", "at": {"latitude": "north"}}),
    ("answer", {"reasons": "a", "answer": "b"}),
    ("country", {"name": "Norway", "capital": {}}),
    ("code", 47),
    ("day", 31),
    ("data", []),
    ("order", {"number": 1, "rows": [{"name": "a", "price": "much"}]}),
]


def test_shape() -> None:
    """A tool has Ollama's shape, and its parameters have the keys that servers know."""
    assert {"type", "function"} == set(TOOL.schema)
    assert "function" == TOOL.schema["type"]
    assert {"name", "description", "parameters"} == set(TOOL.schema["function"])
    assert {"type", "properties", "required"} == set(PARAMETERS)


def test_only_kept_keys() -> None:
    """The schema has only keys that servers keep, at every depth."""
    assert set() == strays(PARAMETERS)


def test_order_and_defaults() -> None:
    """Parameters stand in their order, and those with a default are not required."""
    assert [*RIGHT, *OPTIONAL] == list(PARAMETERS["properties"])
    assert list(RIGHT) == PARAMETERS["required"]


def test_defaults_are_told() -> None:
    """A default is part of the description, except None."""
    told = {name: one.get("description", "") for name, one in PARAMETERS["properties"].items()}

    assert 'matching ^[A-Z]{2}$, default "NO"' == told["code"]
    assert 'a decimal number, default "1.50"' == told["amount"]
    assert "What is wanted." == told["order"]
    assert "default" not in told["day"]


def test_descriptions() -> None:
    """The docstring describes parameters, unless their hints do."""
    told = {name: one.get("description", "") for name, one in PARAMETERS["properties"].items()}

    assert "Any text." == told["text"]
    assert "A small number (at least 1, at most 9)." == told["number"]
    assert "Where it is." == told["point"]
    assert "A city." == told["city"]


def test_what_fits() -> None:
    """Arguments that fit are accepted by the schema, too."""
    assert accepts(PARAMETERS, RIGHT)
    assert set(RIGHT) == set(TOOL.arguments(RIGHT))


@pytest.mark.parametrize("name", OPTIONAL)
def test_what_may_be_left_out(name: str) -> None:
    """Each argument that has a default fits, and is accepted by the schema."""
    given = RIGHT | {name: OPTIONAL[name]}

    assert accepts(PARAMETERS, given)
    assert set(given) == set(TOOL.arguments(given))


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_what_does_not_fit(name: str, value: Any) -> None:
    """What does not fit is not accepted by the schema either, and its path begins with the parameter's name."""
    given = RIGHT | {name: value}

    assert not accepts(PARAMETERS, given)
    with pytest.raises(Misfit) as caught:
        TOOL.arguments(given)
    assert caught.value.path.startswith(f"$.{name}")


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_required(name: str) -> None:
    """Without one that is required, arguments are not accepted by either."""
    given = {key: value for key, value in RIGHT.items() if key != name}

    assert not accepts(PARAMETERS, given)
    with pytest.raises(Misfit, match=f"missing required field `{name}`"):
        TOOL.arguments(given)
