"""Replies, a tool and helpers for the tests of conversations."""

from __future__ import annotations

from typing import Any

from reactivex import abc
from reactivex.disposable import Disposable

from rxollama import ChatChunk, Conversation, Ollama, Stream
from rxollama.testing import Reply, SeenRequest

__all__ = ("ANSWER", "CALL", "OTHER", "PARTS", "ByHand", "get_time", "goes_on", "is_result", "remembered", "sent")

ANSWER = Reply.answer("Hello there.")
PARTS = Reply.answer(["a", "b", "c"])
CALL = {"name": "get_time", "arguments": {"city": "Oslo"}, "id": "call_1"}
OTHER = {"name": "get_time", "arguments": {"city": "Rome"}, "id": "call_2"}


def get_time(city: str) -> str:
    """Return the time in a city."""
    return f"noon in {city}"


def sent(seen: SeenRequest) -> list[str]:
    """Return the contents of a request's messages."""
    return [message["content"] for message in seen.json["messages"]]


def remembered(conversation: Conversation) -> list[str]:
    """Return the contents of a history's messages."""
    return [message.content for message in conversation.messages]


def goes_on(chunk: ChatChunk) -> bool:
    """Return whether a chunk is not the last of its message."""
    return not chunk.done


def is_result(chunk: ChatChunk) -> bool:
    """Return whether a chunk holds the result of a tool."""
    return chunk.message.role == "tool"


class ByHand(Ollama):
    """A client whose answers are emitted by the test."""

    def __init__(self) -> None:
        super().__init__("http://localhost:1")
        self.observers: list[abc.ObserverBase[ChatChunk]] = []

    def converse(self, *_: Any, **__: Any) -> Stream[ChatChunk]:
        """Return an answer whose observer is kept."""

        def subscribe(observer: abc.ObserverBase[ChatChunk], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            self.observers.append(observer)
            return Disposable()

        return Stream(subscribe, items=ChatChunk, deltas=True)
