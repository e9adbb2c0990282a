"""A stream: an observable that can be iterated and awaited, and that knows what leaving it gives."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
import reactivex
from hypothesis import given
from msgspec.structs import replace
from programs import Program
from reactivex import Observable, abc
from reactivex import operators as rx
from reactivex.disposable import Disposable
from reactivex.subject import Subject
from strategies import conversations

from rxollama import ChatChunk, ChatResponse, Message, Ollama, Stream, aiterate, iterate, run
from rxollama import operators as op
from rxollama._runtime import background, chunks_of
from rxollama.errors import (
    EmptyStreamError,
    InvalidValueError,
    NotFoundError,
    ReportedError,
    RunningLoopError,
    StreamError,
)
from rxollama.messages import Progress
from rxollama.testing import Reply, ScriptedOllama

WORDS = ["One", " two", " three"]
THINKING = ["Hm", ", well"]


def stream(*items: Any, kind: type[Any] | None = None, deltas: bool = False) -> Stream[Any]:
    """Build a stream that emits items while it is subscribed."""

    def subscribe(observer: abc.ObserverBase[Any], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        for item in items:
            observer.on_next(item)
        observer.on_completed()
        return Disposable()

    return Stream(subscribe, items=kind, deltas=deltas)


def said(content: str = "", thinking: str = "", *, done: bool = False) -> ChatChunk:
    """Build an assistant's chunk."""
    return ChatChunk(message=Message("assistant", content, thinking), done=done)


class TestKind:
    """The kind of a stream's items."""

    def test_unknown(self) -> None:
        """Without arguments a stream knows nothing of its items."""
        assert (stream().items, stream().deltas) == (None, False)

    def test_like(self) -> None:
        """A stream like another has items of the same kind; of a foreign observable nothing is known."""
        source = stream(kind=str, deltas=True)
        like = Stream.like(source, lambda observer, _: source.subscribe(observer))
        assert (like.items, like.deltas) == (str, True)
        foreign = Stream.like(reactivex.of("a"), lambda observer, _: reactivex.of("a").subscribe(observer))
        assert (foreign.items, foreign.deltas) == (None, False)

    def test_calls_and_operators(self, ollama: Ollama) -> None:
        """Chats are deltas, and so are their texts; events, snapshots and values are not."""
        chat = ollama.chat("m", "Count.")
        kinds = {
            name: (each.items, each.deltas)
            for name, each in {
                "chat": chat,
                "generate": ollama.generate("m", "Count."),
                "converse": ollama.converse("m", "Count."),
                "content": chat.pipe(op.content()),
                "thinking": chat.pipe(op.thinking()),
                "share": chat.pipe(op.share()),
                "log": chat.pipe(op.log()),
                "coalesce": chat.pipe(op.content(), op.coalesce(1)),
                "collect": chat.pipe(op.collect()),
                "accumulate": chat.pipe(op.accumulate()),
            }.items()
        }
        assert kinds == {
            "chat": (ChatChunk, True),
            "generate": (ChatChunk, True),
            "converse": (ChatChunk, True),
            "content": (str, True),
            "thinking": (str, True),
            "share": (ChatChunk, True),
            "log": (ChatChunk, True),
            "coalesce": (str, True),
            "collect": (ChatResponse, False),
            "accumulate": (ChatResponse, False),
        }
        assert not chat.pipe(op.events()).deltas
        assert (ollama.pull("m").items, ollama.pull("m").deltas) == (Progress, False)


class TestRun:
    """Blocking until the whole is there."""

    def test_chat(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """A chat gives one chunk with the whole message and the metrics."""
        server.enqueue(Reply.answer(WORDS, thinking=THINKING))
        answer = run(ollama.chat("m", "Count."))
        assert answer.message == Message("assistant", "One two three", "Hm, well")
        assert answer.done
        assert answer.metrics is not None
        assert answer.metrics.eval_count

    def test_thinking_that_reopens(self) -> None:
        """Thinking that comes back after content is part of the whole."""
        whole = run(stream(said(thinking="a"), said("b"), said(thinking="c"), said("d", done=True), deltas=True))
        assert whole.message == Message("assistant", "bd", "ac")

    def test_final_message(self) -> None:
        """Several messages give the last one. A chunk of a tool's progress belongs to no message."""
        result = ChatChunk(message=Message("tool", "1", tool_name="t"), done=True)
        progress = ChatChunk(message=Message("tool", tool_name="t"), tool_progress="half")
        items = [said("a"), said(done=True), result, said("b"), said("c", done=True), progress]
        assert run(stream(*items, deltas=True)).message == Message("assistant", "bc")

    @given(conversations())
    def test_sum(self, messages: list[list[ChatChunk]]) -> None:
        """It is the last message that `collect` gives."""
        parts = [chunk for message in messages for chunk in message]
        if parts:
            collected = run(reactivex.of(*parts).pipe(op.collect()))
            whole = run(stream(*parts, kind=ChatChunk, deltas=True))
            assert replace(whole.message, role=whole.message.role or "assistant") == collected.messages[-1]

    def test_text(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """`content` and `thinking` give the whole text."""
        server.always(Reply.answer(WORDS, thinking=THINKING))
        assert run(ollama.chat("m", "Count.").pipe(op.content())) == "One two three"
        assert run(ollama.chat("m", "Count.").pipe(op.thinking(), op.coalesce(1))) == "Hm, well"

    def test_values(self) -> None:
        """Anything else gives its last item, also a foreign observable of texts."""
        assert run(reactivex.of(1, 2, 3)) == 3
        assert run(reactivex.of("a", "b")) == "b"
        assert run(stream("a", "b")) == "b"
        assert run(stream(1, 2, deltas=True)) == 2

    def test_empty(self) -> None:
        """Without an item it raises, except that the sum of no texts is the empty text."""
        with pytest.raises(EmptyStreamError, match="expected at least one"):
            run(reactivex.empty())
        with pytest.raises(EmptyStreamError):
            run(stream(kind=ChatChunk, deltas=True))
        assert run(stream(kind=str, deltas=True)) == ""
        with pytest.raises(EmptyStreamError):
            run(stream(kind=str))

    def test_error(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """The error that ends the stream is raised, with what had arrived."""
        server.enqueue(Reply.answer(WORDS).with_error("It broke", after=2))
        with pytest.raises(ReportedError, match="It broke") as raised:
            run(ollama.chat("m", "Count."))
        assert raised.value.partial is not None
        assert raised.value.partial.message.content == "One two"

    async def test_in_a_loop(self) -> None:
        """Inside a loop, which it would block, it refuses and names the other way."""
        with pytest.raises(RunningLoopError, match=r"run\(...\) would block .*: use `await stream`"):
            run(reactivex.of(1))

    def test_method(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """The method of an observable gives the whole, too."""
        server.enqueue(Reply.answer(WORDS))
        assert ollama.chat("m", "Count.").run().message.content == "One two three"

    async def test_method_in_a_loop(self) -> None:
        """The method refuses to block a loop."""
        with pytest.raises(RunningLoopError, match=r"stream.run\(\) would block .*: use `await stream`"):
            stream("a").run()

    def test_interrupt(self, start: Callable[..., Program], server: ScriptedOllama) -> None:
        """Ctrl-C closes the request, and is raised as usual."""
        server.enqueue(Reply.answer(WORDS).stalled(1))
        program = start(
            """
            from reactivex import operators as rx
            from rxollama import Ollama, run

            with Ollama(sys.argv[1]) as ollama:
                try:
                    run(ollama.chat("m", "Hello").pipe(rx.do_action(lambda _: print("came", flush=True))))
                except KeyboardInterrupt:
                    print("interrupted", flush=True)
                    sys.stdin.readline()
            """,
            server.url,
        )
        assert program.line() == "came"
        program.interrupt()
        server.requests[0].wait_left()
        assert program.line() == "interrupted"
        assert program.end() == ""

    def test_method_error(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """The method of a stream raises the error that ends it, as the function does."""
        server.enqueue(Reply.error(404, {"error": "model 'm' not found"}))
        with pytest.raises(NotFoundError) as raised:
            ollama.chat("m", "Hello").run()
        assert [entry.name for entry in raised.traceback] == ["test_method_error", "run"]

    def test_traceback(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """The traceback of an error is the user's line and one line of ours, without a chain of causes."""
        server.enqueue(Reply.error(404, {"error": "model 'm' not found"}))
        with pytest.raises(NotFoundError) as raised:
            run(ollama.chat("m", "Hello"))
        assert [entry.name for entry in raised.traceback] == ["test_traceback", "run"]
        assert raised.value.__cause__ is None
        assert raised.value.__suppress_context__ or raised.value.__context__ is None

    def test_traceback_of_a_callback(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """The traceback of an error in the user's own function ends with the user's line."""
        server.enqueue(Reply.answer(WORDS))

        def fail(_: ChatChunk) -> int:
            raise LookupError("mine")

        with pytest.raises(LookupError) as raised:
            run(ollama.chat("m", "Hello").pipe(rx.map(fail)))
        assert raised.traceback[-1].name == "fail"

    @pytest.mark.parametrize("leave", [run, iterate, aiterate])
    def test_not_a_stream(self, leave: Callable[[Any], object]) -> None:
        """Something that is not an observable is refused in words."""
        with pytest.raises(InvalidValueError, match=rf"{leave.__name__}\(\): expected a stream.* got method"):
            leave(Ollama().chat)


class TestFor:
    """A stream in a plain `for`."""

    def test_items(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """It brings the items, and sends a request each time."""
        server.always(Reply.answer(WORDS, gap=0.01))
        chat = ollama.chat("m", "Count.")
        assert "".join(chunk.message.content for chunk in chat) == "One two three"
        assert "".join(chat.pipe(op.content())) == "One two three"
        assert len(server.requests) == 2

    def test_break(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Leaving the loop closes the request."""
        server.enqueue(Reply.answer(WORDS).stalled(1))
        for chunk in ollama.chat("m", "Count."):
            assert chunk.message.content == "One"
            break
        server.requests[0].wait_left()

    async def test_in_a_loop(self, ollama: Ollama) -> None:
        """Inside a running loop it refuses, and names `async for`."""
        with pytest.raises(RunningLoopError, match="use `async for item in stream`"):
            iter(ollama.chat("m", "Count."))

    def test_slow_body(self) -> None:
        """A slow body finds deltas as a sum, and values one by one."""
        assert list(stream("a", "b", kind=str, deltas=True)) == ["ab"]
        assert list(stream("a", "b", kind=str)) == ["a", "b"]
        assert list(iterate(stream("a", "b"), overflow="sum")) == ["ab"]
        assert list(iterate(stream("a", "b", deltas=True), overflow="keep")) == ["a", "b"]

    def test_observable(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Behind an operator of reactivex it iterates as well: a plain observable would yield observables for ever."""
        server.always(Reply.answer(WORDS))
        texts = ollama.chat("m", "Count.").pipe(op.content())
        # Type checkers know it as an observable, and ask for `iterate`.
        several: list[Any] = [texts.pipe(rx.map(len)), texts.map(len)]
        for lengths in several:
            assert list(lengths) == [3, 4, 6]
        assert list(texts[:2]) == WORDS[:2]
        assert list(texts + reactivex.of("!")) == [*WORDS, "!"]

    def test_connectable(self) -> None:
        """A subclass of an observable stays what it is."""
        published = stream("a", "b").pipe(rx.publish())
        assert not isinstance(published, Stream)
        assert callable(published.connect)


class TestTheAnswerItself:
    """A stream that is taken for the answer, as the official client returns it."""

    def test_attribute(self, ollama: Ollama) -> None:
        """A name of the answer says where the answer is."""
        chat: Any = ollama.chat("m", "Count.")
        with pytest.raises(AttributeError, match=r"no attribute 'message': the answer is in run\(stream\), `await"):
            _ = chat.message

    def test_key(self, ollama: Ollama) -> None:
        """So does a key."""
        chat: Any = ollama.chat("m", "Count.")
        with pytest.raises(InvalidValueError, match=r"got 'message': the answer is in run\(stream\), `await"):
            _ = chat["message"]


class TestAsyncFor:
    """A stream in an `async for`."""

    async def test_items(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """It brings the items as they come."""
        server.enqueue(Reply.answer(WORDS))
        assert "".join([text async for text in ollama.chat("m", "Count.").pipe(op.content())]) == "One two three"

    async def test_slow_body(self) -> None:
        """A slow body finds deltas as a sum, and values one by one."""
        assert [item async for item in stream("a", "b", kind=str, deltas=True)] == ["ab"]
        assert [item async for item in stream("a", "b")] == ["a", "b"]
        assert [item async for item in aiterate(stream("a", "b"), overflow="latest")] == ["b"]


class TestAwait:
    """Awaiting a stream."""

    async def test_chat(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """It gives what `run` gives."""
        server.always(Reply.answer(WORDS))
        answer = await ollama.chat("m", "Count.")
        assert answer.message.content == "One two three"
        assert await ollama.chat("m", "Count.").pipe(op.content()) == "One two three"

    async def test_values(self) -> None:
        """Anything that is not deltas gives its last item."""
        assert await stream(1, 2, 3) == 3
        with pytest.raises(EmptyStreamError):
            await stream()

    async def test_error(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """It raises the error that ends the stream, without the library's frames in its traceback."""
        server.enqueue(Reply.error(404, {"error": "model 'm' not found"}))
        with pytest.raises(NotFoundError) as raised:
            await ollama.chat("m", "Hello")
        assert raised.traceback[0].name == "test_error"
        assert len(raised.traceback) == 2

    async def test_cancel(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Cancelling the task closes the request."""
        server.enqueue(Reply.answer(WORDS).stalled(1))
        came = asyncio.Event()
        chat = ollama.chat("m", "Count.").pipe(rx.do_action(came_with(came)), op.collect())

        async def consume() -> ChatResponse:
            return await chat

        task = asyncio.create_task(consume())
        await came.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(server.requests[0].wait_left)

    async def test_of_another_loop(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """A shared stream that lives on the background loop wakes a task that awaits it here."""
        server.enqueue(Reply.answer(WORDS, gap=0.05))
        shared = ollama.chat("m", "Count.").pipe(op.share())
        begun = threading.Event()
        await asyncio.to_thread(lambda: shared.subscribe(lambda _: begun.set()))
        await asyncio.to_thread(begun.wait)
        answer = await asyncio.wait_for(shared, 10)
        assert answer.message.content == "One two three"
        assert len(server.requests) == 1
        assert background() is not asyncio.get_running_loop()

    async def test_from_a_thread(self) -> None:
        """An observable whose items come from a thread wakes a task that awaits it."""
        subject = Subject[int]()

        def subscribe(observer: abc.ObserverBase[int], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            return subject.subscribe(observer)

        source: Stream[int] = Stream(subscribe)
        waiting = asyncio.create_task(wait_for(source))
        await asyncio.sleep(0)

        def speak() -> None:
            subject.on_next(1)
            subject.on_completed()

        await asyncio.to_thread(speak)
        assert await waiting == 1


def came_with(came: asyncio.Event) -> Callable[[ChatChunk], None]:
    """Return a callback that sets an event."""
    return lambda _: came.set()


async def wait_for(source: Stream[int]) -> int:
    """Await a stream."""
    return await source


def increment(number: int) -> int:
    """Add one."""
    return number + 1


class TestPipe:
    """Composing operators."""

    def test_none(self) -> None:
        """Without operators it is the stream itself."""
        source = stream(1)
        assert source.pipe() is source

    def test_many(self) -> None:
        """Any number of operators is applied from left to right."""
        operators: Any = [rx.map(increment)] * 20
        many: Any = stream(0).pipe(*operators)
        assert run(many) == 20

    def test_not_an_operator(self) -> None:
        """Something that is not an operator is refused in words."""
        operators: Any = ("content",)
        with pytest.raises(InvalidValueError, match=r"pipe\(\): expected operators, such as op.content\(\), got"):
            stream(1).pipe(*operators)

    @pytest.mark.parametrize("name", [name for name in op.__all__ if name.islower()])
    def test_not_called(self, name: str) -> None:
        """A function of ours that was not called is named, with how to call it."""
        operator: Any = getattr(op, name)
        with pytest.raises(InvalidValueError, match=rf"got the function op\.{name}: call it, as in op\.{name}\("):
            stream(1).pipe(operator)

    def test_wrong_items(self, ollama: Ollama) -> None:
        """An operator that gets the wrong kind of items says so when it is applied."""
        chat = ollama.chat("m", "Count.")
        with pytest.raises(InvalidValueError, match=r"collect\(\): .* ChatChunk.* got a stream of str"):
            chat.pipe(op.content(), op.collect())  # type: ignore[misc] # pyright: ignore[reportUnknownMemberType, reportArgumentType, reportCallIssue] - As a user errs.
        with pytest.raises(InvalidValueError, match=r"content\(\): .* got a stream of ChatResponse"):
            chat.pipe(op.collect(), op.content())  # type: ignore[misc] # pyright: ignore[reportUnknownMemberType, reportArgumentType, reportCallIssue] - As a user errs.


class TestChunksOf:
    """The check of what an operator is applied to."""

    def test_chunks(self) -> None:
        """A stream of chunks passes as it is."""
        source = stream(kind=ChatChunk, deltas=True)
        assert chunks_of(source, "op()") is source

    def test_foreign(self) -> None:
        """Items of a foreign observable are checked one by one; a wrong one ends it, and disposes the source."""
        left: list[str] = []
        items: list[Any] = [said("a"), "b", said("c")]
        foreign: Observable[Any] = reactivex.from_iterable(items).pipe(rx.finally_action(lambda: left.append("left")))
        seen: list[ChatChunk] = []
        failures: list[Exception] = []
        chunks_of(foreign, "op()").subscribe(seen.append, failures.append)
        assert seen == [said("a")]
        assert [str(error) for error in failures] == ["op(): expected items of type ChatChunk, got str"]
        assert left == ["left"]

    def test_not_an_observable(self) -> None:
        """Something else than an observable is refused."""
        other: Any = 42
        with pytest.raises(InvalidValueError, match=r"op\(\): expected a stream of ChatChunk"):
            chunks_of(other, "op()")

    def test_type(self) -> None:
        """The refusal is an error of the library, and not one of a stream."""
        assert not issubclass(InvalidValueError, StreamError)
