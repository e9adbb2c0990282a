"""Texts, tool calls and elements, which cannot be taken back, when an answer begins over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import pytest
import reactivex
from guards import transcript
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from marbles import play
from msgspec.structs import replace
from reactivex import Observable, abc
from reactivex.disposable import Disposable
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest
from strategies import conversations, standing

from rxollama._runtime import Sink, Stream
from rxollama.errors import RestartedError, StreamError, TruncatedError
from rxollama.messages import ChatChunk, ChunkBatch, Function, Message, Restart, ToolCall
from rxollama.operators import content, elements, gather_tool_calls, split, thinking, tool_calls

on_next, on_error, on_completed = ReactiveTest.on_next, ReactiveTest.on_error, ReactiveTest.on_completed

Scope = Literal["answer", "message"]

LOST = TruncatedError("lost")
OSLO, ROME = (ToolCall(Function("get_weather", {"city": city}), city) for city in ("Oslo", "Rome"))
RETURNED = ChatChunk(message=Message.tool("3 °C", call=OSLO), done=True)


def says(text: str = "", *calls: ToolCall, done: bool = False, over: Scope | None = None) -> ChatChunk:
    """Return a chunk of the assistant, with a restart of the scope *over*."""
    restart = None if over is None else Restart("ConnectionLostError: lost", 2, over)
    return ChatChunk(model="m", message=Message("assistant", text, tool_calls=calls), done=done, restart=restart)


def emitted(operator: Callable[..., Any], *chunks: ChatChunk) -> tuple[list[Any], Exception | None]:
    """Return what an operator emits for chunks, and its error."""
    items: list[Any] = []
    errors: list[Exception] = []
    reactivex.from_iterable(chunks).pipe(operator).subscribe(items.append, errors.append)
    return items, errors[0] if errors else None


@pytest.mark.parametrize("operator", [content, tool_calls, gather_tool_calls])
def test_source_that_goes_on(operator: Callable[[], Any]) -> None:
    """What a source emits although it was disposed of changes nothing."""
    heard: list[Any] = []
    observers: list[abc.ObserverBase[ChatChunk]] = []

    def begin(observer: abc.ObserverBase[ChatChunk], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        observers.append(observer)
        return Disposable()

    Stream(begin, items=ChatChunk, deltas=True).pipe(operator()).subscribe(heard.append, heard.append)
    for chunk in (
        says("One", OSLO, done=True),
        says("Two", ROME, done=True, over="answer"),
        says("Three", OSLO, done=True),
    ):
        observers[0].on_next(chunk)

    assert len(heard) == 2
    assert isinstance(heard[1], RestartedError)


# Texts.


@pytest.mark.parametrize("over", ["answer", "message"])
@pytest.mark.parametrize(
    ("texts", "again", "more"),
    [
        (["Hel", "lo"], ["Hello", " you"], [" you"]),
        (["Hel", "lo"], ["Hello you"], [" you"]),
        (["Hel", "lo"], ["H", "ell", "o", "", " you"], [" you"]),
        (["Hel", "lo"], ["Hello"], []),
        ([], ["Hello"], ["Hello"]),
        (["Hel"], ["", "Hel"], []),
        (["aaaa"], ["aa", "aa", "aa"], ["aa"]),
    ],
)
def test_repeated_text_is_skipped(texts: list[str], again: list[str], more: list[str], over: Scope) -> None:
    """Text that the new attempt repeats is skipped, wherever it is cut, and text beyond it is emitted."""
    first, *others = again
    chunks = [*map(says, texts), says(first, over=over), *map(says, others), says(done=True)]

    assert emitted(content(), *chunks) == (texts + more, None)


@pytest.mark.parametrize("over", ["answer", "message"])
@pytest.mark.parametrize("again", [["Help"], ["H", "a"], ["x"], ["Hell", "0!"], ["hello"]])
def test_first_difference(again: list[str], over: Scope) -> None:
    """The first difference ends the stream, and the message names the way out."""
    first, *others = again
    items, error = emitted(content(), says("Hello"), says(first, over=over), *map(says, others))

    assert items == ["Hello"]
    assert isinstance(error, RestartedError)
    assert error.model == "m"
    for way in ("content()", "op.accumulate()", "op.events()", "op.collect()", 'after_first="raise"'):
        assert way in str(error)


def test_first_difference_disposes_the_source() -> None:
    """The source is disposed at the difference, before the error is emitted, and what it still sends is dropped."""
    played = play(
        content(),
        on_next(10, says("Hello")),
        on_next(20, says("Hel", over="answer")),
        on_next(30, says("p")),
        on_next(40, says("!")),
        on_completed(50),
    )

    heard = transcript(played.messages)
    assert [time for time, _ in heard] == [210, 230]
    assert isinstance(heard[-1][1], RestartedError)
    assert [(one.subscribe, one.unsubscribe) for one in played.subscriptions] == [(200, 230)]


def test_nothing_after_the_end() -> None:
    """A source that sends all at once is not heard after the difference."""
    items, error = emitted(content(), says("Hello"), says("x", over="answer"), says("Hello"), says("y", over="answer"))

    assert items == ["Hello"]
    assert isinstance(error, RestartedError)


def test_an_attempt_that_ends_earlier() -> None:
    """An attempt that ends too early differs: at the end of its message, or of the stream if all begins over."""
    begun = [on_next(10, says("Hello")), on_next(20, says("Hel", over="answer"))]
    answer = play(content(), *begun, on_next(30, says(done=True)), on_completed(40))
    begun[1] = on_next(20, says("Hel", over="message"))
    message = play(content(), *begun, on_next(30, says(done=True)), on_completed(40))
    cut = play(content(), *begun, on_completed(40))
    told = play(content(), *begun, on_next(30, RETURNED), on_completed(40))

    for played, time in ((answer, 240), (message, 230), (cut, 240), (told, 230)):
        [_, (ended, error)] = transcript(played.messages)
        assert (ended, type(error)) == (time, RestartedError)


@pytest.mark.parametrize(
    ("operator", "chunk"),
    [(content(), says("[1, 2]")), (tool_calls(), says("", OSLO)), (elements(int), says("[1, 2]"))],
)
def test_an_error_while_repeating_passes_on(operator: Callable[..., Any], chunk: ChatChunk) -> None:
    """An error of the source is passed on, also while the new attempt has not repeated everything."""
    played = play(operator, on_next(10, chunk), on_next(20, says(over="answer")), on_error(30, LOST))

    assert played.messages[-1] == on_error(230, LOST)


def test_disposed_while_repeating() -> None:
    """Dispose disposes the source, and nothing more is emitted."""
    played = play(
        content(),
        *[on_next(10, says("Hello")), on_next(20, says("Hel", over="answer")), on_next(50, says("p"))],
        disposed=240,
    )

    assert played.messages == [on_next(210, "Hello")]
    assert [(one.subscribe, one.unsubscribe) for one in played.subscriptions] == [(200, 240)]


def test_messages_before_stay() -> None:
    """A message that begins over repeats only its own text, and an answer all of it."""
    rounds = [says("One"), says("", OSLO, done=True), RETURNED, says("Tw")]

    assert emitted(content(), *rounds, says("Two", over="message"), says(done=True)) == (["One", "Tw", "o"], None)
    assert emitted(content(), *rounds, says("OneTwo!", over="answer")) == (["One", "Tw", "o!"], None)
    assert emitted(content(), *rounds, says("OneT", over="answer"), says("w", over="message"))[0] == ["One", "Tw"]


def test_again_and_again() -> None:
    """An attempt may break while it repeats, within another message, and the wider scope counts."""
    first = [says("One"), says(done=True), says("Two")]
    again = [says("On", over="answer"), says("One", over="answer"), says(done=True)]

    for last in (
        [says("T"), says("Two!", over="message")],
        [says("T"), says("OneTwo!", over="answer")],
        [says("Two"), says("T", over="message"), says("wo!")],
        [says("Two!", over="message")],
        [says("T", over="message"), says("Two!", over="message")],
    ):
        assert emitted(content(), *first, *again, *last) == (["One", "Two", "!"], None)


def test_a_message_that_begins_over_within_an_answer_that_does() -> None:
    """A broken message that is repeated after others may be widened to the whole answer while it is repeated."""
    chunks = [says("One"), says(done=True), says("Two"), says("T", over="message"), says("OneTw", over="answer")]

    assert emitted(content(), *chunks, says("o3")) == (["One", "Two", "3"], None)


def test_results_are_no_text_of_the_answer() -> None:
    """The results of tools do not count."""
    rounds = [says("One", OSLO, done=True), RETURNED, says("Two")]
    again = [says("One", ROME, done=True, over="answer"), RETURNED, RETURNED, says("Two!")]

    assert emitted(content(), *rounds, *again) == (["One", "Two", "!"], None)


def test_thinking_and_content_are_apart() -> None:
    """A difference in the thinking ends the thinking alone."""
    first = ChatChunk(message=Message("assistant", "Yes", thinking="Hm"))
    again = ChatChunk(message=Message("assistant", "Yes", thinking="Well"), restart=Restart("lost"))
    source: Subject[ChatChunk] = Subject()
    thoughts, texts = split()(source)
    heard: list[str] = []
    errors: list[Exception] = []
    texts.subscribe(heard.append)
    thoughts.subscribe(on_error=errors.append)

    for chunk in (first, again, says("!")):
        source.on_next(chunk)

    assert heard == ["Yes", "!"]
    assert [type(error) for error in errors] == [RestartedError]
    assert emitted(thinking(), first, replace(first, restart=again.restart)) == (["Hm"], None)


class _Record(NamedTuple):
    model: str = "m"
    created_at: str = "t"


def _batch(*texts: str) -> ChunkBatch:
    return ChunkBatch([_Record()] * len(texts), texts, [""] * len(texts))


def _batched(*items: ChatChunk | ChunkBatch) -> Stream[ChatChunk]:
    """Return a stream that offers its batches first, as the client does."""

    def subscribe(observer: Any, _: object = None) -> Any:
        for item in items:
            if isinstance(item, ChatChunk):
                observer.on_next(item)
            elif isinstance(observer, Sink) and observer.ready(item):
                observer.absorb(item)
            else:
                for chunk in item:
                    observer.on_next(chunk)
        observer.on_completed()

    return Stream(subscribe, items=ChatChunk, deltas=True)


@pytest.mark.parametrize("over", ["answer", "message"])
def test_batches(over: Scope) -> None:
    """Batches before and after a restart, and across the end of what is repeated, count as their chunks do."""
    source = _batched(says("a"), _batch("b", "c"), says("a", over=over), _batch("b", "c"), _batch("d", "e"))
    differs = _batched(says("a"), _batch("b", "c"), says("a", over=over), _batch("b", "x"))
    across = _batched(says("a"), _batch("b", "c"), says("a", over=over), _batch("b", "cd", "e"))

    assert source.pipe(content()).run() == "abcde"
    assert across.pipe(content()).run() == "abcde"
    with pytest.raises(RestartedError):
        differs.pipe(content()).run()


def test_time_is_linear() -> None:
    """Rounds that begin over again and again cost as much as their text, not as all text before."""
    long = "word " * 20_000
    chunks = [says(long), says(done=True)]
    for _ in range(2_000):
        chunks += [says("a"), says("a", over="message"), says("b"), says(done=True)]
    items, error = emitted(content(), *chunks)

    assert error is None
    assert len("".join(items)) == len(long) + 4_000


@st.composite
def _broken(draw: DrawFn) -> tuple[list[ChatChunk], list[ChatChunk]]:
    """Draw a conversation, and how it arrives if it breaks at places and is repeated, wherever the chunks are cut."""
    whole = [says(), *(chunk for message in draw(conversations(restarts=False)) for chunk in message)]
    came: list[ChatChunk] = []
    for _ in range(draw(st.integers(1, 3))):
        attempt = whole[: draw(st.integers(1, len(whole)))]
        came += _marked(attempt, "answer" if came else None)
    return whole, came + _marked(whole, "answer")


def _marked(attempt: list[ChatChunk], over: Scope | None) -> list[ChatChunk]:
    first, *others = attempt
    return [first if over is None else replace(first, restart=Restart("lost", 2, over)), *others]


@pytest.mark.parametrize("operator", [content(), thinking(), tool_calls(), gather_tool_calls()])
@given(drawn=_broken())
def test_an_equal_attempt_is_invisible(
    operator: Callable[[Observable[ChatChunk]], Observable[Any]], drawn: tuple[list[ChatChunk], list[ChatChunk]]
) -> None:
    """However often an answer begins over, an attempt that says the same adds nothing and differs nowhere."""
    whole, came = drawn
    expected, _ = emitted(operator, *whole)
    items, error = emitted(operator, *came)

    assert error is None
    assert joined(items) == joined(expected)


def joined(items: list[Any]) -> Any:
    """Return texts as one, and other items as they are."""
    return "".join(items) if all(isinstance(item, str) for item in items) else items


@pytest.mark.parametrize("operator", [content(), thinking(), tool_calls(), gather_tool_calls()])
@given(spoken=conversations())
def test_what_was_emitted_stands(
    operator: Callable[[Observable[ChatChunk]], Observable[Any]], spoken: list[list[ChatChunk]]
) -> None:
    """A stream that completes has emitted what stands, and nothing else."""
    chunks = [chunk for message in spoken for chunk in message]
    items, error = emitted(operator, *chunks)
    expected, _ = emitted(operator, *standing(chunks))

    if error is None:
        assert joined(items) == joined(expected)
    else:
        assert isinstance(error, RestartedError)


# Tool calls.


@pytest.mark.parametrize("over", ["answer", "message"])
def test_repeated_calls_are_skipped(over: Scope) -> None:
    """A call with the same name and arguments is the same, whatever its id, and each comes once."""
    again = replace(OSLO, id="another")
    chunks = [says("Let me see"), says("", OSLO), says("", again, ROME, over=over), says(done=True)]

    assert emitted(tool_calls(), *chunks) == ([OSLO, ROME], None)


@pytest.mark.parametrize("over", ["answer", "message"])
@pytest.mark.parametrize("calls", [(ROME,), (), (ROME, OSLO)])
def test_other_calls_differ(over: Scope, calls: tuple[ToolCall, ...]) -> None:
    """Another call, none, or another order ends the stream."""
    items, error = emitted(tool_calls(), says("", OSLO), says("", *calls, over=over), says(done=True))

    assert items == [OSLO]
    assert isinstance(error, RestartedError)
    assert "tool_calls()" in str(error)


def test_calls_of_the_rounds_before_stay() -> None:
    """A round that begins over repeats its own calls alone."""
    rounds = [says("", OSLO, done=True), RETURNED, says("", ROME), says("", ROME, over="message"), says(done=True)]

    assert emitted(tool_calls(), *rounds) == ([OSLO, ROME], None)
    short = [says("", OSLO, done=True), RETURNED, says("", ROME), says("Hm", over="message"), RETURNED]
    assert isinstance(emitted(tool_calls(), *short)[1], RestartedError)


@pytest.mark.parametrize("over", ["answer", "message"])
def test_gathered_calls_of_a_broken_attempt_are_dropped(over: Scope) -> None:
    """The calls of a message that broke are never handed out."""
    chunks = [says("", OSLO), says("", ROME, over=over), says(done=True), says("Cold.", done=True)]

    assert emitted(gather_tool_calls(), *chunks) == ([(ROME,), ()], None)


def test_gathered_calls_are_handed_out_once() -> None:
    """Tuples that were handed out are skipped if they come again, and a difference ends the stream."""
    first = [says("", OSLO, done=True), RETURNED, says("", ROME)]
    begin = says("", replace(OSLO, id="another"), done=True, over="answer")

    assert emitted(gather_tool_calls(), *first, begin, says("", ROME)) == ([(OSLO,), (ROME,)], None)
    for last in ([says("", ROME, done=True, over="answer")], [says(over="answer")], [says("", ROME, over="answer")]):
        items, error = emitted(gather_tool_calls(), *first, *last)
        assert items == [(OSLO,)]
        assert isinstance(error, RestartedError)
    none = [says("", OSLO, done=True), says("", ROME, done=True), replace(begin, done=True)]
    assert isinstance(emitted(gather_tool_calls(), *none)[1], RestartedError)


def test_nothing_is_handed_out_after_a_difference() -> None:
    """A source that sends all at once is not heard after the difference."""
    chunks = [says("", OSLO, done=True), says("", ROME, done=True, over="answer"), says("", OSLO, done=True)]

    assert emitted(gather_tool_calls(), *chunks)[0] == [(OSLO,)]
    assert emitted(tool_calls(), *chunks)[0] == [OSLO]


# Elements.


@pytest.mark.parametrize("over", ["answer", "message"])
def test_repeated_elements_are_skipped(over: Scope) -> None:
    """Elements that come again are skipped, wherever they are cut."""
    chunks = [says('[{"a": 1}, {"a"'), says('[{"a":1', over=over), says('}, {"a": 2}]'), says(done=True)]

    assert emitted(elements(dict[str, int]), *chunks) == ([{"a": 1}, {"a": 2}], None)


@pytest.mark.parametrize("over", ["answer", "message"])
@pytest.mark.parametrize("again", ["[2]", "[]", "[1.0, 2]"])
def test_other_elements_differ(over: Scope, again: str) -> None:
    """Another element, or fewer, ends the stream."""
    items, error = emitted(elements(float), says("[1, 2"), says(again, over=over), says(done=True))

    assert items == [1]
    assert isinstance(error, RestartedError)
    assert "elements()" in str(error)


def test_an_element_that_does_not_fit_comes_after_the_repeated_ones() -> None:
    """The error of an element that does not fit is that of the attempt that stands."""
    items, error = emitted(elements(int), says("[1, 2"), says('[1, "x"]', over="answer"), says("[1]", over="answer"))

    assert items == [1]
    assert isinstance(error, StreamError)
    assert not isinstance(error, RestartedError)
