"""The tree of the errors, their texts, and copies of them."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest

from rxollama import errors
from rxollama.errors import (
    ContextTruncatedWarning,
    InvalidValueError,
    RepetitionError,
    ReportedError,
    RunningLoopError,
    RxOllamaError,
    SlowCallbackWarning,
    StatusError,
    StreamError,
    StreamTimeoutError,
    ToolError,
    UnauthorizedError,
    UnsupportedRuntimeError,
)
from rxollama.messages import ChatResponse, Function, Message, Metrics, ToolCall

_ALL: list[type[RxOllamaError]] = sorted(
    (value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, RxOllamaError)),
    key=lambda kind: kind.__name__,
)
_PARTIAL = ChatResponse(
    message=Message("assistant", "Half", "Hm", tool_calls=(ToolCall(Function("f", {"a": [1]}), "c"),)),
    metrics=Metrics(wall_duration=5),
    model="qwen3",
)


def _drawn() -> dict[str, str]:
    """Return the tree in the module's docstring, as each class with the class above it."""
    above: list[str] = []
    tree: dict[str, str] = {}
    for indent, name in re.findall(r"^    ([│├└─ ]*)([A-Z]\w+Error)\b", errors.__doc__ or "", re.MULTILINE):
        depth = len(indent) // 4
        above[depth:] = [name]
        tree[name] = above[depth - 1] if depth else ""
    return tree


def _full(kind: type[RxOllamaError]) -> RxOllamaError:
    """Return an error with every attribute set."""
    given: dict[str, Any] = {}
    if issubclass(kind, StreamError):
        given |= {"model": "qwen3", "host": "http://gpu-box:11434", "endpoint": "POST /api/chat", "partial": _PARTIAL}
    if issubclass(kind, StatusError):
        given |= {"status": 401, "signin_url": "https://ollama.example", "retry_after": 1.5}
    if issubclass(kind, (StatusError, ReportedError)):
        given |= {"detail": "no", "body": '{"error":"no"}'}
    if issubclass(kind, StreamTimeoutError):
        given |= {"phase": "gap"}
    if issubclass(kind, RepetitionError):
        given |= {"found_by": "stop_loops"}
    if issubclass(kind, ToolError):
        given |= {"call": _PARTIAL.message.tool_calls[0]}
    if issubclass(kind, InvalidValueError):
        given |= {"field": "think", "given": "'very'", "allowed": "True"}
    error = kind("it went wrong", **given)
    error.add_note("while testing")
    return error


def _pickled(protocol: int) -> Callable[[RxOllamaError], RxOllamaError]:
    def sent(error: RxOllamaError) -> RxOllamaError:
        there = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301 - These bytes are our own.
        assert isinstance(there, RxOllamaError)
        return there

    return sent


def _all_of_it(error: BaseException) -> tuple[type[BaseException], tuple[object, ...], str, dict[str, Any]]:
    return type(error), error.args, str(error), vars(error)


def test_tree_is_drawn_as_it_is() -> None:
    """The tree in the module's docstring is that of the classes."""
    real = {
        kind.__name__: next(
            (base.__name__ for base in kind.__mro__[1:] if issubclass(base, RxOllamaError)),
            "",
        )
        for kind in _ALL
    }

    assert real == _drawn()


@pytest.mark.parametrize("kind", [*_ALL, ContextTruncatedWarning, SlowCallbackWarning])
def test_class_is_documented_and_public(kind: type[Exception]) -> None:
    """Every class is public and has a docstring of its own with the version that added it."""
    assert ".. versionadded:: " in (vars(kind)["__doc__"] or "")
    assert kind.__name__ in errors.__all__


def test_public_names() -> None:
    """The public names are sorted, and each exists."""
    assert sorted(errors.__all__) == list(errors.__all__)
    assert all(hasattr(errors, name) for name in errors.__all__)


@pytest.mark.parametrize("kind", _ALL)
@pytest.mark.parametrize("sent", [copy.copy, copy.deepcopy, *map(_pickled, range(pickle.HIGHEST_PROTOCOL + 1))])
def test_error_survives(kind: type[RxOllamaError], sent: Callable[[RxOllamaError], RxOllamaError]) -> None:
    """A copied or pickled error keeps its attributes and notes."""
    error = _full(kind)
    error_there = sent(error)

    assert _all_of_it(error) == _all_of_it(error_there)
    assert ["while testing"] == error_there.__notes__


@pytest.mark.parametrize("kind", _ALL)
def test_error_with_a_message_alone(kind: type[RxOllamaError]) -> None:
    """An error needs only a message, which is then its text."""
    assert "it went wrong" == str(kind("it went wrong"))


@pytest.mark.parametrize(
    ("model", "host", "endpoint", "text"),
    [
        ("", "", "", "it went wrong"),
        ("qwen3", "", "", "it went wrong (model 'qwen3')"),
        ("", "", "GET /api/tags", "it went wrong (GET /api/tags)"),
        ("qwen3", "", "POST /api/chat", "it went wrong (model 'qwen3', POST /api/chat)"),
        ("", "http://gpu-box:11434", "", "it went wrong (http://gpu-box:11434)"),
        (
            *("qwen3", "https://gpu-box:443/x", "POST /api/chat"),
            "it went wrong (model 'qwen3', POST https://gpu-box:443/x/api/chat)",
        ),
    ],
)
def test_text_names_the_request(model: str, host: str, endpoint: str, text: str) -> None:
    """The text of an error names the model, the host and the endpoint, as far as they are known."""
    assert text == str(StreamError("it went wrong", model=model, host=host, endpoint=endpoint))


def test_text_names_the_host_once() -> None:
    """The text of an error does not repeat a host that its message names."""
    error = StreamError("cannot reach http://gpu-box:11434", host="http://gpu-box:11434", endpoint="POST /api/chat")

    assert "cannot reach http://gpu-box:11434 (POST /api/chat)" == str(error)


def test_text_names_the_request_that_is_told_later() -> None:
    """The text of an error names a model that was set later."""
    error = UnauthorizedError("it went wrong", status=401)
    error.model = "qwen3"

    assert "it went wrong (model 'qwen3')" == str(error)


def test_kinds_that_python_knows() -> None:
    """An error is also of the built-in class for its kind."""
    assert issubclass(StreamTimeoutError, TimeoutError)
    assert issubclass(InvalidValueError, ValueError)
    assert issubclass(RunningLoopError, RuntimeError)
    assert issubclass(UnsupportedRuntimeError, RuntimeError)
    assert issubclass(SlowCallbackWarning, RuntimeWarning)
    assert issubclass(ContextTruncatedWarning, RuntimeWarning)
