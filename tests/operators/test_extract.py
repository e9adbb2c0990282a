"""Inline thinking moves into `thinking`, wherever its tags are cut."""

from __future__ import annotations

from typing import Any

import pytest
import reactivex
from marbles import play
from reactivex.testing import ReactiveTest
from reactivex.testing.subscription import Subscription
from recorded import recorded

from rxollama._invalid_value import InvalidValueError
from rxollama.messages import ChatChunk, ChatResponse, Function, Logprob, Message, ToolCall
from rxollama.operators._extract import extract_thinking
from rxollama.operators._reduce import collect

on_next, on_error, on_completed = ReactiveTest.on_next, ReactiveTest.on_error, ReactiveTest.on_completed

CALL = ToolCall(Function("look"))
LOST = ConnectionError("lost")
NOTHING = ChatChunk(message=Message("assistant"))


def says(content: str = "", thinking: str = "", *calls: ToolCall, **fields: Any) -> ChatChunk:
    """Return a chunk of the assistant."""
    return ChatChunk(message=Message("assistant", content, thinking, tool_calls=calls), **fields)


def received(chunks: list[ChatChunk], **options: Any) -> list[ChatChunk]:
    """Return what an operator emits for chunks that arrive at once."""
    found: list[ChatChunk] = []
    reactivex.from_iterable(chunks).pipe(extract_thinking(**options)).subscribe(found.append)
    return found


def test_completes() -> None:
    """Text that was held back is emitted before the completion."""
    played = play(extract_thinking(), on_next(10, says("Hi <")), on_next(20, says("th")), on_completed(30))

    expected = [on_next(210, says("Hi ")), on_next(220, NOTHING), on_next(230, says("<th")), on_completed(230)]
    assert played.messages == expected
    assert played.subscriptions == [Subscription(200, 230)]


def test_errors() -> None:
    """Text that was held back is emitted before the error, as thinking."""
    played = play(extract_thinking(), on_next(10, says("<think>Hm</")), on_error(20, LOST))

    assert played.messages == [on_next(210, says("", "Hm")), on_next(220, says("", "</")), on_error(220, LOST)]
    assert played.subscriptions == [Subscription(200, 220)]


def test_disposed() -> None:
    """Nothing is emitted after dispose, not even text that was held back, and the source is disposed."""
    played = play(extract_thinking(), on_next(10, says("Hi <")), on_completed(30), disposed=215)

    assert played.messages == [on_next(210, says("Hi "))]
    assert played.subscriptions == [Subscription(200, 215)]


def test_what_needs_no_change_goes_on_as_it_came() -> None:
    """A chunk without inline thinking is passed on itself, not as a copy."""
    chunks = [
        says("Hi"),
        says("", "Hm"),
        says("Hi", "Hm"),
        says(),
        says("", "", CALL),
        ChatChunk(message=Message("tool", "<think>a</think>", tool_name="look")),
        says("Hi", "Hm", CALL, done=True),
        ChatChunk(),
    ]

    got = received(chunks)
    assert len(got) == len(chunks)
    assert all(one is other for one, other in zip(got, chunks, strict=True))


NUMBER = Logprob("a", -0.5)


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        # One chunk may become several: the first has the logprobs, the last the calls, done and numbers.
        (
            [says("a<think>b</think>c<think>d", "", CALL, done=True, eval_count=7, logprobs=(NUMBER,), model="m")],
            [
                says("a", model="m", logprobs=(NUMBER,)),
                says("c", "b", model="m"),
                says("", "d", CALL, model="m", done=True, eval_count=7),
            ],
        ),
        ([says("a<think>b", logprobs=(NUMBER,))], [says("a", logprobs=(NUMBER,)), says("", "b")]),
        ([says("<think>b</think>c", logprobs=(NUMBER,))], [says("c", "b", logprobs=(NUMBER,))]),
        # Native thinking, a call and the end of the message release what is held back.
        ([says("a<"), says("b", "Hm")], [says("a"), says("<"), says("b", "Hm")]),
        ([says("<think>a<"), says("", "b")], [says("", "a"), says("", "<b")]),
        ([says("a<"), says("", "", CALL)], [says("a"), says("<", "", CALL)]),
        ([says("a<"), says(done=True)], [says("a"), says("<", done=True)]),
        ([says("<th", "Hm"), says("ink>a")], [says("", "Hm"), says("", "a")]),
        # A message starts from the beginning, after a done chunk and after another role.
        ([says("<think>a", done=True), says("b")], [says("", "a", done=True), says("b")]),
        (
            [says("<think>a</", model="m"), ChatChunk(message=Message("tool", "<think>")), says("b")],
            [
                says("", "a", model="m"),
                says("", "</", model="m"),
                ChatChunk(message=Message("tool", "<think>")),
                says("b"),
            ],
        ),
        # A chunk without a role continues the message before it.
        (
            [says("<think>a<"), ChatChunk(message=Message("", "b"))],
            [says("", "a"), ChatChunk(message=Message("", thinking="<b"))],
        ),
        (
            [says("a<"), ChatChunk(message=Message("", "t"))],
            [says("a"), ChatChunk(), ChatChunk(message=Message("", "<t"))],
        ),
        (
            [ChatChunk(message=Message("", "a<th")), says("ink>b")],
            [ChatChunk(message=Message("", "a")), says("", "b")],
        ),
        (
            [ChatChunk(message=Message("", "a<")), ChatChunk(message=Message("tool", "b"))],
            [
                ChatChunk(message=Message("", "a")),
                ChatChunk(message=Message("", "<")),
                ChatChunk(message=Message("tool", "b")),
            ],
        ),
        # Thinking continues after a call.
        ([says("<think>a", "", CALL), says("b</think>c")], [says("", "a", CALL), says("c", "b")]),
        # A chunk that is only a tag becomes an empty one.
        ([says("<think>"), says("a")], [NOTHING, says("", "a")]),
    ],
)
def test_chunks(chunks: list[ChatChunk], expected: list[ChatChunk]) -> None:
    """The texts of a chunk keep their reading order and the other fields of the chunk."""
    assert received(chunks) == expected


@pytest.mark.parametrize(
    ("options", "chunks", "expected"),
    [
        ({"inside": True}, [says("a"), says("</think>b", done=True), says("c")], ["a", "b", "c"]),
        (
            {"first_only": True},
            [says("\n<think>a</think>b <think>", done=True), says("<think>c")],
            ["ac", "\nb <think>"],
        ),
        ({"first_only": True}, [says("", "a"), says("<think>")], ["a", "<think>"]),
        ({"start": "[T]", "end": "[/T]"}, [says("a[T"), says("]b[/T]c")], ["b", "ac"]),
    ],
)
def test_options(options: dict[str, Any], chunks: list[ChatChunk], expected: list[str]) -> None:
    """The arguments for the tags, the side on which a message begins, and later tags hold for each message."""
    got = received(chunks, **options)

    texts = ["".join(chunk.message.thinking for chunk in got), "".join(chunk.message.content for chunk in got)]
    if options.get("inside"):
        assert [chunk.message.thinking for chunk in got] == ["a", "", "c"]
        texts = [chunk.message.thinking or chunk.message.content for chunk in got]
    assert texts == expected


@pytest.mark.parametrize(("start", "end", "field"), [("", "b", "start"), ("a", "", "end"), (None, "b", "start")])
def test_no_tag(start: Any, end: Any, field: str) -> None:
    """An empty tag is refused at the call, with the argument's name."""
    with pytest.raises(InvalidValueError) as caught:
        extract_thinking(start, end)

    assert caught.value.field == field


@pytest.mark.parametrize(
    ("name", "thinking"),
    [
        ("inline-think", "The model was not told, so the thought is inline."),
        ("inline-think-cut", "inner <b> text "),
        ("inline-think-mention", ""),
    ],
)
def test_recorded(name: str, thinking: str) -> None:
    """The inline thinking of a recorded answer is moved, and prose about tags is not changed."""
    chunks, expect = recorded(name)
    responses: list[ChatResponse] = []
    reactivex.from_iterable(received(chunks, first_only=True)).pipe(collect()).subscribe(responses.append)

    [response] = responses
    content: str = expect["content"]
    assert response.message.thinking == thinking
    assert response.message.content == (content.removeprefix(f"<think>{thinking}</think>") if thinking else content)
    assert (response.done, response.metrics.eval_count) == (True, expect["eval_count"])
