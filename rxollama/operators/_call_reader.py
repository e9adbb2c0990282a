"""
A strict reader of tool calls that a model writes as text, which arrives in parts; without chunks and Rx.

The law. A text is calls if the whole of it is one of the forms below, and every call names an offered tool and gives
only arguments that this tool has. Anything else is text. However the text is cut, the result is the same, and `feed`
returns False with the first character after which no continuation can be calls. Arguments are an exception: a wrong
name, a key that comes twice or a number that is not finite shows at the end of their object.

The forms, with white space around each part:

- an object `{"name": ..., "arguments": {...}}`, as Qwen 2.5 Coder prints it, or with `parameters`, as Llama 3 does; a
  `"type": "function"` and an `id` may stand beside them, and `{"function": {...}}` around them;
- several of these with white space or `;` between them, a list of them, or `{"tool_calls": [...]}` (Devstral);
- one of these after `<|python_tag|>` (Llama 3), `[TOOL_CALLS]` (Mistral) or `functools` (Phi 4 mini), or between
  `<|tool_call|>` and `<|/tool_call|>` (Phi 4 mini; Granite leaves out the second);
- one or more blocks of `<tool_call>` and `</tool_call>` (Hermes, Qwen) around one of these;
- one Markdown fence around one of these or around such blocks.

What is not JSON is left as text: `[f(a=1)]` (Llama 4), `<function=f>` (Qwen 3 Coder), quotes of Python. To read these
is to guess the types of the arguments.

How it reads. It is a recursive descent, written as generators that yield where a part of the text ends. So a place in
the grammar is a place in the code, which may be left and entered between any two characters. Each character is looked
at once. Arguments, the only part without a bound, go through `JsonReader`, in pieces, because its place after the value
is only known from the fault that the next character causes, and a copy of all that follows each object would be
quadratic. The depth is bounded: 250 levels in arguments, three elsewhere.

The alternatives. A regular expression over the whole content, as most servers have it, cannot tell whether an
unfinished text may still match, so nothing would stream. `JsonReader` for the whole content would be simpler, and would
hold back every answer that is JSON to its end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterable, Mapping
from functools import cache
from math import isfinite
from typing import Any, TypeAlias, TypeVar, final

import msgspec

from ..messages import Function, ToolCall
from ._json import JsonFault, JsonReader

__all__ = ("CallReader",)

T = TypeVar("T")

_Reading: TypeAlias = Generator[None, None, T]

_SPACE = re.compile(r"[ \t\r\n]+")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]+')
_PIECE = 512
_FENCES = {f"```{word}{end}" for word in ("", "json", "tool_call") for end in ("\n", "\r\n")}
_OPENINGS = {"<tool_call>", "<|tool_call|>", "<|python_tag|>", "functools", *_FENCES}
# The keys that may not stand beside a key.
_EXCLUDED = {
    "name": {"name", "function", "tool_calls"},
    "arguments": {"arguments", "parameters", "function", "tool_calls"},
    "parameters": {"arguments", "parameters", "function", "tool_calls"},
    "function": {"function", "name", "arguments", "parameters", "tool_calls"},
    "type": {"type", "tool_calls"},
    "id": {"id", "tool_calls"},
    "tool_calls": {"name", "arguments", "parameters", "function", "type", "id", "tool_calls"},
}
_TOP = frozenset(_EXCLUDED)
_ITEM = _TOP - {"tool_calls"}
_INNER = frozenset({"name", "arguments", "parameters"})


class _NotCallsError(Exception):
    """The reason to stop: the text cannot be calls."""


@final
class _Words:
    """Words of which none begins with another, and all their beginnings."""

    __slots__ = ("prefixes", "words")

    def __init__(self, words: Iterable[str]) -> None:
        self.words = frozenset(words)
        self.prefixes = frozenset(word[:end] for word in self.words for end in range(1, len(word) + 1))


@cache
def _keys(allowed: frozenset[str]) -> _Words:
    return _Words(f'{key}"' for key in allowed)


_OPENING = _Words(_OPENINGS)
_MISTRAL = _Words({"TOOL_CALLS]"})
_FENCE_END = _Words({"```"})
_BLOCK = _Words({"<tool_call>"})
_BLOCK_END = _Words({"</tool_call>"})
_CALL_END = _Words({"<|/tool_call|>"})
_FUNCTION_TYPE = _Words({'"function"'})


@final
class CallReader:
    """
    A reader of the content of one message.

    Args:
        tools: The names of the parameters of each offered tool, by its name; None for a tool that takes any.
    """

    __slots__ = ("_at", "_calls", "_is_over", "_is_possible", "_names", "_reading", "_text", "_tools")

    def __init__(self, tools: Mapping[str, frozenset[str] | None]) -> None:
        self._tools = tools
        self._names = _Words(f'{name}"' for name in tools)
        self.restart()

    def restart(self) -> None:
        """Forget everything: another text begins."""
        self._text = ""
        self._at = 0
        self._is_over = False
        self._is_possible = bool(self._tools)
        self._calls: tuple[ToolCall, ...] = ()
        self._reading = self._content()

    def feed(self, text: str) -> bool:
        """Add the next part of the text, cut anywhere, and return whether all of it may still be calls."""
        self._text, self._at = text, 0
        self._go_on()
        return self._is_possible

    def end(self) -> tuple[ToolCall, ...]:
        """End the text, and return its calls; none if it is text."""
        self._is_over = True
        self._go_on()
        return self._calls

    def _go_on(self) -> None:
        if not self._is_possible:
            return
        try:
            next(self._reading)
        except StopIteration as done:
            self._calls = done.value
        except _NotCallsError:
            self._is_possible = False

    # The parts of the grammar. Each begins at the next character that is not read, and ends after its own last one.

    def _content(self) -> _Reading[tuple[ToolCall, ...]]:
        yield from self._space()
        calls = yield from self._form(is_fenced=False)
        yield from self._space()
        if (yield from self._peek()):
            raise _NotCallsError
        return tuple(_numbered(call, place) for place, call in enumerate(calls))

    def _form(self, *, is_fenced: bool) -> _Reading[list[ToolCall]]:
        char = yield from self._peek()
        if char == "{":
            return (yield from self._objects())
        if char == "[":
            return (yield from self._after_bracket())
        opening = yield from self._word(_BLOCK if is_fenced else _OPENING)
        yield from self._space()
        if opening in _FENCES:
            calls = yield from self._form(is_fenced=True)
            yield from self._space()
            yield from self._word(_FENCE_END)
            return calls
        if opening == "<tool_call>":
            return (yield from self._blocks())
        calls = yield from self._payload()
        if opening == "<|tool_call|>":
            yield from self._space()
            if (yield from self._peek()):
                yield from self._word(_CALL_END)
        return calls

    def _after_bracket(self) -> _Reading[list[ToolCall]]:
        self._at += 1
        if (yield from self._peek()) != "T":
            return (yield from self._list())
        yield from self._word(_MISTRAL)
        yield from self._space()
        return (yield from self._payload())

    def _blocks(self) -> _Reading[list[ToolCall]]:
        calls: list[ToolCall] = []
        while True:
            calls += yield from self._payload()
            yield from self._space()
            yield from self._word(_BLOCK_END)
            yield from self._space()
            if (yield from self._peek()) != "<":
                return calls
            yield from self._word(_BLOCK)
            yield from self._space()

    def _payload(self) -> _Reading[list[ToolCall]]:
        if (yield from self._peek()) == "{":
            return (yield from self._objects())
        yield from self._char("[")
        return (yield from self._list())

    def _objects(self) -> _Reading[list[ToolCall]]:
        calls = yield from self._object(_TOP)
        while True:
            has_space = yield from self._space()
            char = yield from self._peek()
            if char == ";":
                self._at += 1
                yield from self._space()
            elif char != "{" or not has_space:
                return calls
            calls += yield from self._object(_TOP)

    def _list(self) -> _Reading[list[ToolCall]]:
        """Read the objects of a list, after its bracket."""
        calls: list[ToolCall] = []
        while True:
            yield from self._space()
            calls += yield from self._object(_ITEM)
            yield from self._space()
            if (yield from self._char(",]")) == "]":
                return calls

    def _object(self, allowed: frozenset[str]) -> _Reading[list[ToolCall]]:
        """Read an object that is a call, or holds several, with some of the allowed keys."""
        fields: dict[str, Any] = {}
        yield from self._char("{")
        while True:
            yield from self._space()
            yield from self._char('"')
            key = (yield from self._word(_keys(allowed)))[:-1]
            allowed -= _EXCLUDED[key]
            yield from self._space()
            yield from self._char(":")
            yield from self._space()
            fields[key] = yield from self._value(key)
            self._check(fields)
            yield from self._space()
            if (yield from self._char(",}" if allowed else "}")) == "}":
                return _calls_of(fields)

    def _value(self, key: str) -> _Reading[Any]:
        if key == "type":
            return (yield from self._word(_FUNCTION_TYPE))
        if key == "function":
            return (yield from self._object(_INNER))
        if key == "tool_calls":
            yield from self._char("[")
            return (yield from self._list())
        if key in {"arguments", "parameters"}:
            return (yield from self._arguments())
        yield from self._char('"')
        return (yield from self._id()) if key == "id" else (yield from self._word(self._names))[:-1]

    def _check(self, fields: Mapping[str, Any]) -> None:
        """Stop if the arguments are not those of the tool, once both are known."""
        given = fields.get("arguments", fields.get("parameters"))
        if given is not None and "name" in fields:
            known = self._tools[fields["name"]]
            if known is not None and not given.keys() <= known:
                raise _NotCallsError

    def _arguments(self) -> _Reading[dict[str, Any]]:
        if (yield from self._peek()) != "{":
            raise _NotCallsError
        reader, pieces, length = JsonReader(), list[str](), 0
        is_whole = False
        while not is_whole:
            yield from self._peek_or_stop()
            piece = self._text[self._at : self._at + _PIECE]
            try:
                reader.feed(piece)
                is_whole = reader.complete
            except JsonFault as fault:
                is_whole = reader.complete
                if not is_whole:
                    raise _NotCallsError from None
                # The fault is what follows the value, and the white space behind it.
                piece = piece[: fault.position - length]
            pieces.append(piece)
            length += len(piece)
            self._at += len(piece)
        return _checked_arguments("".join(pieces))

    def _id(self) -> _Reading[str]:
        parts: list[str] = []
        while (yield from self._peek_or_stop()) != '"':
            plain = _PLAIN.match(self._text, self._at)
            if plain is None:
                raise _NotCallsError
            parts.append(plain.group())
            self._at = plain.end()
        self._at += 1
        return "".join(parts)

    # The steps below the grammar.

    def _peek(self) -> _Reading[str]:
        """Return the next character without reading it; empty at the end of the text."""
        while self._at == len(self._text):
            if self._is_over:
                return ""
            yield
        return self._text[self._at]

    def _peek_or_stop(self) -> _Reading[str]:
        char = yield from self._peek()
        if not char:
            raise _NotCallsError
        return char

    def _char(self, allowed: str) -> _Reading[str]:
        char = yield from self._peek_or_stop()
        if char not in allowed:
            raise _NotCallsError
        self._at += 1
        return char

    def _word(self, words: _Words) -> _Reading[str]:
        word = ""
        while word not in words.words:
            word += yield from self._peek_or_stop()
            if word not in words.prefixes:
                raise _NotCallsError
            self._at += 1
        return word

    def _space(self) -> _Reading[bool]:
        has_space = False
        while (yield from self._peek()) and (space := _SPACE.match(self._text, self._at)):
            self._at = space.end()
            has_space = True
        return has_space


def _calls_of(fields: Mapping[str, Any]) -> list[ToolCall]:
    """Return the calls of an object with these fields; stop if it has none."""
    if "tool_calls" in fields:
        return fields["tool_calls"]  # type: ignore[no-any-return] # The fields were read by their keys.
    call_id = fields.get("id", "")
    if "function" in fields:
        [call] = fields["function"]
        return [ToolCall(call.function, call_id)]
    given = fields.get("arguments", fields.get("parameters"))
    if given is None or "name" not in fields:
        raise _NotCallsError
    return [ToolCall(Function(fields["name"], given), call_id)]


def _numbered(call: ToolCall, place: int) -> ToolCall:
    return ToolCall(Function(call.name, call.arguments, place), call.id)


def _checked_arguments(text: str) -> dict[str, Any]:
    """Return arguments that every JSON parser reads alike, and that can be sent back; stop for others."""
    try:
        arguments: dict[str, Any] = json.loads(text, object_pairs_hook=_unique, parse_float=_finite)
        # Half of a surrogate pair can be read, but not sent.
        msgspec.json.encode(arguments)
    except UnicodeEncodeError:
        raise _NotCallsError from None
    return arguments


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _NotCallsError
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise _NotCallsError
    return number
