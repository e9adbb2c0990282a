"""Consent: before a tool runs, a person is asked."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from reactivex import Observable, abc

from rxollama._runtime import call_on
from rxollama.cli._tool_lines import cut, shown_call, shown_name
from rxollama.messages import ChatChunk, ToolCall
from rxollama.tools import Approval, Denied

__all__ = ("Consent", "Inquirer", "Question", "can_ask")

_LINES = 6
_ASK = "  run it? [y]es, [n]o and why, [a]lways {name}, [q]uit{more}: "
_ALL = ", [s]how all of it"
_AGAIN = "  y, n, a or q; what the model should be told goes after the n: "
_NO = re.compile(r"no?\b[\s,:;.-]*", re.IGNORECASE)


class Inquirer(Protocol):
    """Ask a person."""

    @property
    def columns(self) -> int:
        """How wide a line is."""
        ...

    def call(self, text: str) -> None:
        """Show a call."""
        ...

    def line(self, prompt: str) -> str:
        """Ask for a line; raises EOFError where there is none to come."""
        ...


class Question:
    """
    Be a call that waits for consent, on the stream's loop.

    Args:
        call: The call.
    """

    def __init__(self, call: ToolCall) -> None:
        self.call = call
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[Approval] = self._loop.create_future()

    async def answer(self) -> Approval:
        """Wait for the answer."""
        return await self._answer

    def settle(self, approval: Approval) -> None:
        """Answer, from any thread."""
        call_on(self._loop, partial(self._settle, approval))

    def _settle(self, approval: Approval) -> None:
        # The stream may have ended while somebody thought it over.
        if not self._answer.done():
            self._answer.set_result(approval)


class Consent:
    """
    Carry questions from the stream's loop to the thread that has the terminal, and remember what is always allowed.

    That thread is the one that Ctrl-C reaches, and where lines are edited.
    """

    def __init__(self) -> None:
        self._put: Callable[[Any], None] = lambda _: None
        self._always: set[str] = set()

    async def approve(self, call: ToolCall) -> Approval:
        """Ask, on the stream's loop."""
        question = Question(call)
        self._put(question)
        return await question.answer()

    def among(self, chunks: Observable[ChatChunk]) -> Observable[ChatChunk | Question]:
        """Let the questions come among the chunks."""

        def subscribe(
            observer: abc.ObserverBase[ChatChunk | Question], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            self._put = observer.on_next
            return chunks.subscribe(observer, scheduler=scheduler)

        return Observable(subscribe)

    def is_given(self, call: ToolCall) -> bool:
        """Whether this tool is always allowed."""
        return call.name in self._always

    def ask(self, call: ToolCall, inquirer: Inquirer) -> Approval:
        """
        Ask a person.

        Args:
            call: The call.
            inquirer: Asks.

        Returns:
            The answer.

        Raises:
            KeyboardInterrupt: When the answer is to stop it all: Ctrl-C, Ctrl-D or `q`.
        """
        whole = shown_call(call)
        part = cut(whole, _LINES * inquirer.columns)
        inquirer.call(part)
        prompt = first = _ASK.format(name=shown_name(call.name), more=_ALL if part != whole else "")
        while True:
            try:
                answer = inquirer.line(prompt).strip()
            except EOFError:
                raise KeyboardInterrupt from None
            prompt = _AGAIN
            match answer.lower():
                case "y" | "yes":
                    return True
                case "a" | "always":
                    self._always.add(call.name)
                    return True
                case "q" | "quit":
                    raise KeyboardInterrupt
                case "s" if part != whole:
                    inquirer.call(whole)
                    prompt = first
                case "":
                    return False
                case _ if no := _NO.match(answer):
                    return Denied(answer[no.end() :])
                case _:
                    pass


def can_ask() -> bool:
    """Tell whether there is somebody to ask: a terminal to write to, and one to read from."""
    terminals = [stream for stream in (sys.stdout, sys.stderr) if stream.isatty()]
    return bool(sys.stdin) and sys.stdin.isatty() and bool(terminals)
