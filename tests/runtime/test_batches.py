"""The protocol of batches: who is asked, who absorbs, and what comes after an end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
import reactivex
from conversation_cases import ByHand
from reactivex import Observable, abc
from reactivex.disposable import Disposable
from reactivex.testing import TestScheduler
from scripted_answers import Answer, Scripted, record
from virtual_loop import VirtualLoop

from rxollama import Conversation, Ollama, Stream
from rxollama import operators as op
from rxollama._runtime import Sink, always_ready, batch_path
from rxollama.errors import StreamTimeoutError
from rxollama.messages import Batch, ChatChunk, ChunkBatch, Message, TextBatch

_DONE = ChatChunk(message=Message("assistant"), done=True)


class Record(NamedTuple):
    """A record of the server."""

    model: str = "m"
    created_at: str = "t"


def batch_of(contents: Sequence[str], thinkings: Sequence[str] = ()) -> ChunkBatch:
    """Return chunks with these texts."""
    return ChunkBatch([Record()] * len(contents), contents, thinkings or [""] * len(contents))


class Reads:
    """A source that the test emits by hand, and that ignores being disposed."""

    def __init__(self) -> None:
        self._observers: list[abc.ObserverBase[ChatChunk]] = []
        self.stream: Stream[ChatChunk] = Stream(self._begin, items=ChatChunk, deltas=True)

    def _begin(self, observer: abc.ObserverBase[ChatChunk], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        self._observers.append(observer)
        return Disposable()

    def item(self, content: str) -> None:
        """Emit a chunk."""
        self._observers[-1].on_next(ChatChunk(message=Message("assistant", content)))

    def complete(self) -> None:
        """Complete."""
        self._observers[-1].on_completed()

    def is_absorbed(self, batch: ChunkBatch) -> bool:
        """Emit a batch if the subscriber is ready for it, and return whether it is."""
        ready, absorb = batch_path(self._observers[-1])
        is_ready = ready(batch)
        if is_ready:
            absorb(batch)
        return is_ready


def added_up(source: Observable[Any]) -> tuple[list[Any], abc.DisposableBase]:
    """Subscribe one that is ready for everything; return what it receives, batches among it."""
    received: list[Any] = []

    def on_completed() -> None:
        received.append("completed")

    return received, source.subscribe(
        Sink(received.append, received.append, on_completed, always_ready, received.append)
    )


def texts_of(received: list[Any]) -> list[str]:
    """Return the content of chunks and batches."""
    return [each.content if isinstance(each, ChunkBatch) else each.message.content for each in received]


def test_others_get_items() -> None:
    """An observer of anybody else is never ready, and absorbing changes nothing."""
    ready, absorb = batch_path(reactivex.Subject[Any]())

    assert not ready(batch_of("ab"))
    absorb(batch_of("ab"))


@pytest.mark.parametrize("after", [0, 1, 2, 5, 6, 21, 22])
def test_the_source_asks_again(after: int) -> None:
    """Whoever is not ready for a read gets 1, 4, 16 ... of its items, and then the rest if it is ready for that."""
    line = b"".join(record(f"{number} ") for number in range(40))
    received: list[Any] = []

    def on_error(_: Exception) -> None:
        received.append(None)

    async def ask() -> None:
        chat = Ollama(transport=Scripted((Answer(((0.0, line),)),))).chat("m", "Hi")
        sink = Sink(received.append, on_error, list[Any], lambda _: len(received) >= after, received.append)
        chat.subscribe(sink)
        await asyncio.sleep(1)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(ask())

    items = next(number for number in (0, 1, 5, 21, 85) if number >= after)
    *single, rest, failed = received
    assert failed is None
    if items < 40:
        assert (items, 40 - items) == (len(single), len(rest))
    assert "".join(f"{number} " for number in range(40)) == "".join(texts_of(received[:-1]))


def test_what_comes_after_a_limit() -> None:
    """A batch behind the end of a limit is not part of the error's response, and is dropped."""
    scheduler, reads = TestScheduler(), Reads()
    received, _ = added_up(reads.stream.pipe(op.timeouts(gap=1, scheduler=scheduler)))
    reads.item("a")
    assert reads.is_absorbed(batch_of("bc"))
    scheduler.advance_by(10)
    assert reads.is_absorbed(batch_of("de"))

    *_, error = received
    assert isinstance(error, StreamTimeoutError)
    assert error.partial is not None
    assert ["a", "bc"] == texts_of(received[:-1])
    assert "abc" == error.partial.message.content


def test_what_comes_after_an_answer() -> None:
    """A batch behind the last chunk of an answer changes nothing in the history."""
    client = ByHand()
    conversation = Conversation(client, "m")
    received, _ = added_up(conversation.send("Hi"))
    ready, absorb = batch_path(client.observers[0])
    assert ready(batch_of("ab"))
    absorb(batch_of("ab"))
    client.observers[0].on_next(_DONE)
    absorb(batch_of("cd"))
    client.observers[0].on_completed()

    assert ["Hi", "ab"] == [message.content for message in conversation.messages]
    assert "completed" == received[-1]


async def test_what_comes_after_a_dispose() -> None:
    """A batch that comes for a conversation that was left goes nowhere."""
    reads = Reads()
    conversation = Ollama("http://localhost:1").converse("m", "Hi", through=lambda _: reads.stream)
    received, subscription = added_up(conversation)
    await asyncio.sleep(0)
    assert reads.is_absorbed(batch_of("ab"))
    subscription.dispose()
    assert reads.is_absorbed(batch_of("cd"))

    assert ["ab"] == texts_of(received)


class TestShare:
    """Batches for several subscribers."""

    def test_one_joins_after_all_were_asked(self) -> None:
        """Who joins after all were asked gets what it missed, and then the items one by one."""
        reads, late = Reads(), list[str]()
        shared = reads.stream.pipe(op.share())

        def join(_: object) -> bool:
            # Another thread may do so at this moment.
            if not late:
                shared.pipe(op.content()).subscribe(late.append)
            return True

        first: list[Any] = []
        shared.subscribe(Sink(first.append, first.append, list[Any], join, first.append))
        reads.item("a")
        assert reads.is_absorbed(batch_of("bc"))
        reads.item("d")

        assert ["a", "b", "c", "d"] == late
        assert ["a", "bc", "d"] == texts_of(first)

    def test_nobody_is_ready_if_one_is_not(self) -> None:
        """One subscriber without batches suffices for all to get items."""
        reads = Reads()
        shared = reads.stream.pipe(op.share())
        received, _ = added_up(shared)
        subscription = shared.subscribe()
        assert not reads.is_absorbed(batch_of("ab"))
        subscription.dispose()

        assert reads.is_absorbed(batch_of("ab"))
        assert ["ab"] == texts_of(received)

    @pytest.mark.parametrize("count", [2, 127, 128, 129, 300])
    def test_many_batches(self, count: int) -> None:
        """However many batches came, a late subscriber gets their sums."""
        reads = Reads()
        shared = reads.stream.pipe(op.share())
        added_up(shared)
        for number in range(count):
            assert reads.is_absorbed(batch_of(["", f"{number} "], [f"t{number} ", ""]))
        late: list[ChatChunk] = []
        shared.subscribe(late.append)

        assert [f"{number} " for number in range(count)] == [chunk.message.content for chunk in late]
        assert [f"t{number} " for number in range(count)] == [chunk.message.thinking for chunk in late]


def test_an_answer_of_one_batch() -> None:
    """A response is collected also if all of its chunks came as one."""
    reads = Reads()
    received, _ = added_up(reads.stream.pipe(op.collect()))
    assert reads.is_absorbed(batch_of("ab"))
    reads.complete()

    response, end = received
    assert ("ab", "completed") == (response.message.content, end)


class TestTools:
    """Batches, which call no tool."""

    def test_a_message_that_begins_with_a_batch(self) -> None:
        """A message without calls gives an empty tuple, also if the first that came of it were many chunks."""
        reads = Reads()
        received, _ = added_up(reads.stream.pipe(op.gather_tool_calls()))
        assert not reads.is_absorbed(batch_of("ab"))
        reads.item("a")
        assert reads.is_absorbed(batch_of("bc"))
        assert reads.is_absorbed(batch_of("de"))

        assert [] == received


def test_texts_are_a_batch_of_their_own() -> None:
    """Within a message, of a batch without content nothing is absorbed behind `content`, and nobody is asked."""
    reads = Reads()
    asked: list[Batch[Any]] = []

    def refuse(batch: Batch[Any]) -> bool:
        asked.append(batch)
        return False

    items: list[Any] = []
    reads.stream.pipe(op.content()).subscribe(Sink(items.append, items.append, list[Any], refuse, items.append))

    # The first chunk begins the message.
    reads.item("")
    assert reads.is_absorbed(batch_of([""], ["t"]))
    assert ([], []) == (asked, items)
    assert not reads.is_absorbed(batch_of(["", "c"], ["t", ""]))
    assert [["c"]] == [[*batch] for batch in asked]
    assert isinstance(asked[0], TextBatch)


def test_subscribing_that_raises() -> None:
    """What a source raises as it is subscribed ends the subscription."""

    def begin(_: abc.ObserverBase[ChatChunk], __: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        raise LookupError("mine")

    errors: list[Exception] = []
    Stream(begin, items=ChatChunk, deltas=True).pipe(op.collect()).subscribe(on_error=errors.append)

    assert [repr(LookupError("mine"))] == [*map(repr, errors)]


def test_subscribing_that_raises_after_the_end() -> None:
    """What a source raises as it is subscribed, and has ended, reaches whoever subscribed."""

    def begin(observer: abc.ObserverBase[ChatChunk], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        observer.on_completed()
        raise LookupError("mine")

    ended: list[str] = []
    chat = Stream(begin, items=ChatChunk, deltas=True).pipe(op.share())
    with pytest.raises(LookupError):
        chat.subscribe(on_completed=lambda: ended.append("end"))

    assert ended == ["end"]


@pytest.mark.parametrize("operator", [op.meter(1), op.timeouts(total=60)], ids=["meter", "timeouts"])
async def test_end_that_comes_after_a_failing_subscriber(operator: Any) -> None:
    """A source that cannot be disposed yet may end after its subscriber has raised, and nobody hears of it."""

    def begin(observer: abc.ObserverBase[ChatChunk], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        observer.on_next(ChatChunk(message=Message("assistant", "Hi")))
        observer.on_completed()
        return Disposable()

    heard: list[object] = []

    def fail(item: object) -> None:
        heard.append(item)
        raise LookupError("mine")

    measured: Stream[object] = Observable(begin).pipe(operator)
    measured.subscribe(fail, heard.append, lambda: heard.append("end"))

    assert [LookupError] == [*map(type, heard[1:])]
