"""Compressed bodies that the caller asked for: complete, cut and broken. Others are refused."""

from __future__ import annotations

import socket
from collections.abc import Iterator
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
ASKING = {"Accept-Encoding": "gzip, deflate, br, zstd, nonsense"}


@pytest.fixture
def ollama(server: ScriptedOllama, http_client: Client) -> Iterator[Ollama]:
    """Yield a client that asks for compressed bodies."""
    with Ollama(server.url, headers=ASKING, http_client=http_client) as client:
        yield client


@ENCODINGS
@pytest.mark.parametrize("size", [1, 10, 100_000])
def test_cuts(ollama: Ollama, server: ScriptedOllama, encoding: Encoding, size: int) -> None:
    """A compressed body gives the same records at every cut."""
    server.enqueue(Reply.answer(WORDS).encoded(encoding).cut(size))
    heard = Heard(ollama.chat("m", "Count.")).wait()
    assert heard.error is None
    assert text_of(heard.items) == "One two three"


@ENCODINGS
def test_as_it_comes(ollama: Ollama, server: ScriptedOllama, encoding: Encoding) -> None:
    """Compressed records are emitted as they arrive, and dispose closes the request."""
    server.enqueue(Reply.answer(WORDS).encoded(encoding).stalled(2))
    heard = Heard(ollama.chat("m", "Count.")).wait_items(2)
    heard.dispose()
    server.requests[0].wait_left()
    assert text_of(heard.items) == "One two"


@ENCODINGS
def test_ends_early(ollama: Ollama, server: ScriptedOllama, encoding: Encoding) -> None:
    """A compressed body that is complete for HTTP and ends early is a truncated answer."""
    server.enqueue(Reply.answer(WORDS).encoded(encoding).truncated(2))
    heard = Heard(ollama.chat("m", "Count."))
    assert type(heard.failure) is TruncatedError
    assert partial_of(heard.failure) == sum_of(heard.items) == ("", "One two", ())


@ENCODINGS
def test_broken(http_client: Client, encoding: Encoding) -> None:
    """A compressed body that breaks off ends with an error, after the records before."""
    turns: SimpleQueue[Heard[ChatChunk]] = SimpleQueue()
    one, two, three, *_ = (piece.data for piece in Reply.answer(WORDS).encoded(encoding).pieces)

    def script(connection: socket.socket) -> None:
        head = HEAD.replace(b"\r\n", b"\r\nContent-Encoding: " + encoding.encode() + b"\r\n", 1)
        connection.sendall(head + chunked(one, two))
        turns.get(timeout=PATIENCE).wait_items(2)
        connection.sendall(chunked(b"\xff" * len(three)))

    with listening(script) as url, Ollama(url, headers=ASKING, http_client=http_client) as ollama:
        heard = Heard(ollama.chat("m", "Count."))
        turns.put(heard)
        assert type(heard.failure) is ProtocolError
    assert partial_of(heard.error) == sum_of(heard.items) == ("", "One two", ())


@ENCODINGS
def test_not_encoded(ollama: Ollama, server: ScriptedOllama, encoding: Encoding) -> None:
    """A body that is not encoded as it says is an error, and the next request succeeds."""
    server.enqueue(Reply.answer(WORDS).with_headers({"content-encoding": encoding}), Reply.answer(WORDS))
    failure = Heard(ollama.chat("m", "Count.")).failure
    assert type(failure) is ProtocolError
    assert Heard(ollama.chat("m", "Count.")).wait().completed


def test_said_nowhere(ollama: Ollama, server: ScriptedOllama) -> None:
    """A compressed body without the header is not a record."""
    server.enqueue(Reply(pieces=Reply.answer(WORDS).encoded("gzip").pieces))
    assert type(Heard(ollama.chat("m", "Count.")).failure) is ProtocolError


@pytest.mark.parametrize("encoding", ["br", "zstd", "nonsense"])
def test_unknown(ollama: Ollama, server: ScriptedOllama, encoding: str) -> None:
    """A body of an unknown encoding ends with one of our errors."""
    pieces = (Piece(b"\x0b\x02\x80\x4f\x6e\x65\x03"),)
    server.enqueue(Reply(pieces=pieces).with_headers({"content-encoding": encoding}))
    heard = Heard(ollama.chat("m", "Count."))
    assert isinstance(heard.failure, StreamError)
    assert type(heard.failure) in {ProtocolError, TruncatedError}
