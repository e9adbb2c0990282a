"""The arguments of the client and of its calls, checked before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from inspect import iscoroutinefunction
from typing import Any

from rxollama._checks import check_options, check_several, check_text, is_mapping
from rxollama._invalid_value import InvalidValueError, invalid_value
from rxollama.messages import Options

__all__ = (
    "check_http_client",
    "check_name",
    "check_size",
    "check_transport",
    "digests",
    "header_fields",
    "key_of",
    "parameters_of",
    "texts",
)

# What may stand in a header: https://www.rfc-editor.org/rfc/rfc9110#name-fields.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t -~]*")


def key_of(key: object) -> str:
    """Read an API key; it is never shown."""
    if not isinstance(key, str) or not _VALUE.fullmatch(key.strip()):
        raise invalid_value("api_key", key, "a str of printable ASCII", show=False)
    return key.strip()


def header_fields(headers: object) -> dict[str, str]:
    """Read headers; their values are never shown."""
    if headers is None:
        return {}
    if not is_mapping(headers):
        raise invalid_value("headers", headers, "a dict of header names and values", show=False)
    for name, value in headers.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise invalid_value("headers", name, "header names such as 'x-team'")
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            raise invalid_value("headers", value, f"a str of printable ASCII for {name!r}", show=False)
    return dict(headers)


def check_http_client(client: object) -> None:
    """Refuse what is no asynchronous HTTP client."""
    if client is not None and not iscoroutinefunction(getattr(client, "send", None)):
        raise invalid_value("http_client", client, "an httpx.AsyncClient", show=False)


def check_transport(transport: object) -> None:
    """Refuse what is no transport."""
    if transport is not None and not callable(getattr(transport, "open", None)):
        raise invalid_value("transport", transport, "a rxollama.transport.Transport", show=False)


def check_size(field: str, size: object) -> None:
    """Refuse what is no size."""
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise invalid_value(field, size, "an int, 1 or more")


def check_name(field: str, name: object) -> None:
    """Refuse what is no model's name."""
    if not isinstance(name, str) or not name.strip():
        raise invalid_value(field, name, "a model name")


def texts(field: str, given: str | Iterable[str]) -> str | tuple[str, ...]:
    """Read a text or several."""
    if isinstance(given, str):
        return given
    found: tuple[str, ...] = check_several(field, given, "a str, or a list or tuple of str")
    for text in found:
        check_text(field, text)
    return found


def digests(field: str, given: Mapping[str, str] | None) -> dict[str, str] | None:
    """Read digests by file names."""
    if given is None:
        return None
    if not is_mapping(given) or not all(isinstance(text, str) for item in given.items() for text in item):
        raise invalid_value(field, given, "a dict of file names and digests")
    return dict(given)


def parameters_of(parameters: Options | None) -> dict[str, Any] | None:
    """Read options that are called parameters."""
    try:
        return check_options(parameters)
    except InvalidValueError as error:
        raise InvalidValueError(
            str(error).replace("options", "parameters", 1),
            field=error.field.replace("options", "parameters", 1),
            given=error.given,
            allowed=error.allowed,
        ) from None
