"""What the server says when something is wrong, as errors that say what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, TypeAlias, TypeGuard

import msgspec

from rxollama.errors import (
    BadRequestError,
    BusyError,
    ForbiddenError,
    NotFoundError,
    ProtocolError,
    ReportedError,
    ServerFailureError,
    StatusError,
    TruncatedError,
    UnauthorizedError,
)

__all__ = ("is_object", "reported", "status_error", "strange", "too_long", "truncated")

_SHOWN = 2000
_DEPTH = 8

_ERRORS: dict[int, type[StatusError]] = {
    400: BadRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    429: BusyError,
    503: BusyError,
}

_ADVICE: dict[int, str] = {
    401: "set OLLAMA_API_KEY, or sign in with `ollama signin`",
    404: "pull the model first, for instance with `rxollama pull MODEL`",
    429: "try again later",
    503: "try again later",
}
_NO_HOST = "the server may not accept this host name or origin: see OLLAMA_HOST and OLLAMA_ORIGINS"
_NO_OLLAMA = "is this the address of an Ollama server? See OLLAMA_HOST"
_READ_LOG = "the server's own log may say more"

# Where Ollama, llama-server, other servers behind a proxy, and Ollama's older stubs put their words.
_WORDS = ("error", "message", "detail", "Status")

_Said: TypeAlias = dict[str, Any] | str
_parser: msgspec.json.Decoder[_Said] = msgspec.json.Decoder(_Said)


def status_error(status: int, headers: Mapping[str, str], body: bytes) -> StatusError:
    """
    Build the error for an answer whose status is no success.

    Args:
        status: The HTTP status.
        headers: The answer's headers, by lower-case names.
        body: The whole body, or its beginning: JSON of Ollama, of a proxy, text, a page, or nothing.

    Returns:
        The error; a redirect is told with its target, since no key may follow it.
    """
    text = body.decode("utf-8", "replace").strip()
    said = _json(text)
    record = said if is_object(said) else {}
    detail = _prose(text, headers.get("content-type", "")) if said is None else _words(said, text)
    signin_url = record.get("signin_url")
    signin_url = signin_url if isinstance(signin_url, str) else ""
    if status < HTTPStatus.BAD_REQUEST:
        advice = _redirected(headers.get("location", ""))
    elif signin_url:
        advice = f"sign in at {signin_url}"
    else:
        advice = _advice(status, from_ollama="error" in record, silent=not detail)
    kind = _ERRORS.get(status, ServerFailureError if status >= HTTPStatus.INTERNAL_SERVER_ERROR else StatusError)
    return kind(
        "; ".join(filter(None, (f"the server answered {status}: {_shorten(detail) or _phrase(status)}", advice))),
        status=status,
        detail=detail,
        body=_shorten(text),
        signin_url=signin_url,
        retry_after=_seconds(headers.get("retry-after", ""), headers.get("date", "")),
    )


def reported(record: dict[str, Any], line: bytes) -> ReportedError:
    """Build the error for an error record inside a stream."""
    body = line.decode("utf-8", "replace").strip()
    detail = _words(record, body)
    said = _shorten(detail) or "an error, without a word of why"
    return ReportedError(f"the server reported: {said}", detail=detail, body=_shorten(body))


def strange(text: bytes, what: str) -> ProtocolError:
    """Build the error for what no Ollama server sends; of the text only its kind is told."""
    page = text.lstrip()[:1] == b"<"
    return ProtocolError(
        f"the answer is not Ollama's: {'a page (HTML or XML)' if page else what}; "
        "is this the address of an Ollama server?"
    )


def too_long(limit: int) -> ProtocolError:
    """Build the error for a record over the limit."""
    return ProtocolError(f"a record is longer than {limit} bytes; raise max_line if the server may send that")


def truncated() -> TruncatedError:
    """Build the error for an answer that ended before it was done."""
    return TruncatedError("the answer ended before it was done; what arrived is in .partial, and a retry can help")


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Tell whether this is an object, of what JSON has."""
    return isinstance(value, dict)


def _json(text: str) -> _Said | None:
    try:
        return _parser.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def _words(value: object, raw: str) -> str:
    """Dig for the words in errors that quote errors: llama-server's JSON comes as a text inside Ollama's."""
    for _ in range(_DEPTH):
        if isinstance(value, str) and value.lstrip().startswith("{"):
            value = _json(value) or value
        inner = next(filter(None, map(value.get, _WORDS)), None) if is_object(value) else None
        if inner is None:
            break
        value = inner
    if isinstance(value, str):
        return value.strip()
    return raw if not is_object(value) or any(value.values()) else ""


def _prose(text: str, content_type: str) -> str:
    """Shorten a text, and take of a page only its title."""
    if text and ("html" in content_type.lower() or text.startswith("<")):
        title = re.search(r"<title[^>]*>([^<]{1,200})</title>", text[:_SHOWN], re.IGNORECASE)
        return " ".join(title[1].split()) if title else "a page without a title"
    return _shorten(" ".join(text[: 2 * _SHOWN].split()))


def _shorten(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _phrase(status: int) -> str:
    try:
        return f"{HTTPStatus(status).phrase}, without a word of why"
    except ValueError:
        return "without a word of why"


def _redirected(location: str) -> str:
    """Tell where a redirect leads, without the credentials and queries that may stand in an address."""
    target = re.sub(r"//[^/]*@", "//", re.split("[?#]", location, maxsplit=1)[0])
    where = f"it redirects to {_shorten(target)}: " if target else ""
    return f"{where}set OLLAMA_HOST to where the server really is"


def _advice(status: int, *, from_ollama: bool, silent: bool) -> str:
    if status in {404, 405} and not from_ollama:
        return _NO_OLLAMA
    if status == HTTPStatus.FORBIDDEN and silent:
        return _NO_HOST
    return _ADVICE.get(status, _READ_LOG if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "")


def _seconds(retry_after: str, date: str) -> float | None:
    """Read Retry-After, which is a number of seconds or a date to be held against the server's own."""
    if re.fullmatch(r"\s*[0-9]{1,9}(\.[0-9]{1,9})?\s*", retry_after):
        return float(retry_after)
    try:
        until, now = parsedate_to_datetime(retry_after), parsedate_to_datetime(date)
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
