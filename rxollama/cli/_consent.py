"""
Consent: the question before a tool runs.

A call is approved on the stream's loop, and the question is asked on the main thread: Ctrl-C arrives there, and
`input` edits lines there. So a question travels among the chunks to the thread that shows them, and its answer
travels back in a future that any thread may set.
"""

from __future__ import annotations

import re
import sys
from asyncio import wrap_future
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any, Protocol

from reactivex import Observable, abc

from rxollama.cli._tool_lines import format_call, format_name, shorten
from rxollama.messages import ChatChunk, ToolCall
from rxollama.tools import Approval, Denied

__all__ = ("Consent", "Prompter", "Question", "can_ask")

_LINES = 6
_ASK = "  run it? [y]es, [n]o and why, [a]lways {name}, [q]uit{more}: "
_SHOW_ALL = ", [s]how all of it"
_ASK_AGAIN = "  answer y, n, a or q; text after the n is passed to the model: "
_NO = re.compile(r"no?\b[\s,:;.-]*", re.IGNORECASE)


class Prompter(Protocol):
    """A place to show a call and to ask about it."""

    @property
    def columns(self) -> int:
        """The width of a line."""
        ...

    def show_call(self, text: str) -> None:
        """Show a call, whose text is that of `format_call`."""
        ...

    def read_answer(self, prompt: str) -> str:
        """Return the line that answers *prompt*. Raises EOFError at the end of input."""
        ...


class Question:
    """
    A call that waits for an answer.

    Args:
        call: The call.
    """

    def __init__(self, call: ToolCall) -> None:
        self.call = call
        self._answer: Future[Approval] = Future()

    async def wait(self) -> Approval:
        """Wait for the answer and return it."""
        return await wrap_future(self._answer)

    def answer(self, approval: Approval) -> None:
        """Answer the question, from any thread. Only the first answer counts, and none after the stream has ended."""
        with suppress(InvalidStateError):
            self._answer.set_result(approval)


class Consent:
    """The user's consent to tool calls, with the tools that are always allowed."""

    def __init__(self) -> None:
        self._put: Callable[[Any], None] = lambda _: None
        self._always: set[str] = set()

    async def approve(self, call: ToolCall) -> Approval:
        """Send out a question, and wait for its answer. Runs on the stream's loop."""
        question = Question(call)
        self._put(question)
        return await question.wait()

    def with_questions(self, chunks: Observable[ChatChunk]) -> Observable[ChatChunk | Question]:
        """Return *chunks* with the questions among them."""

        def subscribe(
            observer: abc.ObserverBase[ChatChunk | Question], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            self._put = observer.on_next
            return chunks.subscribe(observer, scheduler=scheduler)

        return Observable(subscribe)

    def is_always_allowed(self, call: ToolCall) -> bool:
        """Return whether the user allowed every call of this tool."""
        return call.name in self._always

    def ask(self, call: ToolCall, prompter: Prompter) -> Approval:
        """
        Ask whether a call may run.

        Args:
            call: The call.
            prompter: The place to ask.

        Returns:
            The answer.

        Raises:
            KeyboardInterrupt: If the answer is `q`, Ctrl-C or Ctrl-D.
        """
        whole = format_call(call)
        shown = shorten(whole, _LINES * prompter.columns)
        prompter.show_call(shown)
        prompt = first = _ASK.format(name=format_name(call.name), more=_SHOW_ALL if shown != whole else "")
        while True:
            try:
                answer = prompter.read_answer(prompt).strip()
            except EOFError:
                raise KeyboardInterrupt from None
            prompt = _ASK_AGAIN
            match answer.lower():
                case "y" | "yes":
                    return True
                case "a" | "always":
                    self._always.add(call.name)
                    return True
                case "q" | "quit":
                    raise KeyboardInterrupt
                case "s" if shown != whole:
                    prompter.show_call(whole)
                    prompt = first
                case "":
                    return False
                case _ if no := _NO.match(answer):
                    return Denied(answer[no.end() :])
                case _:
                    pass


def can_ask() -> bool:
    """Return whether there is a terminal to read from and one to write to."""
    terminals = [stream for stream in (sys.stdout, sys.stderr) if stream.isatty()]
    return bool(sys.stdin) and sys.stdin.isatty() and bool(terminals)
