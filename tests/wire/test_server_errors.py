"""The errors of what the server sends when something is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import json
from wire_cases import failure_of

from rxollama._wire import CHAT, LineDecoder, refusal, status_error
from rxollama.errors import (
    BadRequestError,
    BusyError,
    ForbiddenError,
    NotFoundError,
    RepetitionError,
    ReportedError,
    ServerFailureError,
    StatusError,
    UnauthorizedError,
    UsageLimitError,
)

_DATE = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, StatusError),
        (400, BadRequestError),
        (401, UnauthorizedError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (405, StatusError),
        (429, BusyError),
        (499, StatusError),
        (500, ServerFailureError),
        (502, ServerFailureError),
        (503, BusyError),
        (599, ServerFailureError),
    ],
)
def test_status_decides_the_class(status: int, kind: type[StatusError]) -> None:
    """The status alone decides the class of the error."""
    for content_type, body in (("application/x-ndjson", b'{"error":"no"}'), ("text/html", b"<html>"), ("", b"")):
        error = status_error(status, {"content-type": content_type}, body)

        assert kind is type(error)
        assert status == error.status


_UPGRADE = "https://ollama.com/upgrade"
_WEEKLY = (
    f"you (me) have reached your weekly usage limit, upgrade for higher limits: {_UPGRADE} or add extra usage: "
    "https://ollama.com/settings (ref: 1)"
)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        (f"you (me) have reached your session usage limit, upgrade for higher limits: {_UPGRADE}", _UPGRADE),
        ("you (me) have reached your session usage limit, please wait or upgrade to continue", ""),
        ("you've reached your hourly usage limit, please wait or upgrade to continue", ""),
        (_WEEKLY, _UPGRADE),
        (f"Usage limit reached ({_UPGRADE}).", _UPGRADE),
        ("You exceeded your current quota, please check your plan", ""),
        ("monthly limits reached", ""),
    ],
)
def test_usage_limit(text: str, url: str) -> None:
    """The error of a cloud's usage limit is recognized by its words, and has the address to upgrade at."""
    body = json.encode({"error": text})
    error = status_error(429, {"retry-after": "90"}, body)

    assert type(error) is UsageLimitError
    assert (429, text, body.decode(), 90.0, url) == (
        error.status,
        error.detail,
        error.body,
        error.retry_after,
        error.upgrade_url,
    )
    assert "wait, or use `fallback` with a local model" in str(error)
    assert (f"or upgrade at {url}" in str(error)) == bool(url)


def test_usage_limit_with_a_field_for_its_address() -> None:
    """The address to upgrade at is found wherever the body has it."""
    error = status_error(429, {}, json.encode({"error": "usage limit", "upgrade_url": _UPGRADE}))

    assert isinstance(error, UsageLimitError)
    assert _UPGRADE == error.upgrade_url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "too many requests",
        "rate limit exceeded",
        "too many concurrent requests, upgrade for more: https://ollama.com/upgrade",
        "quota exceeded: 20 requests per minute",
        "server busy, please try again.  maximum pending requests exceeded",
    ],
)
def test_limit_of_pace(text: str) -> None:
    """A limit of pace is that of a busy server."""
    assert type(status_error(429, {}, json.encode({"error": text}))) is BusyError


def test_usage_limit_with_another_status() -> None:
    """Only the status 429 makes a refusal the error of a usage limit."""
    assert type(status_error(503, {}, json.encode({"error": _WEEKLY}))) is BusyError


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (_WEEKLY, UsageLimitError),
        (f"quota exceeded, see {_UPGRADE}", UsageLimitError),
        ("quota exceeded", ReportedError),
        ("write /models/blobs/sha256-1: disk quota exceeded", ReportedError),
        ("prediction aborted, token repeat limit reached", RepetitionError),
        ("the request exceeds the limit of the context", ReportedError),
    ],
)
def test_reported_within_a_stream(text: str, kind: type[Exception]) -> None:
    """A usage limit and a repetition keep their classes within a stream, where they have no status."""
    error = failure_of(LineDecoder(CHAT), json.encode({"error": text}) + b"\n")

    assert kind is type(error)
    assert getattr(error, "status", 0) == 0
    assert getattr(error, "detail", text) == text


def test_refusal_of_the_repetition_guard() -> None:
    """A server that names its repetition guard gives the same error as one that does not."""
    error = refusal(500, {}, b'{"error":"prediction aborted, token repeat limit reached"}')

    assert isinstance(error, RepetitionError)
    assert error.found_by == "server"
    assert "raise repeat_penalty or temperature" in str(error)
    assert type(refusal(500, {}, b'{"error":"no"}')) is ServerFailureError


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"error":"model is required"}', "model is required"),
        (b'{"error":" spaces "}\n', "spaces"),
        (b'{"error":{"code":400,"message":"too long","type":"t"}}', "too long"),
        (b'{"error":"{\\"error\\":{\\"code\\":400,\\"message\\":\\"too long\\"}}"}', "too long"),
        (b'{"StatusCode":404,"Status":"404 Not Found","error":"no such model"}', "no such model"),
        (b'{"StatusCode":404,"Status":"404 Not Found","error":""}', "404 Not Found"),
        (b'{"detail":"Not Found"}', "Not Found"),
        (b'{"message":"quota"}', "quota"),
        (b'"plain words"', "plain words"),
        (b'"{\\"error\\":\\"within\\"}"', "within"),
        (b"5", "5"),
        (b"null", "null"),
        (b"[1, 2]", "[1, 2]"),
        (b"{}", ""),
        (b'{"error":null}', ""),
        (b'{"error":["a"]}', '{"error":["a"]}'),
        (b'{"code":7}', '{"code":7}'),
        (b'{"error":"{no JSON"}', "{no JSON"),
        (b'{"error":' * 9 + b'"deep"' + b"}" * 9, '{"error":' * 9 + '"deep"' + "}" * 9),
        (b"404 page not found", "404 page not found"),
        (b"two\n  lines", "two lines"),
        (b"", ""),
        (b"caf\xe9", "caf\ufffd"),
        (b'{"error":' * 2000, ('{"error":' * 2000)[:1999] + "…"),
    ],
)
def test_words_of_a_body(body: bytes, detail: str) -> None:
    """The detail is the server's innermost text."""
    error = status_error(400, {}, body)

    assert detail == error.detail
    assert (detail or "Bad Request (no reason given)") in str(error)


@pytest.mark.parametrize(
    ("content_type", "body", "detail"),
    [
        ("text/html", b"<html><head><TITLE>502 Bad\n Gateway</TITLE></head>secret</html>", "502 Bad Gateway"),
        ("text/html; charset=utf-8", b"oops", "a page without a title"),
        ("", b"<!DOCTYPE html><title lang='en'>Down</title>", "Down"),
        ("application/xml", b"<error/>", "a page without a title"),
    ],
)
def test_words_of_a_page(content_type: str, body: bytes, detail: str) -> None:
    """The detail of a page is its title, and the body is the page."""
    error = status_error(502, {"content-type": content_type}, body)

    assert detail == error.detail
    assert body.decode() == error.body


@pytest.mark.parametrize("wrapping", ["{}", '{{"error":"{}"}}'])
def test_long_words_are_shortened(wrapping: str) -> None:
    """A long body is shortened in the message and in `body`."""
    error = status_error(500, {}, wrapping.format("x" * 100_000).encode())

    assert len(str(error)) < 2200
    assert 2000 == len(error.body)
    assert error.body.endswith("x…")


@pytest.mark.parametrize(
    ("status", "body", "advice"),
    [
        (401, b'{"error":"unauthorized"}', "OLLAMA_API_KEY"),
        (401, b'{"error":"unauthorized","signin_url":7}', "OLLAMA_API_KEY"),
        (403, b"", "OLLAMA_ORIGINS"),
        (404, b'{"error":"model \'x\' not found"}', "rxollama pull"),
        (404, b"404 page not found", "check that OLLAMA_HOST is the address of an Ollama server"),
        (405, b"405 method not allowed", "check that OLLAMA_HOST is the address of an Ollama server"),
        (429, b'{"error":"limit"}', "try again later"),
        (500, b"", "log"),
        (502, b'{"error":"dial tcp: no route"}', "log"),
        (503, b'{"error":"server busy"}', "try again later"),
    ],
)
def test_message_says_what_to_do(status: int, body: bytes, advice: str) -> None:
    """The message says what to do."""
    assert advice in str(status_error(status, {}, body))


@pytest.mark.parametrize(("status", "body"), [(400, b'{"error":"model is required"}'), (403, b'{"error":"disabled"}')])
def test_words_that_say_it_all(status: int, body: bytes) -> None:
    """No advice follows a text that says what is wrong with the request."""
    error = status_error(status, {}, body)

    assert f"the server answered {status}: {error.detail}" == str(error)


def test_place_to_sign_in() -> None:
    """The address to sign in at is in the message and in `signin_url`."""
    error = status_error(401, {}, b'{"error":"unauthorized","signin_url":"https://ollama.com/connect?name=a&key=b"}')

    assert "https://ollama.com/connect?name=a&key=b" == error.signin_url
    assert "sign in at https://ollama.com/connect?name=a&key=b" in str(error)
    assert "" == status_error(401, {}, b"{}").signin_url


def test_redirect_is_told_with_its_target() -> None:
    """The message of a redirect has its target, without credentials and queries."""
    location = "https://user:word@login.example/start?token=secret#secret"
    message = str(status_error(302, {"location": location}, b"<html>"))

    assert "it redirects to https://login.example/start: set OLLAMA_HOST" in message
    assert "secret" not in message
    assert "word" not in message
    assert "set OLLAMA_HOST" in str(status_error(304, {}, b""))


@pytest.mark.parametrize("at", ["%40", "\uff20", "\ufe6b", "/@"])
def test_redirect_with_credentials_in_another_spelling(at: str) -> None:
    """The message of a redirect has no target if that may have credentials."""
    message = str(status_error(302, {"location": f"https://user:secret{at}login.example/start"}, b""))

    assert "secret" not in message
    assert "set OLLAMA_HOST" in message


def test_unknown_status_without_a_word() -> None:
    """The message of an unknown status has no reason phrase."""
    assert "the server answered 799: no reason given" in str(status_error(799, {}, b""))


@pytest.mark.parametrize(
    ("retry_after", "date", "seconds"),
    [
        ("120", "", 120.0),
        (" 0 ", "", 0.0),
        ("1.5", "", 1.5),
        ("-1", "", None),
        ("soon", "", None),
        ("٣", "", None),
        ("", _DATE, None),
        ("Wed, 21 Oct 2026 07:28:30 GMT", _DATE, 30.0),
        ("Wed, 21 Oct 2026 07:27:00 GMT", _DATE, 0.0),
        ("Wed, 21 Oct 2026 07:28:30 GMT", "", None),
        ("Wed, 21 Oct 2026 07:28:30 -0000", _DATE, None),
        ("Wed, 21 Oct 99999 07:28:30 GMT", _DATE, None),
        ("Wed, 21 Oct 2026 07:28:30 +99999999999999999999", _DATE, None),
    ],
)
def test_retry_after(retry_after: str, date: str, seconds: float | None) -> None:
    """`retry_after` is read from seconds, or from a date by the server's own clock."""
    assert seconds == status_error(503, {"retry-after": retry_after, "date": date}, b"").retry_after


def test_when_to_come_again_is_not_said() -> None:
    """Without a valid header, `retry_after` is None."""
    assert status_error(503, {}, b"").retry_after is None


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        (b'{"error":"out of memory"}', "out of memory"),
        (b'{"error":"{\\"error\\": {\\"code\\": 400, \\"message\\": \\"too long\\"}}"}', "too long"),
        (b'{"error":{"message":"too long"},"message":{"content":"x"}}', "too long"),
        (b'{"error":true}', '{"error":true}'),
        (b'{"error":[[]]}', '{"error":[[]]}'),
        (b'{"error":{"code":0}}', ""),
        (b'{"error":" "}', ""),
        (b'{"error":"caf\xe9"}', "caf\ufffd"),
    ],
)
def test_words_of_an_error_record(line: bytes, detail: str) -> None:
    """The error of an error record has its innermost text, and the record as its body."""
    error = failure_of(LineDecoder(CHAT), line)

    assert isinstance(error, ReportedError)
    assert detail == error.detail
    assert line.decode("utf-8", "replace") == error.body
    assert f"the server reported: {detail or 'an error without a reason'}" == str(error)


def test_long_error_record_is_shortened() -> None:
    """A long error record is complete in the detail, and shortened in the message and the body."""
    error = failure_of(LineDecoder(CHAT), b'{"error":"%b"}' % (b"x" * 9000))

    assert isinstance(error, ReportedError)
    assert "x" * 9000 == error.detail
    assert len(error.body) == 2000
    assert len(str(error)) < 2100


@given(
    status=st.integers(300, 700),
    body=st.binary(max_size=40) | st.text(alphabet='{}[]":,errorm\\', max_size=30).map(str.encode),
    headers=st.dictionaries(st.sampled_from(["content-type", "location", "retry-after", "date"]), st.text(max_size=20)),
)
@settings(max_examples=200, deadline=None)
def test_any_refusal_has_an_error(status: int, body: bytes, headers: dict[str, str]) -> None:
    """Any refusal, with any headers and body, is an error whose message has the status."""
    assert f"the server answered {status}: " in str(status_error(status, headers, body))
