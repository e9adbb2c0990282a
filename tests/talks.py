"""Scripted conversations with tools: answers that call, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Thread, current_thread
from typing import Any

from reactivex import Observable, abc
from reactivex.disposable import Disposable

from rxollama import ChatChunk
from rxollama.testing import Reply


def calls(*given: tuple[str, dict[str, Any]], content: str = "") -> Reply:
    """Answer with calls of tools, whose ids are their places."""
    called = [{"id": f"call_{place}", "name": name, "arguments": a} for place, (name, a) in enumerate(given)]
    return Reply.answer(content, tool_calls=called)


def call_of(name: str) -> dict[str, Any]:
    """Word a call of a tool, as a server does, without an id."""
    return {"function": {"name": name, "arguments": {}}}


def said(content: str, *called: dict[str, Any]) -> dict[str, Any]:
    """Word a message of the assistant, as a server does."""
    return {"role": "assistant", "content": content, "tool_calls": [*called]}


def results_of(chunks: list[ChatChunk]) -> list[str]:
    """List what tools gave."""
    return [chunk.message.content for chunk in chunks if chunk.message.role == "tool" and not chunk.is_tool_progress]


def failures_of(chunks: list[ChatChunk]) -> list[str]:
    """List what the model was told of tools that failed."""
    return [chunk.message.content for chunk in chunks if chunk.tool_failed]


def done(name: str = "f") -> Callable[[], str]:
    """Make a tool that is done at once."""

    def function() -> str:
        return "done"

    function.__name__ = name
    return function


def from_a_thread(source: Observable[ChatChunk]) -> Observable[ChatChunk]:
    """Hand on all that comes from a thread of its own, which is gone when the subscription is."""

    def subscribe(
        observer: abc.ObserverBase[ChatChunk], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        waiting: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

        def work() -> None:
            while (act := waiting.get()) is not None:
                act()

        def on_next(chunk: ChatChunk) -> None:
            waiting.put(partial(observer.on_next, chunk))

        def on_error(error: Exception) -> None:
            waiting.put(partial(observer.on_error, error))

        def on_completed() -> None:
            waiting.put(observer.on_completed)

        thread = Thread(target=work, name="another")
        thread.start()
        subscription = source.subscribe(on_next, on_error, on_completed, scheduler=scheduler)

        def dispose() -> None:
            subscription.dispose()
            waiting.put(None)
            if thread is not current_thread():
                thread.join()

        return Disposable(dispose)

    return Observable(subscribe)
