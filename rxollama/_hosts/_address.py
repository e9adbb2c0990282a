"""
The address of the server, as `OLLAMA_HOST` gives it.

The rules are those of Ollama's own tools (https://github.com/ollama/ollama/blob/main/envconfig/config.go). Where they
would warn and use a default, an error is raised here.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from unicodedata import normalize
from urllib.parse import unquote

from rxollama._invalid_value import invalid_value

__all__ = ("base_url",)

_LOCAL = "127.0.0.1"
_PORT = 11434
_PORTS = {"http": 80, "https": 443}
_LAST_PORT = 65535
# Ollama's own service answers on https only, and may be named without the scheme.
_SERVICE = "ollama.com"
# A name and a port, each of which may be missing. An IPv6 address without brackets does not match: it has no port.
_AUTHORITY = re.compile(r"(\[[^\]]*\]|[^:]*)(?::([^:]*))?")
# Labels with dots between them. The last is not a number, which would make it an address.
_NAME = re.compile(r"(?:\w[\w-]*\.)*(?!\d+\.?$)\w[\w-]*\.?")
# A refused host is shown only if nothing in it can be a password, in any spelling: no character that separates one from
# the host, none that becomes such a character when it is decoded or normalized, and nothing but digits after a name.
_HARMLESS = re.compile(r"(\w+:/+)?([\w. -]*|\[?([0-9a-f]*:){2,}[0-9a-f.]*\]?)(:[+-]?\d*){0,2}(/[\w./ -]*)?", re.ASCII)


def base_url(host: str | None = None) -> str:
    """
    Return the base URL of the server.

    Args:
        host: The host in any form that `OLLAMA_HOST` accepts. None reads that variable.

    Returns:
        Scheme, host, port and path prefix, without a slash at the end.

    Raises:
        InvalidValueError: If it is not a host, or its port is not one.
    """
    field, given = ("OLLAMA_HOST", os.environ.get("OLLAMA_HOST", "")) if host is None else ("host", host)
    if not isinstance(given, str):
        raise invalid_value(
            field, given, "a str such as 'localhost:11434' or 'https://ollama.example/prefix'", show=False
        )
    try:
        return _base_url(given.strip().strip("\"'").strip())
    except ValueError as error:
        raise invalid_value(field, given, str(error), show=_HARMLESS.fullmatch(given) is not None) from None


def _base_url(text: str) -> str:
    where = re.split("[?#]", text, maxsplit=1)[0]
    head, found, tail = where.partition("://")
    authority, slash, path = (tail if found else where).partition("/")
    if found:
        # Ollama knows the schemes in lower case only: any other has no port of its own.
        scheme, usual_port = head.lower(), _PORTS.get(head, _PORT)
    else:
        scheme, usual_port = ("https", _PORTS["https"]) if authority == _SERVICE else ("http", _PORT)
    if scheme not in _PORTS:
        raise ValueError("a host with the scheme http or https")
    if _has_credentials(text.partition("://")[2] if found else text):
        raise ValueError("a host without credentials, which are given as an API key or a header")
    if re.search(r"[\s\x00-\x1f\x7f]", path) or (path and not authority):
        raise ValueError("a host, and after it a path without spaces")
    parts = _AUTHORITY.fullmatch(authority)
    name, port = parts.groups() if parts else (authority, None)
    return f"{scheme}://{_name(name)}:{usual_port if port is None else _port(port)}{(slash + path).rstrip('/')}"


def _has_credentials(text: str) -> bool:
    # A password may contain what begins a path, a query or a fragment, so the whole text counts, in plain spelling. A
    # segment of a path that begins with "@" is a scope.
    return re.search("(?<!/)@", normalize("NFKC", unquote(text))) is not None


def _name(name: str) -> str:
    address = _ip_address(name[1:-1] if name.startswith("[") and name.endswith("]") else name or _LOCAL)
    if address is None:
        if _NAME.fullmatch(name):
            return name
        raise ValueError("a host name or an IP address")
    is_v4 = isinstance(address, IPv4Address)
    if address.is_unspecified:
        # A server listens there, but nobody can connect to it.
        return _LOCAL if is_v4 else "[::1]"
    return str(address) if is_v4 else f"[{address}]"


def _ip_address(text: str) -> IPv4Address | IPv6Address | None:
    # The error would quote the text, and stay in the context of ours.
    with suppress(ValueError):
        return ip_address(text)
    return None


def _port(port: str) -> int:
    if re.fullmatch("[0-9]{1,5}", port) and 0 < (number := int(port)) <= _LAST_PORT:
        return number
    raise ValueError(f"a host whose port is a number from 1 to {_LAST_PORT}")
