"""The output of tools."""

from __future__ import annotations

import sys
import threading

from rxollama.cli._captured_output import CapturedOutput


def test_lines() -> None:
    """A line is passed on when it ends or when it is flushed."""
    lines: list[str] = []
    captured = CapturedOutput(sys.stdout, lines.append)

    assert captured.write("one two\nthree\n") == 14
    captured.write("four")
    assert lines == ["one two", "three"]
    captured.write("!")
    captured.flush()
    captured.flush()

    assert lines == ["one two", "three", "four!"]


def test_threads() -> None:
    """The lines of two threads do not mix."""
    lines: list[str] = []
    captured = CapturedOutput(sys.stdout, lines.append)
    captured.write("begun, ")
    thread = threading.Thread(target=captured.write, args=("other\n",))
    thread.start()
    thread.join()
    captured.write("ended\n")

    assert lines == ["other", "begun, ended"]


def test_properties_of_the_stream() -> None:
    """The replacement has the properties of the stream that it replaces."""
    stream = sys.__stdout__
    assert stream is not None
    captured = CapturedOutput(stream, print)

    assert (captured.fileno(), captured.isatty()) == (stream.fileno(), stream.isatty())
    assert (captured.encoding, captured.errors) == (stream.encoding, stream.errors)
