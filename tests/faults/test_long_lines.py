"""Long records: one of nine megabytes, and one over the limit."""

from __future__ import annotations

import pytest
from faults_cases import Client, partial_of, record, sum_of
from heard import Heard

from rxollama import Ollama
from rxollama.errors import ProtocolError
from rxollama.testing import Reply, ScriptedOllama

NINE_MEGABYTES = "naïve " * 1_350_000
LIMIT = 1000


@pytest.mark.parametrize("size", [32 * 1024, 100_000_000], ids=["in slices", "at once"])
def test_nine_megabytes(ollama: Ollama, server: ScriptedOllama, size: int) -> None:
    """A record of nine megabytes arrives complete, which is more than Ollama's own client accepts."""
    reply = Reply.answer([NINE_MEGABYTES, "!"])
    assert len(reply.pieces[0].data) > 9_000_000
    server.enqueue(reply.cut(size))
    heard = Heard(ollama.chat("m", "Speak.")).wait()
    assert heard.error is None
    assert [chunk.message.content for chunk in heard.items] == [NINE_MEGABYTES, "!", ""]


@pytest.mark.parametrize("ended", [True, False], ids=["ended", "never ending"])
@pytest.mark.parametrize("size", [7, 100_000], ids=["in slices", "at once"])
def test_over_the_limit(server: ScriptedOllama, http_client: Client, size: int, ended: bool) -> None:
    """A record over the limit ends the stream after the records before it, and the error names the setting."""
    long = b'{"message":{"content":"' + b"x" * 2 * LIMIT + (b'"}}\n' if ended else b"")
    reply = Reply.records([record(0), record(1), long, *([record(3)] if ended else [])]).cut(size)
    server.enqueue(reply if ended else reply.stalled(len(reply.pieces)))
    with Ollama(server.url, http_client=http_client, max_line=LIMIT) as ollama:
        heard = Heard(ollama.chat("m", "Speak."))
        assert type(heard.failure) is ProtocolError
    assert f"more than {LIMIT} bytes: pass a larger max_line=" in str(heard.failure)
    assert partial_of(heard.failure) == sum_of(heard.items) == ("", "One two", ())


def test_under_the_limit(server: ScriptedOllama, http_client: Client) -> None:
    """The limit applies to a record, not to an answer."""
    server.enqueue(Reply.answer(["word "] * 100))
    with Ollama(server.url, http_client=http_client, max_line=LIMIT) as ollama:
        heard = Heard(ollama.chat("m", "Speak.")).wait()
    assert heard.error is None
    assert len(heard.items) == 101
