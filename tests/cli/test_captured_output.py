"""What tools print."""

from __future__ import annotations

import sys
import threading

from rxollama.cli._captured_output import Overheard


def test_lines() -> None:
    """Lines are handed on when they end, or when they are flushed."""
    heard: list[str] = []
    overheard = Overheard(sys.stdout, heard.append)

    assert overheard.write("one two\nthree\n") == 14
    overheard.write("four")
    assert heard == ["one two", "three"]
    overheard.write("!")
    overheard.flush()
    overheard.flush()

    assert heard == ["one two", "three", "four!"]


def test_threads() -> None:
    """The lines of several threads are not mixed."""
    heard: list[str] = []
    overheard = Overheard(sys.stdout, heard.append)
    overheard.write("begun, ")
    thread = threading.Thread(target=overheard.write, args=("other\n",))
    thread.start()
    thread.join()
    overheard.write("ended\n")

    assert heard == ["other", "begun, ended"]


def test_it_stands_for_the_stream() -> None:
    """Who asks takes it for the stream itself."""
    stream = sys.__stdout__
    assert stream is not None
    overheard = Overheard(stream, print)

    assert (overheard.fileno(), overheard.isatty()) == (stream.fileno(), stream.isatty())
    assert (overheard.encoding, overheard.errors) == (stream.encoding, stream.errors)
