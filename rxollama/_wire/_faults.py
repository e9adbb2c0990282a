"""What the server says when something is wrong, as errors that say what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import orjson

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

__all__ = ("reported", "status_error", "strange", "too_long", "truncated")

_SHOWN = 2000
_EXCERPT = 80
_DEPTH = 4

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
    403: "if no reason is given, the server does not accept this host name or origin: see OLLAMA_ORIGINS and OLLAMA_HOST",
    404: "pull the model first, for instance with `rxollama pull MODEL`; if it is an endpoint, see OLLAMA_HOST",
    429: "try again later",
    503: "try again later",
}


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
    record = _json(text)
    detail = _words(record) if isinstance(record, (dict, str)) else _prose(text, headers.get("content-type", ""))
    kind = _ERRORS.get(status, ServerFailureError if status >= HTTPStatus.INTERNAL_SERVER_ERROR else StatusError)
    signin_url = str(record.get("signin_url") or "") if isinstance(record, dict) else ""
    said = detail or _phrase(status)
    advice = f"sign in at {signin_url}" if signin_url else _ADVICE.get(status, "")
    if location := headers.get("location", ""):
        advice = f"it redirects to {location}: set OLLAMA_HOST to where the server really is"
    return kind(
        f"the server answered {status}: {said}" + (f"; {advice}" if advice else ""),
        status=status,
        detail=detail,
        body=text[:_SHOWN],
        signin_url=signin_url,
        retry_after=_seconds(headers.get("retry-after", ""), headers.get("date", "")),
    )


def reported(record: dict[str, Any], line: bytes) -> ReportedError:
    """Build the error for an error record inside a stream."""
    detail = _words(record["error"])
    text = line.decode("utf-8", "replace").strip()
    return ReportedError(f"the server reported: {detail}", detail=detail, body=text[:_SHOWN])


def strange(line: bytes, what: str) -> ProtocolError:
    """Build the error for a record that no Ollama server sends; of the record only its kind is shown."""
    hint = "is this the address of an Ollama server?"
    start = line.lstrip()[:1]
    page = start == b"<"
    return ProtocolError(f"the answer is no Ollama stream: {'a page (HTML or XML)' if page else what}; {hint}")


def too_long(limit: int) -> ProtocolError:
    """Build the error for a record over the limit."""
    return ProtocolError(f"a record is longer than {limit} bytes; raise max_line if the server may send that")


def truncated() -> TruncatedError:
    """Build the error for a stream that ended before the answer did."""
    return TruncatedError(
        "the stream ended before the answer was done; what arrived is in .partial, and a retry can help"
    )


def _json(text: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _words(value: object, depth: int = _DEPTH) -> str:
    """Dig for the words in errors that quote errors: llama-server's JSON comes as a text inside Ollama's."""
    if isinstance(value, Mapping):
        for key in ("error", "message"):
            if (inner := value.get(key)) and depth:
                return _words(inner, depth - 1)
        return orjson.dumps(value).decode()[:_SHOWN]
    text = str(value).strip()
    if depth and text.startswith("{") and isinstance(inner := _json(text), dict):
        return _words(inner, depth - 1)
    return text


def _prose(text: str, content_type: str) -> str:
    """Shorten a text, and take of a page only its title."""
    if "html" in content_type or text[:1] == "<":
        title = re.search(r"<title[^>]*>([^<]{1,200})</title>", text[:_SHOWN], re.IGNORECASE)
        return " ".join(title[1].split()) if title else "a page without a title"
    return " ".join(text[:_SHOWN].split())


def _phrase(status: int) -> str:
    try:
        return f"{HTTPStatus(status).phrase}, without a word of why"
    except ValueError:
        return "without a word of why"


def _seconds(retry_after: str, date: str) -> float | None:
    """Read Retry-After, which is a number of seconds or a date to be held against the server's own."""
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", retry_after.strip()):
        return float(retry_after)
    try:
        until, now = parsedate_to_datetime(retry_after), parsedate_to_datetime(date)
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError):
        return None
