"""Scripted conversations with tools: replies with tool calls, and their results."""

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
    """Return a reply with tool calls, numbered by their ids."""
    called = [{"id": f"call_{place}", "name": name, "arguments": a} for place, (name, a) in enumerate(given)]
    return Reply.answer(content, tool_calls=called)


def call_of(name: str) -> dict[str, Any]:
    """Return a tool call in Ollama's shape, without an id."""
    return {"function": {"name": name, "arguments": {}}}


def said(content: str, *called: dict[str, Any]) -> dict[str, Any]:
    """Return a message of the assistant in Ollama's shape."""
    return {"role": "assistant", "content": content, "tool_calls": [*called]}


def results_of(chunks: list[ChatChunk]) -> list[str]:
    """Return the results of tools."""
    return [chunk.message.content for chunk in chunks if chunk.message.role == "tool" and not chunk.is_tool_progress]


def failures_of(chunks: list[ChatChunk]) -> list[str]:
    """Return the results of tools that failed."""
    return [chunk.message.content for chunk in chunks if chunk.tool_failed]


def done(name: str = "f") -> Callable[[], str]:
    """Return a tool that returns at once."""

    def function() -> str:
        return "done"

    function.__name__ = name
    return function


def from_a_thread(source: Observable[ChatChunk]) -> Observable[ChatChunk]:
    """Return a stream that emits from its own thread, which ends with the subscription."""

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
