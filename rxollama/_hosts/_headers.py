"""The checks of what is sent to a host with each request: its key and its headers."""

from __future__ import annotations

import re

from rxollama._checks import is_mapping
from rxollama._invalid_value import invalid_value

__all__ = ("header_fields", "key_of")

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
