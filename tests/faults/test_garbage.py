"""Servers that send something other than Ollama does, at once or within a response."""

from __future__ import annotations

import socket
from queue import SimpleQueue

import pytest
from faults_cases import HEAD, WORDS, Client, chunked, listening, partial_of, record, sum_of
from heard import PATIENCE, Heard, text_of

from rxollama import Ollama
from rxollama.errors import ConnectionLostError, ProtocolError, ReportedError, StreamError
from rxollama.messages import ChatChunk
from rxollama.testing import Reply, ScriptedOllama

GARBAGE = {
    "a terminal": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a secure server": b"\x15\x03\x01\x00\x02\x02\x46",
    "a newer HTTP": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64",
    "an older HTTP": b"<html>Hello</html>\r\n",
    "a record without a head": record(0),
    "only line ends": b"\r\n" * 50,
    "an endless status": b"HTTP/1.1 200 " + b"x" * 200_000,
    "an endless header": b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 200_000,
    "a header without a name": b"HTTP/1.1 200 OK\r\n: nothing\r\n\r\n",
    "a length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nHello",
}
LATER = {
    "no length": b"this is no length\r\n",
    "a length over all": b"f" * 40 + b"\r\n",
}
TYPES = {
    "a page": {"content-type": "text/html; charset=utf-8"},
    "JSON": {"content-type": "application/json"},
    "events": {"content-type": "text/event-stream"},
    "nonsense": {"content-type": ";;;"},
    "another charset": {"content-type": "application/x-ndjson; charset=utf-16"},
}
STRANGE_LINES = {
    "an event": b"data: {}\n\n",
    "a page": b"<html>Hello</html>\n",
    "words": b"Internal Server Error\n",
    "a list": b"[1, 2]\n",
    "a number": b"12\n",
    "an object of others": b'{"choices": []}\n',
    "another encoding": '{"message": {"content": "One"}}\n'.encode("utf-16"),
}


def told_of(wire: bytes, http_client: Client) -> Heard[ChatChunk]:
    """Send a request to a server that answers with these bytes and closes the connection."""

    def script(connection: socket.socket) -> None:
        connection.sendall(wire)

    with listening(script) as url, Ollama(url, http_client=http_client) as ollama:
        return Heard(ollama.chat("m", "Count.")).wait()


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_at_once(http_client: Client, garbage: bytes) -> None:
    """A response that is not HTTP ends with one of our errors, whose partial response is empty."""
    heard = told_of(garbage, http_client)
    assert type(heard.error) in {ProtocolError, ConnectionLostError}
    assert "http://127.0.0.1:" in str(heard.error)
    assert partial_of(heard.error) == ("", "", ())


@pytest.mark.parametrize("garbage", LATER.values(), ids=LATER)
def test_in_the_middle(http_client: Client, garbage: bytes) -> None:
    """A response that stops being HTTP ends with one of our errors, after the records before."""
    turns: SimpleQueue[Heard[ChatChunk]] = SimpleQueue()

    def script(connection: socket.socket) -> None:
        connection.sendall(HEAD + chunked(record(0), record(1)))
        turns.get(timeout=PATIENCE).wait_items(2)
        connection.sendall(garbage)

    with listening(script) as url, Ollama(url, http_client=http_client) as ollama:
        heard = Heard(ollama.chat("m", "Count."))
        turns.put(heard)
        assert type(heard.failure) in {ProtocolError, ConnectionLostError}
    assert text_of(heard.items) == "One two"
    assert partial_of(heard.error) == sum_of(heard.items)


@pytest.mark.parametrize("garbage", LATER.values(), ids=LATER)
def test_in_the_same_read(http_client: Client, garbage: bytes) -> None:
    """Garbage in one read with the head and the records before it makes no difference."""
    heard = told_of(HEAD + chunked(record(0), record(1)) + garbage, http_client)
    assert type(heard.error) in {ProtocolError, ConnectionLostError}
    assert text_of(heard.items) == "One two"
    assert partial_of(heard.error) == sum_of(heard.items)


@pytest.mark.parametrize("headers", [*TYPES.values(), {}], ids=[*TYPES, "none at all"])
def test_wrong_type(ollama: Ollama, server: ScriptedOllama, headers: dict[str, str]) -> None:
    """Records are read whatever their content type is."""
    reply = Reply(pieces=Reply.answer(WORDS).pieces).with_headers(headers)
    server.enqueue(reply)
    heard = Heard(ollama.chat("m", "Count.")).wait()
    assert heard.error is None
    assert text_of(heard.items) == "One two three"


@pytest.mark.parametrize("line", STRANGE_LINES.values(), ids=STRANGE_LINES)
def test_strange_line(ollama: Ollama, server: ScriptedOllama, line: bytes) -> None:
    """A line that is not a record ends the stream after the records before it."""
    server.enqueue(Reply.records([record(0), record(1), line, record(2), record(3)]))
    heard = Heard(ollama.chat("m", "Count."))
    assert type(heard.failure) is ProtocolError
    assert text_of(heard.items) == "One two"
    assert partial_of(heard.error) == sum_of(heard.items)


@pytest.mark.parametrize("newline", [True, False])
@pytest.mark.parametrize("after", [0, 3])
def test_error_record(ollama: Ollama, server: ScriptedOllama, after: int, newline: bool) -> None:
    """An error record ends the stream with the server's text, after the records before it."""
    server.enqueue(Reply.answer(WORDS).with_error("model runner has unexpectedly stopped", after, newline=newline))
    heard = Heard(ollama.chat("m", "Count."))
    assert isinstance(heard.failure, ReportedError)
    assert heard.failure.detail == "model runner has unexpectedly stopped"
    assert partial_of(heard.failure) == sum_of(heard.items) == ("", "".join(WORDS[:after]), ())


def test_the_next_request(ollama: Ollama, server: ScriptedOllama) -> None:
    """The same client can send another request after any garbage."""
    for garbage in GARBAGE.values():
        server.enqueue(Reply.raw(garbage), Reply.answer(WORDS))
        assert isinstance(Heard(ollama.chat("m", "Count.")).failure, StreamError)
        assert Heard(ollama.chat("m", "Count.")).wait().completed
