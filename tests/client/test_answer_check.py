"""The client's words for answers that are none, and its silence about good ones."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from heard import Heard
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_answers import Answer, Scripted, record

from rxollama import Ollama, run
from rxollama import operators as op
from rxollama.messages import ChatRequest, ChatResponse, GenerateRequest, Message
from rxollama.testing import Recording, Reply, ScriptedOllama

_CALL: dict[str, Any] = {"name": "get_time", "arguments": {}}
_LOADED = {"model": "m", "created_at": "t", "message": {"role": "assistant", "content": ""}, "done": True}


def reason_of(reply: Reply, server: ScriptedOllama, request: ChatRequest | GenerateRequest) -> str:
    """Return the `done_reason` of the answer to a request."""
    server.enqueue(reply)
    with Ollama(server.url) as ollama:
        response = Heard(ollama.send(request).pipe(op.collect())).wait().items[-1]
    assert isinstance(response, ChatResponse)
    return response.done_reason


def in_one(thinking: str = "", content: str = "", **more: Any) -> Reply:
    """Return an answer in one record, as `stream=False` gives it."""
    message = {"role": "assistant", "content": content} | ({"thinking": thinking} if thinking else {})
    return Reply.json({"model": "m", "created_at": "t", "message": message, "done": True, "done_reason": "stop"} | more)


ASKED = ChatRequest(model="m", messages="Hi")
_SAID = {
    "nothing": (Reply.answer(), "empty"),
    "nothing, without a reason": (Reply.answer(done_reason=None), "empty"),
    "nothing, in one record": (in_one(), "empty"),
    "nothing, cut off": (Reply.answer(done_reason="length"), "length"),
    "empty records": (Reply.answer(["", "", ""]), "empty"),
    "thinking": (Reply.answer(thinking="Hm, well"), "thinking_only"),
    "thinking, byte by byte": (Reply.answer(thinking="Hm, well").cut(1), "thinking_only"),
    "thinking, cut off": (Reply.answer(thinking="Hm, well", done_reason="length"), "thinking_only"),
    "thinking, in one record": (in_one("Hm", done_reason="length"), "thinking_only"),
    "thinking, without a reason": (Reply.answer(thinking="Hm", done_reason=None), "thinking_only"),
    "thinking, with a new reason": (Reply.answer(thinking="Hm", done_reason="tired"), "tired"),
    "loaded": (Reply.json(_LOADED | {"done_reason": "load"}), "load"),
    "unloaded": (Reply.json(_LOADED | {"done_reason": "unload"}), "unload"),
    "an engine without done": (Reply.answer(done=False), "empty"),
    "content": (Reply.answer("Hello"), "stop"),
    "content, cut off": (Reply.answer("Hello", done_reason="length"), "length"),
    "white space": (Reply.answer(["\n"]), "stop"),
    "thinking and content": (Reply.answer("Hello", thinking="Hm"), "stop"),
    "content in the last record": (in_one("Hm", "Hello"), "stop"),
    "a call": (Reply.answer(tool_calls=[_CALL]), "stop"),
    "thinking and a call": (Reply.answer(thinking="Hm", tool_calls=[_CALL]), "stop"),
}


@pytest.mark.parametrize(("reply", "reason"), _SAID.values(), ids=_SAID)
def test_reason(server: ScriptedOllama, reply: Reply, reason: str) -> None:
    """An answer without content or call has the client's own reason; the server's own word stays otherwise."""
    assert reason_of(reply, server, ASKED) == reason


@pytest.mark.parametrize(
    ("request_", "is_asked"),
    [
        (ChatRequest(model="m", messages="Hi", stream=False), True),
        (ChatRequest(model="m", messages=[Message("user", "What is it?", images=("aGk=",))]), True),
        (ChatRequest(model="m", messages=[Message("user", "Hi"), Message("tool", "5")]), True),
        (ChatRequest(model="m", messages="Hi", format="json"), True),
        (GenerateRequest(model="m", prompt="Why?"), True),
        (ChatRequest(model="m", messages=()), False),
        (ChatRequest(model="m", messages=[Message("user", "Hi"), Message("assistant", "Hello")]), False),
        (ChatRequest(model="m", messages="Hi", debug_render_only=True), False),
        (GenerateRequest(model="m", prompt=""), False),
        (GenerateRequest(model="m", prompt="def f(", suffix="return 5"), False),
    ],
)
def test_requests(server: ScriptedOllama, request_: ChatRequest | GenerateRequest, is_asked: bool) -> None:
    """Where nothing was asked, or a model may rightly say nothing, the server's word stays."""
    texts = {"message": {"role": "assistant", "content": ""}, "response": ""}
    empty = Reply.json({"model": "m", "created_at": "t", "done": True, "done_reason": "stop"} | texts)

    assert reason_of(empty, server, request_) == ("empty" if is_asked else "stop")


def test_picture(server: ScriptedOllama) -> None:
    """A picture is an answer."""
    message = {"role": "assistant", "content": "", "images": ["aGk="]}
    reply = Reply.records([{**_LOADED, "message": message, "done": False}, {**_LOADED, "done_reason": "stop"}])

    assert reason_of(reply, server, ASKED) == "stop"


def test_load(server: ScriptedOllama, ollama: Ollama) -> None:
    """Loading and unloading a model is no chat without an answer."""
    assert server.url
    assert run(ollama.load("m")).done_reason == "load"
    assert run(ollama.unload("m")).done_reason == "unload"


@pytest.mark.parametrize("size", [None, 700])
def test_recordings(server: ScriptedOllama, recordings: dict[str, Recording], size: int | None) -> None:
    """Only the two answers of a real server without content have the client's words."""
    done = {name: each for name, each in recordings.items() if each.expect.get("done") and "chat" in each.request.path}
    for name, recording in done.items():
        reply = Reply.of(recording, speed=None)
        expected = {"empty": "empty", "thinking-unclosed": "thinking_only"}.get(name, recording.expect["done_reason"])

        assert (name, reason_of(reply.cut(size) if size else reply, server, ASKED)) == (name, expected)


def test_log(server: ScriptedOllama, ollama: Ollama) -> None:
    """A finished chat without an answer is a warning in the log."""
    lines: list[tuple[str, str]] = []

    class Lines:
        """A logger that keeps the ends of chats."""

        def info(self, event: str, **fields: Any) -> None:
            """Keep a line."""
            lines.extend([("info", fields["done_reason"])] * (event == "chat_finished"))

        def warning(self, event: str, **fields: Any) -> None:
            """Keep a warning."""
            assert event == "chat_finished"
            lines.append(("warning", fields["done_reason"]))

        def error(self, event: str, **fields: Any) -> None:
            """Keep an error."""
            raise AssertionError((event, fields))

    replies = [Reply.answer(), Reply.answer(thinking="Hm"), Reply.json(_LOADED | {"done_reason": "load"})]
    server.enqueue(*replies, Reply.answer("Hello"), Reply.answer("Hello", done_reason="length"))
    for _ in range(5):
        Heard(ollama.chat("m", "Hi").pipe(op.log(Lines()))).wait()

    assert lines == [
        ("warning", "empty"),
        ("warning", "thinking_only"),
        ("warning", "load"),
        ("info", "stop"),
        ("info", "length"),
    ]


_TEXTS = st.lists(st.tuples(st.sampled_from(["", "a", " b"]), st.sampled_from(["", "Hm", " so"])), max_size=6)


@given(
    texts=_TEXTS,
    calls=st.booleans(),
    reason=st.sampled_from(["stop", "length", "", "load", "tired"]),
    places=st.lists(st.integers(0, 900), max_size=5),
)
@settings(max_examples=150, deadline=None)
def test_any_answer(texts: list[tuple[str, str]], calls: bool, reason: str, places: list[int]) -> None:
    """The reason follows from what is in the answer, however it is cut."""
    call: dict[str, Any] = {"tool_calls": [{"function": {"name": "f", "arguments": {}}}]}
    lines = [record(content, thinking) for content, thinking in texts]
    lines += [record(message=call)] * calls
    body = b"".join([*lines, record(done=True, done_reason=reason)])
    bounds = [0, *sorted(min(place, len(body)) for place in places), len(body)]
    pieces = tuple((0.0, body[start:end]) for start, end in pairwise(bounds))

    with Ollama(transport=Scripted((Answer(pieces),))) as ollama:
        response = run(ollama.chat("m", "Hi").pipe(op.collect()))
    has_content, has_thinking = any(text for text, _ in texts), any(text for _, text in texts)
    expected = reason
    if not has_content and not calls:
        if has_thinking and reason in {"stop", "length", ""}:
            expected = "thinking_only"
        elif not has_thinking and reason in {"stop", ""}:
            expected = "empty"
    assert response.done_reason == expected
