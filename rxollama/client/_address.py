"""
Where the server is: the rules of `OLLAMA_HOST`.

They are those of Ollama's own tools (https://github.com/ollama/ollama/blob/main/envconfig/config.go), but where those
would warn and go on with something else, a clear refusal.
"""

from __future__ import annotations

import os
import re
from ipaddress import IPv4Address, ip_address

from rxollama._invalid_value import invalid_value

__all__ = ("base_url",)

_LOCAL = "127.0.0.1"
_PORT = 11434
_PORTS = {"http": 80, "https": 443}
_LAST_PORT = 65535
# Ollama's own service answers on https alone, and may be named without it.
_SERVICE = "ollama.com"
# A name and a port, each of which may be missing. An IPv6 address without brackets does not match: it has no port.
_AUTHORITY = re.compile(r"(\[[^\]]*\]|[^:]*)(?::([^:]*))?")
# Labels with dots between them; the last is no number, which makes an address of it.
_NAME = re.compile(r"(?:\w[\w-]*\.)*(?!\d+\.?$)\w[\w-]*\.?")
# What may follow one of these, or go before the first, may be a password or a key.
_SECRET = re.compile("[@?#]")


def base_url(host: str | None = None) -> str:
    """
    Find the server's base URL.

    Args:
        host: The host in any form that `OLLAMA_HOST` takes; None reads that variable.

    Returns:
        Scheme, host, port and path prefix, without a slash at the end.

    Raises:
        InvalidValueError: When it is no host, or its port is none.
    """
    field, given = ("OLLAMA_HOST", os.environ.get("OLLAMA_HOST", "")) if host is None else ("host", host)
    if not isinstance(given, str):
        raise invalid_value(
            field, given, "a str such as 'localhost:11434' or 'https://ollama.example/prefix'", show=False
        )
    try:
        return _base_url(given.strip().strip("\"'").strip())
    except ValueError as error:
        raise invalid_value(field, given, str(error), show=not _SECRET.search(given)) from None


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
    if "@" in authority:
        raise ValueError("a host without credentials; give those with api_key= or headers=")
    if re.search(r"[\s\x00-\x1f\x7f]", path) or (path and not authority):
        raise ValueError("a host, and after it a path without spaces")
    parts = _AUTHORITY.fullmatch(authority)
    name, port = parts.groups() if parts else (authority, None)
    return f"{scheme}://{_name(name)}:{usual_port if port is None else _port(port)}{(slash + path).rstrip('/')}"


def _name(name: str) -> str:
    bare = name[1:-1] if name.startswith("[") and name.endswith("]") else name or _LOCAL
    try:
        address = ip_address(bare)
    except ValueError:
        if _NAME.fullmatch(name):
            return name
        raise ValueError("a host name or an IP address") from None
    is_v4 = isinstance(address, IPv4Address)
    if address.is_unspecified:
        # A server listens there, and nobody can connect to it: https://github.com/ollama/ollama/blob/main/envconfig/config.go.
        return _LOCAL if is_v4 else "[::1]"
    return str(address) if is_v4 else f"[{address}]"


def _port(port: str) -> int:
    if re.fullmatch("[0-9]{1,5}", port) and 0 < (number := int(port)) <= _LAST_PORT:
        return number
    raise ValueError(f"a host whose port is a number from 1 to {_LAST_PORT}")
