"""The checks of the client's own arguments."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from inspect import iscoroutinefunction

from rxollama._checks import check_several, check_text, is_mapping
from rxollama._invalid_value import invalid_value

__all__ = ("check_http_client", "check_transport", "digests", "header_fields", "key_of", "texts")

# The characters of a header: https://www.rfc-editor.org/rfc/rfc9110#name-fields.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t -~]*")


def key_of(key: object) -> str:
    """Return an API key without spaces around it. An error never shows it."""
    if not isinstance(key, str) or not _VALUE.fullmatch(key.strip()):
        raise invalid_value("api_key", key, "a str of printable ASCII", show=False)
    return key.strip()


def header_fields(headers: object) -> dict[str, str]:
    """Return a copy of the headers. An error never shows a value."""
    if headers is None:
        return {}
    if not is_mapping(headers):
        raise invalid_value("headers", headers, "a dict of header names and values", show=False)
    for name, value in headers.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise invalid_value("headers", name, "header names such as 'x-team'")
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            raise invalid_value(f"headers[{name!r}]", value, "a str of printable ASCII", show=False)
    return dict(headers)


def check_http_client(client: object) -> None:
    """Refuse anything but an asynchronous HTTP client or None."""
    if client is not None and not iscoroutinefunction(getattr(client, "send", None)):
        raise invalid_value("http_client", client, "an httpx.AsyncClient", show=False)


def check_transport(transport: object) -> None:
    """Refuse anything but a transport or None."""
    if transport is not None and not callable(getattr(transport, "open", None)):
        raise invalid_value("transport", transport, "a rxollama.transport.Transport", show=False)


def texts(field: str, given: str | Iterable[str]) -> str | tuple[str, ...]:
    """Return one str or several."""
    if isinstance(given, str):
        return given
    found: tuple[str, ...] = check_several(field, given, "a str, or a list or tuple of str")
    for text in found:
        check_text(field, text)
    return found


def digests(field: str, given: Mapping[str, str] | None) -> dict[str, str] | None:
    """Return a copy of the digests of files by their names."""
    if given is None:
        return None
    if not is_mapping(given) or not all(isinstance(text, str) for item in given.items() for text in item):
        raise invalid_value(field, given, "a dict of file names and digests")
    return dict(given)
