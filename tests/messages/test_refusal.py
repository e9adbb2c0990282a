"""The refusal of a wrong value, and the root of all errors."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from rxollama._invalid_value import InvalidValueError, RxOllamaError, invalid_value


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def _pickled(value: object) -> object:
    return pickle.loads(pickle.dumps(value))  # noqa: S301 - Our own bytes.


class TestRefuse:
    """`invalid_value()` words the error, and leaves raising it to its caller."""

    def test_names_field_value_and_what_is_allowed(self) -> None:
        """The error says what is wrong, what was given and what would be right."""
        error = invalid_value("think", "very", "a bool")

        assert (error.field, error.given, error.allowed) == ("think", "'very'", "a bool")
        assert str(error) == "think: expected a bool, got 'very'"

    def test_hides_what_people_write(self) -> None:
        """Of a value that is not to be shown only the type is named."""
        error = invalid_value("content", b"my secret", "a str", show=False)

        assert error.given == "bytes"
        assert "secret" not in str(error)

    def test_shortens_long_values(self) -> None:
        """A long value is cut, and the cut is marked."""
        error = invalid_value("format", "x" * 1000, "'json'")

        assert error.given == "'" + "x" * 79 + "…"

    @pytest.mark.parametrize("given", [_nested(100_000), 10**5000], ids=["too deep", "too many digits"])
    def test_survives_values_without_a_repr(self, given: object) -> None:
        """A value that Python itself cannot word is named by its type."""
        assert invalid_value("options", given, "else").given == type(given).__name__


class TestInvalidValueError:
    """`InvalidValueError` is a value that travels."""

    def test_is_a_value_error_of_ours(self) -> None:
        """It is caught as a ValueError and as an error of rxollama."""
        assert issubclass(InvalidValueError, RxOllamaError)
        assert issubclass(InvalidValueError, ValueError)

    @pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, _pickled])
    def test_is_copied_and_pickled_whole(self, again: Callable[[object], object]) -> None:
        """A copy says the same, in every field."""
        error = invalid_value("think", "very", "a bool")

        twin = again(error)

        assert type(error) is type(twin)
        assert (str(error), vars(error)) == (str(twin), vars(twin))

    def test_needs_only_a_message(self) -> None:
        """What it does not know is empty."""
        error = InvalidValueError("wrong")

        assert (error.field, error.given, error.allowed) == ("", "", "")
