"""Redirects, which are errors, because a key must not be sent to another server."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from faults_cases import Client, owned, partial_of
from heard import Heard

from rxollama import Ollama
from rxollama import operators as op
from rxollama.errors import ProtocolError, StatusError
from rxollama.testing import Reply, ScriptedOllama

KEY = "the-secret-key"
STATUSES = pytest.mark.parametrize("status", [301, 302, 303, 307, 308])


@pytest.fixture
def other() -> Iterator[ScriptedOllama]:
    """Yield a server at another origin, which receives no request."""
    with ScriptedOllama(default=Reply.answer("I am the other.")) as other:
        yield other
        assert other.requests == ()
        other.wait_closed()


@pytest.fixture
def ollama(server: ScriptedOllama, http_client: Client) -> Iterator[Ollama]:
    """Yield a client with a key."""
    with Ollama(server.url, api_key=KEY, http_client=http_client) as client:
        yield client


def refusal_of(ollama: Ollama) -> StatusError:
    """Send a request, and return its error. The server has received one request."""
    failure = Heard(ollama.chat("m", "Hello")).failure
    assert type(failure) is StatusError
    assert partial_of(failure) == ("", "", ())
    return failure


@STATUSES
def test_to_another_origin(ollama: Ollama, server: ScriptedOllama, other: ScriptedOllama, status: int) -> None:
    """The error names the target, and the other origin receives neither a request nor the key."""
    server.always(Reply.plain("", status, headers={"location": f"{other.url}/api/chat"}))
    failure = refusal_of(ollama)
    assert failure.status == status
    assert f"it redirects to {other.url}/api/chat: set OLLAMA_HOST to the address of the server itself" in str(failure)
    assert len(server.requests) == 1
    assert KEY not in str(failure)


@STATUSES
def test_within_the_server(ollama: Ollama, server: ScriptedOllama, status: int) -> None:
    """A redirect within the same server is an error too: a chat would be sent twice, or become a GET."""
    server.enqueue(Reply.plain("", status, headers={"location": "/v2/api/chat"}), path="/api/chat")
    assert "it redirects to /v2/api/chat: set OLLAMA_HOST" in str(refusal_of(ollama))
    assert [seen.path for seen in server.requests] == ["/api/chat"]


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("https://user:{key}@ollama.example/api/chat?token={key}#{key}", "https://ollama.example/api/chat"),
        ("//ollama.example/api/chat", "//ollama.example/api/chat"),
    ],
    ids=["credentials", "without a scheme"],
)
def test_what_is_told(ollama: Ollama, server: ScriptedOllama, location: str, told: str) -> None:
    """The error shows the target without credentials and queries."""
    server.enqueue(Reply.plain("", 302, headers={"location": location.format(key=KEY)}))
    text = str(refusal_of(ollama))
    assert f"it redirects to {told}: set OLLAMA_HOST" in text
    assert KEY not in text


@pytest.mark.parametrize("page", ["", "<html><title>Moved</title></html>"], ids=["empty", "a page"])
def test_without_a_target(ollama: Ollama, server: ScriptedOllama, page: str) -> None:
    """The error of a redirect without a target has advice."""
    server.enqueue(Reply.plain(page, 301, content_type="text/html"))
    text = str(refusal_of(ollama))
    assert ("301: Moved;" in text) == bool(page)
    assert "set OLLAMA_HOST" in text


async def test_client_that_follows(server: ScriptedOllama, other: ScriptedOllama) -> None:
    """An HTTP client that follows redirects does not follow this one."""
    server.enqueue(Reply.plain("", 307, headers={"location": f"{other.url}/api/chat"}))
    client = httpx.AsyncClient(follow_redirects=True)
    async with owned(server.url, client, api_key=KEY) as ollama:
        with pytest.raises(StatusError, match="it redirects to"):
            await ollama.chat("m", "Hello")


def test_any_call(ollama: Ollama, server: ScriptedOllama, other: ScriptedOllama) -> None:
    """Other calls do not follow it either, and the connection serves the next request."""
    server.enqueue(Reply.plain("", 302, headers={"location": f"{other.url}/api/version"}))
    failure = Heard(ollama.version()).failure
    assert isinstance(failure, StatusError)
    assert failure.partial is None
    assert Heard(ollama.version()).wait().items == ["0.0.0"]
    assert len({seen.peer_port for seen in server.requests}) == 1


@pytest.mark.parametrize("location", ["http://[::1", "http://h:port/", "/" * 70_000, "javascript:1"])
def test_to_no_url(server: ScriptedOllama, location: str) -> None:
    """A redirect to what is not a URL is a wrong answer. The address of the server is not told to be wrong."""
    server.enqueue(Reply.plain("", 302, headers={"location": location}))
    with Ollama(server.url) as ollama:
        failure = Heard(ollama.chat("m", "Hello").pipe(op.retry(backoff=0))).failure
    assert type(failure) is ProtocolError
    assert "location: expected a URL" in str(failure)
    assert len(server.requests) == 1
