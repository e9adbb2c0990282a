"""Hypothesis strategies for the values: what a server may say, in any shape that it may say it."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from msgspec.structs import replace

from rxollama.messages import (
    ChatChunk,
    ClientTiming,
    Function,
    Logprob,
    Message,
    MessageBoundary,
    Restart,
    TokenLogprob,
    ToolCall,
)

__all__ = (
    "answers",
    "chunks",
    "conversations",
    "json_objects",
    "json_values",
    "logprobs",
    "messages",
    "restarts",
    "standing",
    "texts",
    "timings",
    "tool_calls",
)

_COUNTS = st.integers(min_value=0, max_value=2**40)
# Line ends of every kind, letters outside the first plane, marks that combine with what stands before them.
_TOLD = (
    *("", "word", " word", "\r", "\n", "\r\n", "\u0085", "\u2028", "\x00"),
    *("naïve", "e", "\u0301", "👩", "\u200d", "🚀", "日本"),
)
_CALL = ToolCall(Function("get_time", {"city": "Oslo"}, 0), "call_1")
# What the rest of a record may say: few draws for many fields keep the properties quick.
_ENVELOPES: SearchStrategy[dict[str, Any]] = st.sampled_from(
    (
        {},
        {"model": "qwen3", "created_at": "2026-01-01T00:00:00Z"},
        {"model": "gpt-oss", "created_at": "2026-01-01T00:00:01Z", "remote_model": "far"},
        {"remote_host": "https://far.example", "debug_info": {}},
        {"debug_info": {"image_count": 1}, "tool_failed": True},
        {"logprobs": (Logprob("word", -0.5, (119,), (TokenLogprob("word", -0.5), TokenLogprob("Word", -1.0))),)},
    )
)
_ENDS: SearchStrategy[dict[str, Any]] = st.sampled_from(
    (
        {},
        {"done_reason": "stop", "total_duration": 9, "load_duration": 1, "prompt_eval_count": 2, "eval_duration": 3},
        {"done_reason": "length", "prompt_eval_cached_count": 0, "prompt_eval_duration": 4, "client": ClientTiming()},
        {"prompt_eval_cached_count": 2, "client": ClientTiming(time_to_first_chunk=1, wall_duration=2, chunk_count=3)},
    )
)
_TEXTS = st.sampled_from(_TOLD) | st.text(max_size=8)
_ROLES = st.sampled_from(["", "assistant", "tool", "user"])
_NAMES = st.sampled_from([("", ""), ("get_time", ""), ("", "call_1"), ("get_weather", "call_2")])
_RESTARTS = st.sampled_from([*[None] * 6, Restart("lost", 2), Restart("slow", 3), Restart("lost", 2, "message")])
# One picture and one call are enough: it is the joining that counts.
_THINGS: SearchStrategy[Any] = st.sampled_from(
    [
        *[((), ())] * 3,
        *[((), (_CALL,)), ((), (_CALL, _CALL)), (("aGVsbG8=",), ()), (("aGVsbG8=",), (_CALL,))],
    ]
)


def texts() -> SearchStrategy[str]:
    """Draw texts, the empty one and all kinds of letters among them."""
    return _TEXTS


def json_values() -> SearchStrategy[Any]:
    """Draw whatever JSON can say, a few levels deep."""
    plain = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | texts()
    return st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | _objects(inner), max_leaves=6)


def json_objects() -> SearchStrategy[dict[str, Any]]:
    """Draw the arguments of a call."""
    return _objects(json_values())


def _objects(values: SearchStrategy[Any]) -> SearchStrategy[dict[str, Any]]:
    return st.dictionaries(texts(), values, max_size=3)


def tool_calls() -> SearchStrategy[ToolCall]:
    """Draw calls, with and without an id; indices are no keys and come twice."""
    functions = st.builds(Function, texts(), json_objects(), st.none() | st.integers(0, 2))
    return st.builds(ToolCall, functions, st.sampled_from(["", "call_1", "call_2"]))


def logprobs() -> SearchStrategy[Logprob]:
    """Draw the probability of a token, with what else was likely."""
    chances, spelled = st.floats(-100, 0), st.none() | st.binary(max_size=3).map(tuple)
    alternatives = st.lists(st.builds(TokenLogprob, texts(), chances, spelled), max_size=2).map(tuple)
    return st.builds(Logprob, texts(), chances, spelled, alternatives)


def timings() -> SearchStrategy[ClientTiming]:
    """Draw what a client saw."""
    moments = st.none() | _COUNTS
    return st.builds(
        ClientTiming,
        time_to_first_chunk=moments,
        time_to_first_token=moments,
        time_to_first_content=moments,
        wall_duration=moments,
        chunk_count=_COUNTS,
        host=st.sampled_from(["", "http://one:11434", "http://two:11434"]),
    )


@st.composite
def messages(draw: DrawFn, role: str | None = None) -> Message:
    """Draw what a chunk adds, of one role or of any."""
    name, call_id = draw(_NAMES) if role is None else ("", "")
    boundary = draw(_ROLES) if role is None else role
    images, calls = draw(_THINGS)
    return Message(boundary, draw(_TEXTS), draw(_TEXTS), images, calls, name, call_id)


def restarts() -> SearchStrategy[Restart | None]:
    """Draw the mark of a chunk with which an answer begins over; mostly there is none."""
    return _RESTARTS


@st.composite
def chunks(draw: DrawFn, *, done: bool | None = None, role: str | None = None, restarts: bool = True) -> ChatChunk:
    """Draw canonical chunks: the reason, the numbers and the client's view come with `done` only."""
    message, rest = draw(messages(role)), draw(_ENVELOPES)
    restart = draw(_RESTARTS) if restarts else None
    if not (draw(st.booleans()) if done is None else done):
        return ChatChunk(message=message, restart=restart, **rest)
    return ChatChunk(message=message, done=True, eval_count=draw(_COUNTS), restart=restart, **rest, **draw(_ENDS))


@st.composite
def answers(draw: DrawFn, *, ended: bool | None = None, restarts: bool = True) -> list[ChatChunk]:
    """Draw the chunks of one assistant's message, with its end or cut off before it."""
    said = draw(st.lists(chunks(done=False, role="assistant", restarts=restarts), max_size=4))
    if draw(st.booleans()) if ended is None else ended:
        said.append(draw(chunks(done=True, role="assistant", restarts=restarts)))
    return said


@st.composite
def conversations(draw: DrawFn, *, restarts: bool = True) -> list[list[ChatChunk]]:
    """
    Draw the messages of a conversation with tools, each as its chunks: assistant, tools, assistant and so on.

    Args:
        draw: Draws.
        restarts: Whether the assistant's messages may begin over, or the whole conversation with them.
    """
    spoken: list[list[ChatChunk]] = []
    for turn in range(draw(st.integers(0, 2))):
        spoken.append(draw(answers(ended=True, restarts=restarts)))
        for place in range(draw(st.integers(0, 2))):
            words = Message("tool", draw(texts()), tool_name="get_time", tool_call_id=f"call_{turn}_{place}")
            done, failed = draw(st.booleans()), draw(st.booleans())
            spoken.append([ChatChunk(message=words, done=done, tool_failed=failed)])
    spoken.append(draw(answers(restarts=restarts)))
    return spoken


def standing(items: list[ChatChunk]) -> list[ChatChunk]:
    """Return the chunks that no restart absorbs, without their marks: the answer as if there had been one attempt."""
    kept: list[ChatChunk] = []
    boundary, start = MessageBoundary(), 0
    for item in items:
        restart, plain = item.restart, replace(item, restart=None)
        if restart is not None:
            in_message = restart.scope == "message" and boundary.role != "tool"
            del kept[start if in_message else 0 if restart.scope == "answer" else len(kept) :]
            boundary.restart()
            start = len(kept)
        if boundary.changes(plain):
            start = len(kept)
        kept.append(plain)
        if item.done:
            boundary.restart()
            start = len(kept)
    return kept
