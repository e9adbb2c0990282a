"""An answer that begins over, on a terminal and in a pipe."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Sequence
from typing import Any

import pytest
import reactivex
from reactivex import Observable
from reactivex.subject import ReplaySubject
from terminals import PATIENCE, drawn

from rxollama.cli._output import Output
from rxollama.cli._show_answer import Answer
from rxollama.messages import ChatChunk, Function, Message, Restart, ToolCall

CALL = ToolCall(Function("f"), "1")
LINE = "the answer broke off and begins over, attempt 2"


def says(text: str, *, restart: Restart | None = None, calls: tuple[ToolCall, ...] = ()) -> ChatChunk:
    """Return a chunk of the assistant."""
    return ChatChunk(message=Message("assistant", text, tool_calls=calls), restart=restart)


CHUNKS = (
    says("One"),
    says("", calls=(CALL,)),
    says("Two", restart=Restart("ConnectionLostError: lost")),
    says("", calls=(CALL,)),
    ChatChunk(message=Message.tool("done", call=CALL), done=True),
    ChatChunk(message=Message("assistant", "End"), done=True),
)


class Written(io.BytesIO):
    """The text that was written, and whether the first attempt was."""

    def __init__(self) -> None:
        super().__init__()
        self.has_first = threading.Event()

    def write(self, data: Any) -> int:
        """Keep what is written."""
        count = super().write(data)
        if b"One" in self.getvalue():
            self.has_first.set()
        return count


class Screen(io.TextIOWrapper):
    """A standard output that says it is a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


@pytest.fixture(autouse=True)
def _no_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """Close standard input, whose replacement by pytest has no encoding."""
    monkeypatch.setattr(sys, "stdin", None)


def shown(written: Written, chunks: Sequence[ChatChunk]) -> Answer:
    """Return an answer that was shown, the first chunks before the others arrive."""
    answer, source = Answer(Output(), "m"), ReplaySubject[ChatChunk]()

    def arrive() -> None:
        for chunk in chunks[:2]:
            source.on_next(chunk)
        written.has_first.wait(PATIENCE)
        for chunk in chunks[2:]:
            source.on_next(chunk)
        source.on_completed()

    def begin(_: object) -> Observable[ChatChunk]:
        thread.start()
        return source

    thread = threading.Thread(target=arrive)
    answer.show(reactivex.defer(begin))
    thread.join()
    return answer


def test_pipe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The text that was written stays, and a line beside it says that the answer begins over."""
    written = Written()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="utf-8"))
    answer = shown(written, CHUNKS)

    assert written.getvalue() == b"One\nTwoEnd\n"
    assert LINE in capsys.readouterr().err
    assert [message.content for message in answer.response.messages] == ["Two", "done", "End"]


def test_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line says that the answer begins over, and the calls that were dropped do not wait for results."""
    written = Written()
    monkeypatch.setattr(sys, "stdout", Screen(written, encoding="utf-8", write_through=True))
    monkeypatch.setenv("TERM", "xterm-256color")
    shown(written, CHUNKS)

    lines = [line.strip() for line in drawn(written.getvalue().decode()) if line.strip()]
    assert lines.index(LINE) < lines.index("Two") < lines.index("✓ f: done") < lines.index("End")
