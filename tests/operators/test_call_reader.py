"""Tool calls that a model writes as text are read in the forms that models use, and nothing else is."""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from typing import Any

import pytest
from good_answers import good_answers
from hypothesis import given
from hypothesis import strategies as st
from strategies import json_objects

from rxollama.messages import Function, ToolCall
from rxollama.operators._call_reader import CallReader

TOOLS = {
    "get_time": frozenset({"city"}),
    "get_weather": frozenset({"city", "unit"}),
    "now": frozenset[str](),
    "any": None,
}
OSLO = '{"name": "get_time", "arguments": {"city": "Oslo"}}'
ROME = '{"name": "get_weather", "parameters": {"city": "Rome", "unit": "celsius"}}'
OSLO_CALL = ("get_time", {"city": "Oslo"}, "")
ROME_CALL = ("get_weather", {"city": "Rome", "unit": "celsius"}, "")
FUNCTION = '{"type": "function", "function": {"name": "get_time", "parameters": {"city": "Oslo"}}}'

FORMS: dict[str, list[tuple[str, dict[str, Any], str]]] = {
    # Qwen 2.5 Coder: https://github.com/ollama/ollama/issues/12174.
    OSLO: [OSLO_CALL],
    '{\n"name": "get_time",\n"arguments": {\n"city": "Oslo"\n}\n}\n': [OSLO_CALL],
    # Several in a row, which the same model prints: https://github.com/selfagency/opilot/issues/149.
    f"{OSLO}\n{ROME}": [OSLO_CALL, ROME_CALL],
    f"{OSLO} {ROME}\n\n{OSLO}": [OSLO_CALL, ROME_CALL, OSLO_CALL],
    # Llama 3: https://github.com/raullenchai/Rapid-MLX/issues/700, https://github.com/vllm-project/vllm/issues/11786.
    ROME: [ROME_CALL],
    FUNCTION: [OSLO_CALL],
    '{"type": "function", "name": "get_time", "parameters": {"city": "Oslo"}}': [OSLO_CALL],
    f"<|python_tag|>{ROME}": [ROME_CALL],
    f"<|python_tag|>{ROME}; {OSLO}": [ROME_CALL, OSLO_CALL],
    f"{ROME};{OSLO}": [ROME_CALL, OSLO_CALL],
    # Hermes and Qwen.
    f"<tool_call>\n{OSLO}\n</tool_call>": [OSLO_CALL],
    f"<tool_call>{OSLO}</tool_call>\n<tool_call>\n{ROME}\n</tool_call>\n": [OSLO_CALL, ROME_CALL],
    f"<tool_call>\n{OSLO}\n{ROME}\n</tool_call>": [OSLO_CALL, ROME_CALL],
    f"<tool_call>[{OSLO}]</tool_call>": [OSLO_CALL],
    # Mistral and Devstral: https://github.com/ggml-org/llama.cpp/issues/14697.
    f"[TOOL_CALLS][{OSLO}, {ROME}]": [OSLO_CALL, ROME_CALL],
    f"[TOOL_CALLS] {OSLO}": [OSLO_CALL],
    '[TOOL_CALLS][{"name": "get_time", "arguments": {"city": "Oslo"}, "id": "VvvODy9mT"}]': [
        (*OSLO_CALL[:2], "VvvODy9mT")
    ],
    f'{{"tool_calls": [{OSLO}, {FUNCTION}]}}': [OSLO_CALL, OSLO_CALL],
    # Phi 4 mini and Granite.
    f"functools[{OSLO}]": [OSLO_CALL],
    f"<|tool_call|>[{OSLO}]<|/tool_call|>": [OSLO_CALL],
    f"<|tool_call|>[{OSLO}, {ROME}]": [OSLO_CALL, ROME_CALL],
    # Lists and fences.
    f"[{OSLO}]": [OSLO_CALL],
    f" [ {OSLO} , {ROME} ] ": [OSLO_CALL, ROME_CALL],
    f"```\n{OSLO}\n```": [OSLO_CALL],
    f"```json\n{OSLO}\n```\n": [OSLO_CALL],
    f"```tool_call\r\n{OSLO}\r\n```": [OSLO_CALL],
    f"```json\n[{OSLO}, {ROME}]```": [OSLO_CALL, ROME_CALL],
    f"```\n<tool_call>\n{OSLO}\n</tool_call>\n```": [OSLO_CALL],
    # The keys in any order, and arguments of all kinds.
    '{"arguments": {"city": "Oslo"}, "id": "call_1", "name": "get_time", "type": "function"}': [
        (*OSLO_CALL[:2], "call_1")
    ],
    '{"id": "", "function": {"arguments": {"city": "Oslo"}, "name": "get_time"}}': [OSLO_CALL],
    '{"name": "now", "arguments": {}}': [("now", {}, "")],
    '{"name": "get_time", "arguments": {}}': [("get_time", {}, "")],
    '{"name": "any", "arguments": {"a": [1, -2.5e3, {"b": null}], "\\u00e9}": "{\\"}\\\\"}}': [
        ("any", {"a": [1, -2500.0, {"b": None}], "é}": '{"}\\'}, "")
    ],
    '{"name": "any", "arguments": {"a": 123456789012345678901234567890}}': [
        ("any", {"a": 123456789012345678901234567890}, "")
    ],
}

# Each text, cut where the character stands with which it can be no call; whole if only its end shows that.
TEXTS = [
    ("", ""),
    (" \n", ""),
    ("H", "ello"),
    (" \n H", "ello"),
    ("1", ""),
    ('"', OSLO),
    ("[]", ""),
    ("[[", "[[["),
    ("[1", ", 2]"),
    ("[TOOL_CALLS]g", "et_time{}"),
    ("[TOOL_CALLS]", ""),
    ("[Tw", "o]"),
    ("[", ""),
    ("{}", ""),
    ("{x", "}"),
    ("{'", "name': 'get_time'}"),
    ('{"c', 'ity": "Oslo"}'),
    ('{"names', '": []}'),
    ('{"name": "O', 'slo", "arguments": {}}'),
    ('{"name": "get_times', '", "arguments": {}}'),
    ('{"name": 1', "}"),
    ('{"name": "get_time"}', ""),
    ('{"name": "get_time", "d', 'escription": "", "parameters": {}}'),
    ('{"name": "get_time", "n', 'ame": "now"}'),
    ('{"arguments": {}}', ""),
    ('{"arguments": {}, "p', 'arameters": {}}'),
    ('{"name": "get_time", "arguments": "', '{}"}'),
    ('{"name": "get_time", "arguments": n', "ull}"),
    ('{"name": "get_time", "arguments": [', "]}"),
    ('{"name": "get_time", "arguments": {"city": "Oslo"}', ""),
    ('{"name": "get_time", "arguments": {"city": "Oslo', ""),
    ('{"name": "get_time", "arguments": {"town": "Oslo"}', "}"),
    ('{"name": "now", "arguments": {"city": "Oslo"}', "}"),
    ('{"arguments": {"town": "Oslo"}, "name": "get_time"', "}"),
    ('{"name": "get_time", "arguments": {"city": "Oslo", "city": "Rome"}', "}"),
    ('{"name": "any", "arguments": {"a": {"b": 1, "b": 1}}', "}"),
    ('{"name": "any", "arguments": {"a": 1e999}', "}"),
    ('{"name": "any", "arguments": {"a": N', "aN}}"),
    ('{"name": "any", "arguments": {"a": -I', "nfinity}}"),
    ('{"name": "any", "arguments": {"a": "\\ud800"}', "}"),
    ('{"name": "any", "arguments": {"a": 1,}', "}"),
    ('{"name": "any", "arguments": {"a": 01', "}}"),
    ('{"name": "get_time", "arguments": {"city": "Oslo"},}', ""),
    (OSLO[:-1] + "]", " "),
    ('{"type": "o', 'bject"}'),
    ('{"type": "function"}', ""),
    ('{"id": "a\\', 'n"}'),
    ('{"id": "a', ""),
    ('{"id": 1', "}"),
    ('{"function": "', 'get_time"}'),
    ('{"function": {"f', 'unction": {}}}'),
    ('{"function": {}', "}"),
    (f'{{"tool_calls": [{OSLO}],', ' "name": "now"}'),
    (f'{FUNCTION[:-1]}, "id": "a",', "}"),
    ('{"tool_calls": [{"to', 'ol_calls": []}]}'),
    ('{"tool_calls": {', "}}"),
    (f"{OSLO}{{", f"{ROME[1:]}"),
    (f"{OSLO},", ROME),
    (f"{OSLO};", ""),
    (f"{OSLO} T", "hat is the call."),
    (f"{OSLO}.", ""),
    (f"[{OSLO},]", ""),
    (f"[{OSLO} {{", f"{ROME[1:]}]"),
    (f"[{OSLO}", ""),
    ("<th", "ink>"),
    ("<tool_calls", f">{OSLO}</tool_calls>"),
    (f"<tool_call>{OSLO}", ""),
    (f"<tool_call>{OSLO}<t", "ool_call>"),
    (f"<tool_call>{OSLO}</tool_call>S", "o."),
    ("<tool_call>g", "et_time</tool_call>"),
    (f"<|tool_call|>{OSLO}</", "tool_call>"),
    (f"<|python_tag|>{OSLO}<", "|eom_id|>"),
    ("<|python_tag|>p", "rint()"),
    ("functi", "onal"),
    ("```p", "ython\nprint()\n```"),
    (f"```json\n{OSLO}", ""),
    (f"```json\n{OSLO}\n```\nT", "his calls it."),
    ("```json\n`", "``json"),
    ("```json\n<|", "tool_call|>"),
    (f"Call:\n```json\n{OSLO}\n```"[:1], f"Call:\n```json\n{OSLO}\n```"[1:]),
]


def read(*parts: str) -> list[tuple[str, dict[str, Any], str]]:
    """Return the names, arguments and ids of the calls in a text that comes in parts."""
    reader = CallReader(TOOLS)
    for part in parts:
        reader.feed(part)
    calls = reader.end()
    assert [call.function.index for call in calls] == [*range(len(calls))]
    return [(call.name, call.arguments, call.id) for call in calls]


@pytest.mark.parametrize("text", FORMS)
def test_forms(text: str) -> None:
    """Each form is read, also letter by letter, and may be calls up to its end."""
    reader = CallReader(TOOLS)

    assert read(text) == read(*text) == read(f"\r\n\t {text}\n") == FORMS[text]
    assert all(reader.feed(char) for char in text)


@pytest.mark.parametrize(("beginning", "rest"), TEXTS)
def test_texts(beginning: str, rest: str) -> None:
    """Everything else is text, and this shows with the first character after which it can be no calls."""
    reader = CallReader(TOOLS)
    possible = [reader.feed(char) for char in beginning]

    assert read(beginning + rest) == read(*beginning, *rest) == []
    assert all(possible[:-1])
    if rest:
        assert not possible[-1]
    assert not any(reader.feed(char) for char in rest)
    assert reader.end() == ()


def test_restart() -> None:
    """After a restart, another text is read from its beginning."""
    reader = CallReader(TOOLS)

    assert not reader.feed("So: ")
    reader.restart()
    assert reader.feed(OSLO)
    assert len(reader.end()) == 1
    reader.restart()
    assert reader.end() == ()


def test_no_tools() -> None:
    """Without tools, nothing can be a call."""
    reader = CallReader({})

    assert not reader.feed("{")
    assert reader.end() == ()


def test_good_answers() -> None:
    """None of 1,000 good answers is a call."""
    assert not any(read(text) for text in good_answers(1_000))


def cut(text: str, places: list[int]) -> list[str]:
    """Return a text in parts."""
    marks = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[start:end] for start, end in pairwise(marks)]


_PLACES = st.lists(st.integers(0, 400), max_size=12)
_FRAGMENTS = st.lists(
    st.sampled_from(
        [*FORMS, *(text for pair in TEXTS for text in pair), " ", "\n", "{", "}", '"', "name", ":", ",", "]"]
    ),
    max_size=4,
).map("".join)


@given(_FRAGMENTS, _PLACES)
def test_any_cut(text: str, places: list[int]) -> None:
    """However a text is cut, it has the same calls, and shows to be text with the same character."""
    whole, letters = CallReader(TOOLS), CallReader(TOOLS)
    possible = [letters.feed(char) for char in text]

    assert whole.feed(text) == all(possible)
    assert whole.end() == letters.end()
    reader, length = CallReader(TOOLS), 0
    for part in cut(text, places):
        length += len(part)
        assert reader.feed(part) == all(possible[:length])


@given(json_objects(), st.sampled_from(["arguments", "parameters"]), st.booleans(), _PLACES)
def test_any_arguments(arguments: dict[str, Any], key: str, is_ascii: bool, places: list[int]) -> None:
    """Arguments of any kind are read as they were written."""
    text = json.dumps({"name": "any", key: arguments}, ensure_ascii=is_ascii)
    reader = CallReader(TOOLS)
    for part in cut(text, places):
        reader.feed(part)

    assert reader.end() == (ToolCall(Function("any", arguments, 0)),)


ANY = '{"name": "any", "arguments": {"a": '
# Each text begins once, and goes on as often as is asked for.
HOSTILE = {
    "brackets": ("[", "[" * 1000),
    "brackets in arguments": (ANY, "[" * 1000),
    "an open string": (f'{ANY}"', "x" * 1000),
    "an open id": ('{"id": "', "x" * 1000),
    "escapes": (f'{ANY}"', "\\u0041" * 200),
    "white space": ("", " " * 1000),
    "white space in an object": ("{", " \n" * 500),
    "digits": (ANY, "1" * 1000),
    "many calls": ("", f"{OSLO}\n" * 20),
    "many blocks": ("", f"<tool_call>{OSLO}</tool_call>\n" * 20),
    "many elements": (f"{ANY}[", "{}, " * 250),
    "many keys": (f"{ANY}{{", '"key": 1, ' * 150),
}


def steps(text: str, size: int) -> int:
    """Return how many functions are called to read a text in parts."""
    reader = CallReader(TOOLS)
    count = 0

    def profile(_: object, event: str, __: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        for start in range(0, len(text), size):
            reader.feed(text[start : start + size])
        reader.end()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("size", [1, 7, 10**9])
@pytest.mark.parametrize(("head", "body"), HOSTILE.values(), ids=HOSTILE)
def test_work_is_linear(head: str, body: str, size: int) -> None:
    """Four times the text takes at most four times the steps."""
    one, four = (steps(head + body * times, size) for times in (3, 12))

    assert four <= 4 * one + 100


@pytest.mark.parametrize("name", HOSTILE)
def test_long_texts(name: str) -> None:
    """A long text in one part is read, a megabyte where that is quick, and is text unless it is calls."""
    head, body = HOSTILE[name]
    length = 100_000 if name.startswith(("many", "escapes")) else 1_000_000
    calls = read(head + body * (length // len(body)))

    assert bool(calls) == (name in {"many calls", "many blocks"})
