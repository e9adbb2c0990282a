"""The checks that every room shares."""

from __future__ import annotations

from datetime import timedelta
from threading import TIMEOUT_MAX

import pytest

from rxollama._checks import check_callable, check_count, check_seconds
from rxollama.errors import InvalidValueError


class TestCheckCallable:
    """`check_callable()` returns a function, and refuses what cannot be called."""

    def test_returns_the_function(self) -> None:
        """Anything that can be called is a function."""
        assert check_callable("when", print) is print

    def test_refuses_anything_else(self) -> None:
        """The error names the field and what was expected, and does not show the value."""
        with pytest.raises(InvalidValueError) as refused:
            check_callable("when", "private", "a function of an error")

        assert str(refused.value) == "when: expected a function of an error, got str"


class TestCheckCount:
    """`check_count()` returns an int of 1 or more, and refuses the rest."""

    def test_returns_the_count(self) -> None:
        """The smallest count is 1."""
        assert check_count("attempts", 1) == 1

    @pytest.mark.parametrize("wrong", [0, -1, 1.0, True, "1", None])
    def test_refuses_anything_else(self, wrong: object) -> None:
        """The error names the field and what is allowed."""
        with pytest.raises(InvalidValueError) as refused:
            check_count("attempts", wrong)

        assert (refused.value.field, refused.value.allowed) == ("attempts", "an int, 1 or more")


class TestCheckSeconds:
    """`check_seconds()` returns a time to wait as a float."""

    @pytest.mark.parametrize(
        ("given", "seconds"), [(2, 2.0), (0.5, 0.5), (timedelta(milliseconds=250), 0.25), (TIMEOUT_MAX, TIMEOUT_MAX)]
    )
    def test_takes_numbers_and_timedeltas(self, given: object, seconds: float) -> None:
        """A timedelta is as good as a number."""
        checked = check_seconds("seconds", given)

        assert checked == seconds
        assert type(checked) is float

    @pytest.mark.parametrize("nothing", [0, 0.0, timedelta(0)])
    def test_zero_is_a_choice(self, nothing: object) -> None:
        """No time at all is allowed only where the caller says so."""
        assert check_seconds("seconds", nothing, zero=True) == 0
        with pytest.raises(InvalidValueError) as refused:
            check_seconds("seconds", nothing)

        assert refused.value.allowed == "a positive number of seconds"

    @pytest.mark.parametrize(
        "wrong", [-1, timedelta(seconds=-1), float("nan"), float("inf"), TIMEOUT_MAX * 2, 10**400, True, "1", None]
    )
    @pytest.mark.parametrize("zero", [True, False])
    def test_refuses_what_is_not_a_time_to_wait(self, wrong: object, zero: bool) -> None:
        """The error names the field."""
        with pytest.raises(InvalidValueError, match="number of seconds") as refused:
            check_seconds("max_wait", wrong, zero=zero)

        assert refused.value.field == "max_wait"
