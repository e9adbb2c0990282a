"""Refusals of Ollama and of proxies: with a record, a page or nothing, and broken off."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from faults_cases import WORDS, Client, partial_of
from heard import Heard

from rxollama import Ollama
from rxollama.errors import (
    BadRequestError,
    BusyError,
    ForbiddenError,
    NotFoundError,
    ServerFailureError,
    StatusError,
    UnauthorizedError,
    UsageLimitError,
)
from rxollama.testing import Recording, Reply, ScriptedOllama

PAGE = "<!doctype html>\n<html><head><title>502 Bad\n Gateway</title></head><body>{}</body></html>".format("x " * 5000)
UPGRADE = "https://ollama.com/upgrade"
SIGNIN = "https://ollama.com/connect?name=box&key=abc"
BUSY = "server busy, please try again.  maximum pending requests exceeded"


class Case(NamedTuple):
    """A refusal, and the error that it gives."""

    reply: Reply
    kind: type[StatusError]
    says: str
    carries: dict[str, Any]


def page(status: int, text: str) -> Reply:
    """Return the refusal of a proxy."""
    return Reply.error(status, text, content_type="text/html")


CASES = {
    "400 of Ollama": Case(
        Reply.error(400, {"error": "model is required"}), BadRequestError, "400: model is required", {}
    ),
    "401 with an address": Case(
        Reply.error(401, {"error": "unauthorized", "signin_url": SIGNIN}),
        UnauthorizedError,
        f"401: unauthorized; sign in at {SIGNIN}",
        {"signin_url": SIGNIN, "detail": "unauthorized"},
    ),
    "401 without one": Case(
        Reply.error(401, {"error": "unauthorized"}), UnauthorizedError, "set OLLAMA_API_KEY", {"signin_url": ""}
    ),
    "403 with nothing": Case(
        Reply.error(403, ""), ForbiddenError, "403: Forbidden (no reason given)", {"detail": "", "body": ""}
    ),
    "404 of Ollama": Case(
        Reply.error(404, {"error": "model 'm' not found"}), NotFoundError, "pull the model first", {}
    ),
    "404 of another": Case(Reply.error(404, "404 page not found"), NotFoundError, "address of an Ollama server", {}),
    "407 of a proxy": Case(page(407, "<html><title>Who are you?</title>"), StatusError, "407: Who are you?", {}),
    "413 of a proxy": Case(page(413, "<title>Too large</title>"), StatusError, "413: Too large", {}),
    "429 with a delay": Case(
        Reply.error(429, {"error": "too many requests"}, headers={"retry-after": "7"}),
        BusyError,
        "429: too many requests",
        {"retry_after": 7.0},
    ),
    "429 of a usage limit": Case(
        Reply.error(429, {"error": f"you (me) have reached your session usage limit, upgrade: {UPGRADE}"}),
        UsageLimitError,
        f"or upgrade at {UPGRADE}",
        {"upgrade_url": UPGRADE, "retry_after": None},
    ),
    "500 with nothing": Case(Reply.error(500, ""), ServerFailureError, "see the server's log", {"body": ""}),
    "502 with a page": Case(
        page(502, PAGE), ServerFailureError, "502: 502 Bad Gateway;", {"detail": "502 Bad Gateway", "retry_after": None}
    ),
    "502 with words": Case(
        Reply.error(502, "dial tcp: lookup ollama.com: no such host"), ServerFailureError, "dial tcp", {}
    ),
    "503 with a delay": Case(
        Reply.error(503, {"error": BUSY}, headers={"retry-after": "1.5"}),
        BusyError,
        f"503: {BUSY}; try again later",
        {"retry_after": 1.5, "detail": BUSY},
    ),
    "503 with a date": Case(
        page(503, "<title>Busy</title>").with_headers(
            {"retry-after": "Sun, 22 Nov 2026 10:00:30 GMT", "date": "Sun, 22 Nov 2026 10:00:00 GMT"}
        ),
        BusyError,
        "503: Busy",
        {"retry_after": 30.0},
    ),
    "504 with a page": Case(page(504, "<html>no title</html>"), ServerFailureError, "504: a page without a title", {}),
    "520 of a proxy": Case(Reply.error(520, ""), ServerFailureError, "520: no reason given", {}),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_refused(ollama: Ollama, server: ScriptedOllama, case: Case) -> None:
    """The error of a refusal has its status, the server's text and its fields, and an empty partial response."""
    server.enqueue(case.reply, Reply.answer(WORDS))
    failure = Heard(ollama.chat("m", "Hello")).failure
    assert type(failure) is case.kind
    assert case.says in str(failure)
    assert case.carries == {name: getattr(failure, name) for name in case.carries}
    assert partial_of(failure) == ("", "", ())
    assert len(failure.body) <= 2000
    # A refusal ends the request, not the connection.
    assert Heard(ollama.chat("m", "Hello")).wait().completed
    assert len({seen.peer_port for seen in server.requests}) == 1


@pytest.mark.parametrize(
    "name", ["bad-format", "bad-image", "bad-json", "bad-think", "boom", "context", "no-model", "no-tools"]
)
def test_recorded(ollama: Ollama, server: ScriptedOllama, recordings: dict[str, Recording], name: str) -> None:
    """The error of a recorded refusal has its status, and the text of JSON within JSON."""
    recording = recordings[name]
    server.enqueue(Reply.of(recording, speed=None))
    failure = Heard(ollama.chat("m", "Hello")).failure
    assert isinstance(failure, StatusError)
    assert failure.status == recording.status
    assert failure.detail
    assert "{" not in failure.detail


@pytest.mark.parametrize("after", [1, 40])
@pytest.mark.parametrize("reset", [True, False])
def test_broken_off(ollama: Ollama, server: ScriptedOllama, after: int, reset: bool) -> None:
    """The error of a refusal whose body breaks off has its status and the text that arrived."""
    reply = Reply.error(401, {"error": "unauthorized", "signin_url": SIGNIN})
    server.enqueue(reply.reset(after) if reset else reply.dropped(after))
    assert type(Heard(ollama.chat("m", "Hello")).failure) is UnauthorizedError


def test_undecodable(ollama: Ollama, server: ScriptedOllama) -> None:
    """The error of a refusal whose body is not encoded as it says has its status."""
    server.enqueue(Reply.error(502, "Bad gateway", headers={"content-encoding": "gzip"}))
    assert type(Heard(ollama.chat("m", "Hello")).failure) is ServerFailureError


def test_empty_page(ollama: Ollama, server: ScriptedOllama) -> None:
    """An empty body is not a page, whatever its content type is, so a 403 has its advice."""
    server.enqueue(page(403, ""))
    assert "403: Forbidden (no reason given)" in str(Heard(ollama.chat("m", "Hello")).failure)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compressed(server: ScriptedOllama, http_client: Client, encoding: Any) -> None:
    """A compressed page is read if the caller asked for it. Otherwise the status counts alone."""
    server.enqueue(page(502, PAGE).encoded(encoding), page(502, PAGE).encoded(encoding))
    with Ollama(server.url, headers={"accept-encoding": encoding}, http_client=http_client) as ollama:
        assert "502: 502 Bad Gateway;" in str(Heard(ollama.chat("m", "Hello")).failure)
    with Ollama(server.url, http_client=http_client) as ollama:
        assert "502: Bad Gateway (no reason given);" in str(Heard(ollama.chat("m", "Hello")).failure)


def test_reason_of_another_charset(ollama: Ollama, server: ScriptedOllama) -> None:
    """The status is known whatever the charset of its reason phrase is."""
    head = "HTTP/1.1 503 Dienst nicht verfügbar\r\nContent-Length: 22\r\n\r\n".encode("latin-1")
    server.enqueue(Reply.raw(head + b'{"error":"overloaded"}'))
    error = Heard(ollama.chat("m", "Hello")).failure
    assert type(error) is BusyError
    assert "overloaded" == error.detail
