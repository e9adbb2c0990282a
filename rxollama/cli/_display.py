"""What an answer is shown on: a terminal, or a pipe."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self

from rxollama.cli._consent import Inquirer
from rxollama.messages import ChatChunk, ChatResponse, ToolCall

__all__ = ("Display",)


class Display(Inquirer, Protocol):
    """Show an answer."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def take(self, chunk: ChatChunk) -> None:
        """Show what a chunk adds to what is thought and said."""
        ...

    def start(self, call: ToolCall) -> None:
        """Show that a tool runs."""
        ...

    def progress(self, chunk: ChatChunk) -> None:
        """Show how far a tool is."""
        ...

    def end(self, call: ToolCall, chunk: ChatChunk) -> None:
        """Show what a tool brought."""
        ...

    def paused(self) -> AbstractContextManager[None]:
        """Let nothing move, while somebody is asked."""
        ...

    def overheard(self) -> AbstractContextManager[object]:
        """Keep what tools print away from the answer."""
        ...

    def finish(self, response: ChatResponse) -> None:
        """Say how it ended."""
        ...

    def break_off(self, reason: str) -> None:
        """Say that it has no end."""
        ...
