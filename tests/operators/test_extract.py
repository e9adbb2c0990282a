"""Inline thinking moves to where thinking belongs, wherever its tags are cut."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any, TypeAlias

import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st
from marbles import play
from reactivex import Observable, abc
from reactivex.disposable import Disposable
from reactivex.scheduler import VirtualTimeScheduler
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest
from reactivex.testing.subscription import Subscription
from recorded import recorded

from rxollama._refusal import InvalidValueError
from rxollama.messages import ChatChunk, ChatResponse, Function, Logprob, Message, ToolCall
from rxollama.operators._extract import extract_thinking
from rxollama.operators._reduce import collect

on_next, on_error, on_completed = ReactiveTest.on_next, ReactiveTest.on_error, ReactiveTest.on_completed

CALL = ToolCall(Function("look"))
LOST = ConnectionError("lost")
NOTHING = ChatChunk(message=Message("assistant"))


def says(content: str = "", thinking: str = "", *calls: ToolCall, **fields: Any) -> ChatChunk:
    """Build a chunk of the assistant's."""
    return ChatChunk(message=Message("assistant", content, thinking, tool_calls=calls), **fields)


def received(chunks: list[ChatChunk], **options: Any) -> list[ChatChunk]:
    """Gather what comes of chunks that come at once."""
    found: list[ChatChunk] = []
    reactivex.from_iterable(chunks).pipe(extract_thinking(**options)).subscribe(found.append)
    return found


def test_completes() -> None:
    """What was held back comes before the end."""
    played = play(extract_thinking(), on_next(10, says("Hi <")), on_next(20, says("th")), on_completed(30))

    expected = [on_next(210, says("Hi ")), on_next(220, NOTHING), on_next(230, says("<th")), on_completed(230)]
    assert played.messages == expected
    assert played.subscriptions == [Subscription(200, 230)]


def test_errors() -> None:
    """What was held back comes before the error, as the thinking that it is."""
    played = play(extract_thinking(), on_next(10, says("<think>Hm</")), on_error(20, LOST))

    assert played.messages == [on_next(210, says("", "Hm")), on_next(220, says("", "</")), on_error(220, LOST)]
    assert played.subscriptions == [Subscription(200, 220)]


def test_never() -> None:
    """A source that never sends brings nothing, until it is disposed."""
    played = play(extract_thinking())

    assert played.messages == []
    assert played.subscriptions == [Subscription(200, 1000)]


def test_disposed() -> None:
    """Nothing comes after dispose, also what was held back does not, and the source is let go."""
    played = play(extract_thinking(), on_next(10, says("Hi <")), on_completed(30), disposed=215)

    assert played.messages == [on_next(210, says("Hi "))]
    assert played.subscriptions == [Subscription(200, 215)]


def test_what_needs_no_change_goes_on_as_it_came() -> None:
    """A chunk without inline thinking is handed on itself, not a copy."""
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
        # One chunk may be several: logprobs ride on the first, calls, done and the numbers on the last.
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
        # What is held back gives way to native thinking, to a call, to the end of the message.
        ([says("a<"), says("b", "Hm")], [says("a"), says("<"), says("b", "Hm")]),
        ([says("<think>a<"), says("", "b")], [says("", "a"), says("", "<b")]),
        ([says("a<"), says("", "", CALL)], [says("a"), says("<", "", CALL)]),
        ([says("a<"), says(done=True)], [says("a"), says("<", done=True)]),
        ([says("<th", "Hm"), says("ink>a")], [says("", "Hm"), says("", "a")]),
        # A message begins afresh, after a done chunk and after another speaker.
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
        # A chunk without a role goes on with the speaker before it.
        (
            [says("<think>a<"), ChatChunk(message=Message("", "b"))],
            [says("", "a"), ChatChunk(message=Message("", thinking="<b"))],
        ),
        (
            [says("a<"), ChatChunk(message=Message("", "t"))],
            [says("a"), ChatChunk(message=Message()), says("<t")],
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
        # Thinking goes on after a call.
        ([says("<think>a", "", CALL), says("b</think>c")], [says("", "a", CALL), says("c", "b")]),
        # A tag that is all of a chunk leaves an empty one.
        ([says("<think>"), says("a")], [NOTHING, says("", "a")]),
    ],
)
def test_chunks(chunks: list[ChatChunk], expected: list[ChatChunk]) -> None:
    """What a chunk says stays in the order of reading, and rides with what came with it."""
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
    """Tags, the side on which a message begins, and whether later tags count can be chosen, for each message."""
    got = received(chunks, **options)

    texts = ["".join(chunk.message.thinking for chunk in got), "".join(chunk.message.content for chunk in got)]
    if options.get("inside"):
        assert [chunk.message.thinking for chunk in got] == ["a", "", "c"]
        texts = [chunk.message.thinking or chunk.message.content for chunk in got]
    assert texts == expected


@pytest.mark.parametrize(("start", "end", "field"), [("", "b", "start"), ("a", "", "end"), (None, "b", "start")])
def test_no_tag(start: Any, end: Any, field: str) -> None:
    """An empty tag is refused at the call, by name."""
    with pytest.raises(InvalidValueError) as caught:
        extract_thinking(start, end)

    assert caught.value.field == field


Word: TypeAlias = tuple[str, str]
TEXTS = st.lists(st.sampled_from(["<", "<think>", "</think>", "</", "think>", "a", " ", ">"]), max_size=6).map("".join)
WORDS = st.lists(
    st.tuples(st.just("content"), TEXTS)
    | st.tuples(st.just("thinking"), TEXTS)
    | st.sampled_from([("call", ""), ("done", ""), ("tool", "<think>"), ("content", "<think>b</think>")]),
    max_size=10,
)
OPTIONS = st.fixed_dictionaries({"inside": st.booleans(), "first_only": st.booleans()})


def chunk_of(word: Word) -> ChatChunk:
    """Say one word in a chunk."""
    kind, text = word
    if kind == "tool":
        return ChatChunk(message=Message("tool", text))
    if kind == "call":
        return says("", "", CALL)
    return says(**{kind: text}) if kind != "done" else says(done=True)


@st.composite
def regrouped(draw: st.DrawFn) -> tuple[list[ChatChunk], list[ChatChunk]]:
    """Make a chat of whole words, and the same chat with words cut and put together anywhere."""
    words = draw(WORDS)
    cut: list[ChatChunk] = []
    rank, ranks = 0, {"thinking": 1, "content": 2, "call": 3, "done": 4}
    for kind, text in words:
        at = draw(st.integers(0, len(text))) if kind in {"content", "thinking"} else len(text)
        for part in [text[:at], text[at:]] if at < len(text) else [text]:
            joins = 0 < rank <= ranks.get(kind, 0) and rank < ranks["done"] and draw(st.booleans())
            chunk = chunk_of((kind, part))
            cut[-1:] = [cut[-1] + chunk] if joins else [*cut[-1:], chunk]
            rank = ranks.get(kind, 0)
    return [chunk_of(word) for word in words], cut


def read(chunks: list[ChatChunk]) -> list[Word]:
    """Read chunks aloud: all words in order, with neighbours of a kind joined."""
    words: list[Word] = []
    for chunk in chunks:
        message = chunk.message
        said = "tool" if message.role == "tool" else "content"
        words += [("thinking", message.thinking), (said, message.content)]
        words += [("call", call.name) for call in message.tool_calls]
        words += [("done", "!")] if chunk.done else []
    spoken = [word for word in words if word[1]]
    return [(kind, "".join(text for _, text in same)) for kind, same in groupby(spoken, lambda word: word[0])]


@given(regrouped(), OPTIONS)
def test_any_cut(chats: tuple[list[ChatChunk], list[ChatChunk]], options: dict[str, bool]) -> None:
    """However a chat is cut into chunks, it reads the same afterwards, and adds up to the same response."""
    whole, cut = (received(chunks, **options) for chunks in chats)

    assert read(whole) == read(cut)
    assert responses(whole) == responses(cut)


def responses(chunks: list[ChatChunk]) -> list[ChatResponse]:
    """Reduce chunks."""
    found: list[ChatResponse] = []
    reactivex.from_iterable(chunks).pipe(collect()).subscribe(found.append)
    return found


@given(regrouped())
def test_only_tags_go(chats: tuple[list[ChatChunk], list[ChatChunk]]) -> None:
    """Apart from the tags every character stays, in its place; calls and ends stay between the same ones."""
    chunks = chats[1]

    # Tags may touch halves of tags, so that what is left of both is compared without their letters.
    plain = [
        [(kind, text.translate(dict.fromkeys(map(ord, "</think>")))) for kind, text in read(side)]
        for side in (chunks, received(chunks))
    ]
    texts = [
        "".join(text or "|" if kind in {"call", "done", "tool"} else text for kind, text in side) for side in plain
    ]
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("name", "thinking", "content"),
    [
        ("inline-think", "The model was not told, so the thought is inline.", None),
        ("inline-think-cut", "inner <b> text ", "outer < 5 and a > b"),
        ("inline-think-mention", "", None),
    ],
)
def test_recorded(name: str, thinking: str, content: str | None) -> None:
    """The inline thinking of a recorded answer is moved, and prose about tags is left alone."""
    chunks, expect = recorded(name)
    [response] = responses(received(chunks, first_only=True))

    told: str = expect["content"]
    assert response.message.thinking == thinking
    assert response.message.content == content or told.removeprefix(f"<think>{thinking}</think>")
    assert (response.done, response.metrics.eval_count) == (True, expect["eval_count"])


def test_each_subscription_starts_afresh() -> None:
    """The same pipeline subscribed twice brings the same twice."""
    pipeline = reactivex.of(says("<think>a"), says("b<")).pipe(extract_thinking())
    found: list[ChatChunk] = []
    for _ in range(2):
        pipeline.subscribe(found.append)

    assert found == [says("", "a"), says("", "b"), says("", "<")] * 2


def test_scheduler_is_passed_on() -> None:
    """The source is subscribed with the subscriber's scheduler."""
    seen: list[abc.SchedulerBase | None] = []

    def subscribe(_: abc.ObserverBase[ChatChunk], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        seen.append(scheduler)
        return Disposable()

    scheduler = VirtualTimeScheduler()
    Observable(subscribe).pipe(extract_thinking()).subscribe(scheduler=scheduler)

    assert seen == [scheduler]


@pytest.mark.parametrize("end", [lambda source: source.on_error(LOST), lambda source: source.on_completed()])
def test_failing_subscriber(end: Callable[[Subject[ChatChunk]], None]) -> None:
    """What a subscriber raises at the end reaches the producer as it is, and the end is told nonetheless."""
    source: Subject[ChatChunk] = Subject()
    ended: list[Exception | None] = []

    def fail(chunk: ChatChunk) -> None:
        if chunk.visible:
            raise KeyError("mine")

    source.pipe(extract_thinking()).subscribe(fail, ended.append, lambda: ended.append(None))
    source.on_next(says("<"))

    with pytest.raises(KeyError, match="mine"):
        end(source)
    assert len(ended) == 1
