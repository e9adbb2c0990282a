"""Connections that break at every byte, by a reset or an end, and while the client is busy."""

from __future__ import annotations

import socket
from collections.abc import Callable
from itertools import accumulate
from queue import SimpleQueue
from typing import Any, NamedTuple

import pytest
from faults_cases import (
    HEAD,
    WORDS,
    Client,
    chunked,
    held_background,
    listening,
    partial_of,
    record,
    reset,
    sum_of,
)
from heard import PATIENCE, Heard, text_of

from rxollama import Ollama
from rxollama.errors import ConnectionLostError, ReportedError, TruncatedError
from rxollama.messages import ChatChunk
from rxollama.testing import Recording, Reply, ScriptedOllama

Break = Callable[[socket.socket], None]
BREAKS = pytest.mark.parametrize("end", [reset, socket.socket.close], ids=["reset", "closed"])


class Told(NamedTuple):
    """The result of a connection that broke after a number of bytes."""

    cut: int
    error: type[Exception] | None
    records: int
    partial_is_their_sum: bool


def told(cut: int, heard: Heard[ChatChunk]) -> Told:
    """Return the result of a subscription."""
    error = heard.wait().error
    return Told(
        cut,
        type(error) if error else None,
        len(heard.items),
        error is None or partial_of(error) == sum_of(heard.items),
    )


def on_the_wire(recording: Recording) -> tuple[bytes, list[int]]:
    """Return a recorded answer as on the wire, and the number of bytes that completes each record."""
    framed = [chunked(data) for _, data in recording.reads]
    ends = accumulate((len(piece) for piece in framed), initial=len(HEAD))
    # The last two bytes of a chunk belong to HTTP.
    return b"".join((HEAD, *framed, b"0\r\n\r\n")), [end - 2 for end in list(ends)[1:]]


@pytest.mark.parametrize(
    ("end", "name", "last"),
    [(reset, "native-calls", None), (socket.socket.close, "crash", ReportedError)],
    ids=["reset", "closed"],
)
def test_at_every_byte(
    recordings: dict[str, Recording], http_client: Client, end: Break, name: str, last: type[Exception] | None
) -> None:
    """At any break, the complete records are emitted, and the error holds their sum."""
    wire, ends = on_the_wire(recordings[name])
    whole = len(ends) - bool(last)
    expected: list[Told] = []
    for cut in range(len(wire)):
        count = sum(end <= cut for end in ends)
        expected.append(Told(cut, ConnectionLostError if count < len(ends) else last, min(count, whole), True))
    turns: SimpleQueue[tuple[Told, Heard[ChatChunk]]] = SimpleQueue()

    def script(connection: socket.socket) -> None:
        turn, heard = turns.get(timeout=PATIENCE)
        connection.sendall(wire[: turn.cut])
        heard.wait_items(turn.records)
        end(connection)

    came: list[Told] = []
    with listening(script) as url, Ollama(url, http_client=http_client) as ollama:
        for turn in expected:
            heard = Heard(ollama.chat("m", "Go on."))
            turns.put((turn, heard))
            came.append(told(turn.cut, heard))
    assert came == expected


@BREAKS
@pytest.mark.parametrize("begun", [False, True], ids=["with the head", "in the middle"])
def test_all_at_once(http_client: Client, end: Break, begun: bool) -> None:
    """A client that finds records and the end of the connection at once emits the records first."""
    turns: SimpleQueue[Any] = SimpleQueue()

    def script(connection: socket.socket) -> None:
        heard = turns.get(timeout=PATIENCE)
        if begun:
            connection.sendall(HEAD + chunked(record(0)))
            heard.wait_items(1)
        with held_background():
            connection.sendall(chunked(record(1), record(2)) if begun else HEAD + chunked(*map(record, range(3))))
            end(connection)

    with listening(script) as url, Ollama(url, http_client=http_client) as ollama:
        heard = Heard(ollama.chat("m", "Count."))
        turns.put(heard)
        assert type(heard.failure) is ConnectionLostError
        assert text_of(heard.items) == "One two three"
        assert partial_of(heard.error) == sum_of(heard.items)


def test_without_a_newline(ollama: Ollama, server: ScriptedOllama) -> None:
    """A record without its newline is not emitted if the connection breaks: it may be incomplete."""
    body = b"".join(map(record, range(4)))
    server.enqueue(Reply.answer(WORDS).reset(len(body) - 1))
    heard = Heard(ollama.chat("m", "Count."))
    assert type(heard.failure) is ConnectionLostError
    assert text_of(heard.items) == "One two three"


@pytest.mark.parametrize("pieces", [1, 3])
def test_longer_than_told(http_client: Client, pieces: int) -> None:
    """A response that is shorter than its content-length is a lost connection."""

    def script(connection: socket.socket) -> None:
        body = b"".join(map(record, range(pieces)))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(body) + 1) + body)

    with listening(script) as url, Ollama(url, http_client=http_client) as ollama:
        heard = Heard(ollama.chat("m", "Count."))
        assert type(heard.failure) is ConnectionLostError
        assert partial_of(heard.error) == sum_of(heard.items) == sum_of(heard.items[:pieces])
        assert len(heard.items) == pieces


def test_without_a_length(http_client: Client) -> None:
    """A response without a length that ends with its connection before `done` is a truncated answer."""

    def script(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + record(0) + record(1))

    with listening(script) as url, Ollama(url, http_client=http_client) as ollama:
        heard = Heard(ollama.chat("m", "Count."))
        assert type(heard.failure) is TruncatedError
        assert text_of(heard.items) == "One two"
        assert partial_of(heard.error) == sum_of(heard.items)
