"""The text of a result."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import json_values, texts
from tool_cases import Capital, City, Pair, Point, Unit

from rxollama.errors import InvalidValueError
from rxollama.tools import ToolProgress, result_text

ITSELF: list[Any] = []
ITSELF.append(ITSELF)


class Opaque:
    """A value that JSON cannot express."""

    def __str__(self) -> str:
        return "opaque"


class Shade(str, Enum):  # noqa: UP042 - The older way to be a text is still around.
    """An enum of strings."""

    DARK = "dark"


@dataclass
class Numbers:
    """Numbers of all kinds."""

    large: int
    exact: Decimal


@pytest.mark.parametrize(
    ("items", "text"),
    [
        (["3 °C"], "3 °C"),
        (["3", " ", "°C"], "3 °C"),
        ([""], ""),
        ([Shade.DARK, "!"], "dark!"),
        ([3], "3"),
        ([True], "true"),
        ([1.5], "1.5"),
        ([float("nan")], "null"),
        ([None], "null"),
        ([[1, "a", None]], '[1,"a",null]'),
        ([{"a": {"b": 1}, 2: 3}], '{"a":{"b":1},"2":3}'),
        ([Point(1.0, 2.0)], '{"latitude":1.0,"longitude":2.0}'),
        ([City("Oslo", Point(1.0))], '{"name":"Oslo","at":{"latitude":1.0,"longitude":0.0},"aliases":[]}'),
        ([Capital(name="Oslo")], '{"name":"Oslo","people":null}'),
        ([{"capitals": [Capital(name="Oslo", people=1)]}], '{"capitals":[{"name":"Oslo","people":1}]}'),
        ([Unit.CELSIUS], '"celsius"'),
        ([Pair("a")], '["a",1]'),
        ([{1}], "[1]"),
        ([frozenset([Unit.CELSIUS])], '["celsius"]'),
        ([date(2026, 1, 31)], '"2026-01-31"'),
        ([datetime(2026, 1, 31, 12, 30, tzinfo=UTC)], '"2026-01-31T12:30:00+00:00"'),
        ([timedelta(minutes=90)], '"PT5400S"'),
        ([UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")], '"6ba7b810-9dad-11d1-80b4-00c04fd430c8"'),
        ([b"hello"], '"aGVsbG8="'),
        ([[Decimal("1.50")]], '["1.50"]'),
        ([PurePosixPath("/a")], '"/a"'),
        ([{"at": Opaque()}], '{"at":"opaque"}'),
        ([{"a": deque([1])}], '{"a":"deque([1])"}'),
        ([2**70], str(2**70)),
        ([ITSELF], "[[...]]"),
        ([1, {"a": 1}, None], '1\n{"a":1}\nnull'),
        (["Rows", ":", {"a": 1}, {"a": 2}, "That", " is all."], 'Rows:\n{"a":1}\n{"a":2}\nThat is all.'),
        ([ToolProgress("half"), 1, ToolProgress("all")], "1"),
        ([ToolProgress("half"), "a", ToolProgress("all"), "b"], "ab"),
        ([], "done"),
        ([ToolProgress("all")], "done"),
        (["caf\udce9"], "caf\\udce9"),
        ([{"a": "\ud800"}], "{'a': '\\ud800'}"),
    ],
    ids=repr,
)
def test_text(items: list[Any], text: str) -> None:
    """Strings are joined, other values are JSON on lines of their own, and progress is left out."""
    assert text == result_text(items)


def test_progress() -> None:
    """The text of a progress is a str, and anything else raises in the tool."""
    with pytest.raises(InvalidValueError, match=r"text: expected .*, got int"):
        ToolProgress(50)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - On purpose.


@given(json_values().filter(lambda value: not isinstance(value, str)))
def test_values_are_json(value: Any) -> None:
    """The text of a JSON value can be decoded."""
    assert value == msgspec.json.decode(result_text([value]))


@given(st.lists(texts(), min_size=1))
def test_texts_are_joined(several: list[str]) -> None:
    """Strings are joined to the same text, however they are cut."""
    assert "".join(several) == result_text(several)
