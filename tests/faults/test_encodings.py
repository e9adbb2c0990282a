"""Bodies that are compressed though nobody asked for it: whole, cut, broken, and of no known kind."""

from __future__ import annotations

import socket
from queue import SimpleQueue
from typing import Literal

import pytest
from faults_cases import HEAD, WORDS, Client, chunked, listening, partial_of, sum_of
from heard import PATIENCE, Heard, text_of

from rxollama import Ollama
from rxollama.errors import ProtocolError, StreamError, TruncatedError
from rxollama.messages import ChatChunk
from rxollama.testing import Piece, Reply, ScriptedOllama

ENCODINGS = pytest.mark.parametrize("encoding", ["gzip", "deflate"])
Encoding = Literal["gzip", "deflate"]


@ENCODINGS
@pytest.mark.parametrize("size", [1, 10, 100_000])
def test_cuts(ollama: Ollama, server: ScriptedOllama, encoding: Encoding, size: int) -> None:
    """However a compressed body is cut, it is decoded to the same records."""
    server.enqueue(Reply.answer(WORDS).encoded(encoding).cut(size))
    heard = Heard(ollama.chat("m", "Count.")).wait()
    assert heard.error is None
    assert text_of(heard.items) == "One two three"


@ENCODINGS
def test_as_it_comes(ollama: Ollama, server: ScriptedOllama, encoding: Encoding) -> None:
    """Compressed records are delivered as they come, and leaving in the middle closes the request."""
    server.enqueue(Reply.answer(WORDS).encoded(encoding).stalled(2))
    heard = Heard(ollama.chat("m", "Count.")).wait_items(2)
    heard.dispose()
    server.requests[0].wait_left()
    assert text_of(heard.items) == "One two"


@ENCODINGS
def test_ends_early(ollama: Ollama, server: ScriptedOllama, encoding: Encoding) -> None:
    """A compressed body that ends early, properly for HTTP, is a truncated answer."""
    server.enqueue(Reply.answer(WORDS).encoded(encoding).truncated(2))
    heard = Heard(ollama.chat("m", "Count."))
    assert type(heard.failure) is TruncatedError
    assert partial_of(heard.failure) == sum_of(heard.items) == ("", "One two", ())


@ENCODINGS
def test_broken(http_client: Client, encoding: Encoding) -> None:
    """A compressed body that breaks in the middle ends in an error, after all that came before."""
    turns: SimpleQueue[Heard[ChatChunk]] = SimpleQueue()
    one, two, three, *_ = (piece.data for piece in Reply.answer(WORDS).encoded(encoding).pieces)

    def script(connection: socket.socket) -> None:
        head = HEAD.replace(b"\r\n", b"\r\nContent-Encoding: " + encoding.encode() + b"\r\n", 1)
        connection.sendall(head + chunked(one, two))
        turns.get(timeout=PATIENCE).wait_items(2)
        connection.sendall(chunked(b"\xff" * len(three)))

    with listening(script) as url, Ollama(url, http_client=http_client) as ollama:
        heard = Heard(ollama.chat("m", "Count."))
        turns.put(heard)
        assert type(heard.failure) is ProtocolError
    assert partial_of(heard.error) == sum_of(heard.items) == ("", "One two", ())


@ENCODINGS
def test_not_encoded(ollama: Ollama, server: ScriptedOllama, encoding: Encoding) -> None:
    """A body that is not encoded as it says is told so, and the next request is served."""
    server.enqueue(Reply.answer(WORDS).with_headers({"content-encoding": encoding}), Reply.answer(WORDS))
    failure = Heard(ollama.chat("m", "Count.")).failure
    assert type(failure) is ProtocolError
    assert Heard(ollama.chat("m", "Count.")).wait().completed


def test_said_nowhere(ollama: Ollama, server: ScriptedOllama) -> None:
    """A compressed body that does not say so is no record."""
    server.enqueue(Reply(pieces=Reply.answer(WORDS).encoded("gzip").pieces))
    assert type(Heard(ollama.chat("m", "Count.")).failure) is ProtocolError


@pytest.mark.parametrize("encoding", ["br", "zstd", "nonsense"])
def test_unknown(ollama: Ollama, server: ScriptedOllama, encoding: str) -> None:
    """A body of an encoding that is not known here ends in one of our errors."""
    pieces = (Piece(b"\x0b\x02\x80\x4f\x6e\x65\x03"),)
    server.enqueue(Reply(pieces=pieces).with_headers({"content-encoding": encoding}))
    heard = Heard(ollama.chat("m", "Count."))
    assert isinstance(heard.failure, StreamError)
    assert type(heard.failure) in {ProtocolError, TruncatedError}
