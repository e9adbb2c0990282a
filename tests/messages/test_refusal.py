"""The errors for wrong values, and the root of all errors."""

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
    """`invalid_value()` builds the error for a wrong value."""

    def test_names_field_value_and_what_is_allowed(self) -> None:
        """The error names the field, what was expected and what was given."""
        error = invalid_value("think", "very", "a bool")

        assert (error.field, error.given, error.allowed) == ("think", "'very'", "a bool")
        assert str(error) == "think: expected a bool, got 'very'"

    def test_hides_what_people_write(self) -> None:
        """The error for a private value names only its type."""
        error = invalid_value("content", b"my secret", "a str", show=False)

        assert error.given == "bytes"
        assert "secret" not in str(error)

    def test_shortens_long_values(self) -> None:
        """A long value is shortened with a mark."""
        error = invalid_value("format", "x" * 1000, "'json'")

        assert error.given == "'" + "x" * 79 + "…"

    @pytest.mark.parametrize("given", [_nested(100_000), 10**5000], ids=["too deep", "too many digits"])
    def test_survives_values_without_a_repr(self, given: object) -> None:
        """A value without a repr is named by its type."""
        assert invalid_value("options", given, "else").given == type(given).__name__


class TestInvalidValueError:
    """`InvalidValueError` can be copied and pickled."""

    def test_is_a_value_error_of_ours(self) -> None:
        """It is a ValueError and a RxOllamaError."""
        assert issubclass(InvalidValueError, RxOllamaError)
        assert issubclass(InvalidValueError, ValueError)

    @pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, _pickled])
    def test_is_copied_and_pickled_whole(self, again: Callable[[object], object]) -> None:
        """A copy has the same fields."""
        error = invalid_value("think", "very", "a bool")

        twin = again(error)

        assert type(error) is type(twin)
        assert (str(error), vars(error)) == (str(twin), vars(twin))

    def test_needs_only_a_message(self) -> None:
        """The fields are empty by default."""
        error = InvalidValueError("wrong")

        assert (error.field, error.given, error.allowed) == ("", "", "")
