"""Errors made of what the server sends when something is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, TypeAlias, TypeGuard
from unicodedata import normalize
from urllib.parse import unquote

import msgspec

from rxollama.errors import (
    BadRequestError,
    BusyError,
    ForbiddenError,
    NotFoundError,
    ProtocolError,
    RepetitionError,
    ReportedError,
    ServerFailureError,
    StatusError,
    StreamError,
    TruncatedError,
    UnauthorizedError,
    UsageLimitError,
)

__all__ = ("is_object", "refusal", "repeated", "reported", "status_error", "too_long", "truncated", "unexpected")

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
_NO_OLLAMA = "check that OLLAMA_HOST is the address of an Ollama server"
_READ_LOG = "see the server's log"
_LIMITED = "no retry helps until the window of the limit ends: wait, or use `fallback` with a local model"

# A newer server names its repetition guard, as status 500 or as an error record. An older one only ends the answer.
_REPEATED = re.compile(r"\btoken repeat limit\b", re.IGNORECASE)
# Such as "you have reached your weekly usage limit, upgrade for higher limits: https://ollama.com/upgrade".
_USAGE = re.compile(r"\b(usage|session|hourly|daily|weekly|monthly)\b[\w ,'-]{0,30}\blimit", re.IGNORECASE)
_QUOTA = re.compile(r"(?<!disk )\bquota\b", re.IGNORECASE)
# Limits of pace, for which a retry is right.
_PACE = re.compile(r"\bconcurren|\bper (second|minute)\b|\brate.?limit", re.IGNORECASE)
_UPGRADE = re.compile(r"https?://[^\s\"'<>]*\b(?:upgrade|pricing|plans?|billing)\b[^\s\"'<>),;.]*", re.IGNORECASE)

# The keys of the text in errors of Ollama, of llama-server, of proxies, and of older versions of Ollama.
_TEXT_KEYS = ("error", "message", "detail", "Status")

_ErrorBody: TypeAlias = dict[str, Any] | str
_parser: msgspec.json.Decoder[_ErrorBody] = msgspec.json.Decoder(_ErrorBody)


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> StreamError:
    """Return the error for a response whose status is not a success, or that of the server's repetition guard."""
    error = status_error(status, headers, body)
    return repeated() if _REPEATED.search(error.detail) else error


def status_error(status: int, headers: Mapping[str, str], body: bytes) -> StatusError:
    """
    Return the error for a response whose status is not a success.

    Redirects are not followed, because the key belongs to this server only. Their error names the target.

    Args:
        status: The HTTP status.
        headers: The headers, by lower-case names.
        body: The body or its beginning. It may be JSON of Ollama or of a proxy, text, a page, or empty.

    Returns:
        The error.
    """
    text = body.decode("utf-8", "replace").strip()
    parsed = _json(text)
    record = parsed if is_object(parsed) else {}
    detail = _plain_text(text, headers.get("content-type", "")) if parsed is None else _innermost(parsed, text)
    signin_url = record.get("signin_url")
    signin_url = signin_url if isinstance(signin_url, str) else ""
    retry_after = _seconds(headers.get("retry-after", ""), headers.get("date", ""))
    if status == HTTPStatus.TOO_MANY_REQUESTS and _is_usage_limit(detail, has_status=True):
        return _usage_limit(detail, text, status, retry_after)
    if status < HTTPStatus.BAD_REQUEST:
        advice = _redirected(headers.get("location", ""))
    elif signin_url:
        advice = f"sign in at {signin_url}"
    else:
        advice = _advice(status, from_ollama="error" in record, empty=not detail)
    kind = _ERRORS.get(status, ServerFailureError if status >= HTTPStatus.INTERNAL_SERVER_ERROR else StatusError)
    return kind(
        "; ".join(filter(None, (f"the server answered {status}: {_shorten(detail) or _reason(status)}", advice))),
        status=status,
        detail=detail,
        body=_shorten(text),
        signin_url=signin_url,
        retry_after=retry_after,
    )


def _is_usage_limit(detail: str, *, has_status: bool) -> bool:
    """Return whether a text speaks of a cloud's usage limit. Without a status of its own it must be clear."""
    if _PACE.search(detail):
        return False
    has_quota = _QUOTA.search(detail) and (has_status or _UPGRADE.search(detail))
    return bool(_USAGE.search(detail) or has_quota)


def _usage_limit(detail: str, body: str, status: int, retry_after: float | None = None) -> UsageLimitError:
    url = _UPGRADE.search(detail) or _UPGRADE.search(body)
    upgrade_url = url[0] if url else ""
    advice = f"{_LIMITED}, or upgrade at {upgrade_url}" if upgrade_url else _LIMITED
    answered = f"the server answered {status}" if status else "the server reported"
    return UsageLimitError(
        f"{answered}: {_shorten(detail)}; {advice}",
        status=status,
        detail=detail,
        body=_shorten(body),
        retry_after=retry_after,
        upgrade_url=upgrade_url,
    )


def reported(record: dict[str, Any], line: bytes) -> StreamError:
    """Return the error for an error record within a stream."""
    body = line.decode("utf-8", "replace").strip()
    detail = _innermost(record, body)
    if _REPEATED.search(detail):
        return repeated()
    if _is_usage_limit(detail, has_status=False):
        return _usage_limit(detail, body, status=0)
    shown = _shorten(detail) or "an error without a reason"
    return ReportedError(f"the server reported: {shown}", detail=detail, body=_shorten(body))


def unexpected(text: bytes, what: str) -> ProtocolError:
    """Return the error for a text that no Ollama server sends. The message does not quote it."""
    shown = "a page (HTML or XML)" if text.lstrip()[:1] == b"<" else what
    return ProtocolError(f"unexpected response: {shown}; {_NO_OLLAMA}")


def too_long(limit: int) -> ProtocolError:
    """Return the error for a record that is longer than the limit."""
    return ProtocolError(f"the server sent a record of more than {limit} bytes: pass a larger max_line= to allow it")


def repeated() -> RepetitionError:
    """Return the error for an answer that the server ended because the model repeated itself."""
    return RepetitionError(
        "the model repeated the same text more than 30 times, and the server ended the answer; the same request would "
        "most likely end so again: raise repeat_penalty or temperature in the options, or use another model",
        found_by="server",
    )


def truncated() -> TruncatedError:
    """Return the error for a response that ended before its last record."""
    return TruncatedError("the response ended before the answer was complete; a retry can help")


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a JSON value is an object."""
    return isinstance(value, dict)


def _json(text: str) -> _ErrorBody | None:
    try:
        return _parser.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def _innermost(value: object, raw: str) -> str:
    """Return the text of an error that may quote another: Ollama's holds the JSON of llama-server as a text."""
    for _ in range(_DEPTH):
        if isinstance(value, str) and value.lstrip().startswith("{"):
            value = _json(value) or value
        inner = next(filter(None, map(value.get, _TEXT_KEYS)), None) if is_object(value) else None
        if inner is None:
            break
        value = inner
    if isinstance(value, str):
        return value.strip()
    return raw if not is_object(value) or any(value.values()) else ""


def _plain_text(text: str, content_type: str) -> str:
    """Return a text in short, or the title of a page."""
    if text and ("html" in content_type.lower() or text.startswith("<")):
        title = re.search(r"<title[^>]*>([^<]{1,200})</title>", text[:_SHOWN], re.IGNORECASE)
        return " ".join(title[1].split()) if title else "a page without a title"
    return _shorten(" ".join(text[: 2 * _SHOWN].split()))


def _shorten(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _reason(status: int) -> str:
    try:
        return f"{HTTPStatus(status).phrase} (no reason given)"
    except ValueError:
        return "no reason given"


def _redirected(location: str) -> str:
    """Return the advice for a redirect: its target, without the credentials and queries of an address."""
    target = re.sub(r"//[^/]*@", "//", re.split("[?#]", location, maxsplit=1)[0])
    if "@" in normalize("NFKC", unquote(target)):
        # It may have credentials in another spelling.
        target = ""
    where = f"it redirects to {_shorten(target)}: " if target else ""
    return f"{where}set OLLAMA_HOST to the address of the server itself"


def _advice(status: int, *, from_ollama: bool, empty: bool) -> str:
    if status in {404, 405} and not from_ollama:
        return _NO_OLLAMA
    if status == HTTPStatus.FORBIDDEN and empty:
        return _NO_HOST
    return _ADVICE.get(status, _READ_LOG if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "")


def _seconds(retry_after: str, date: str) -> float | None:
    """Return the seconds of a Retry-After header, which holds a number or a date by the server's own clock."""
    if re.fullmatch(r"\s*[0-9]{1,9}(\.[0-9]{1,9})?\s*", retry_after):
        return float(retry_after)
    try:
        until, now = parsedate_to_datetime(retry_after), parsedate_to_datetime(date)
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
