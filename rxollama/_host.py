"""
Where the server is: the rules of `OLLAMA_HOST`.

They are those of Ollama's own tools (https://github.com/ollama/ollama/blob/main/envconfig/config.go), and where those
would warn and go on, a clear refusal.
"""

from __future__ import annotations

import ipaddress
import os
import re

from rxollama._refusal import refuse

__all__ = ("base_url",)

_PORTS = {"http": "80", "https": "443"}
_DEFAULT_PORT = "11434"
_LAST_PORT = 65535
_NAME = re.compile(r"[\w.-]+|\[[0-9A-Fa-f:.]+(%[\w.-]+)?\]")
_ANYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - A server's name for itself.


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
    field = "host" if host is not None else "OLLAMA_HOST"
    given = os.environ.get("OLLAMA_HOST", "") if host is None else host
    if not isinstance(given, str):
        raise refuse(field, given, "a text such as 'localhost:11434' or 'https://ollama.example/prefix'")
    text = given.strip().strip("\"'").strip()
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "", text
    authority, slash, path = rest.partition("/")
    path = (slash + path).partition("?")[0].partition("#")[0].rstrip("/")
    authority = authority.partition("?")[0].partition("#")[0]
    if "@" in authority:
        hint = "a host without credentials; give those with api_key= or headers="
        raise refuse(field, given, hint, show=False)
    name, port = _name_and_port(authority)
    if not scheme and name == "ollama.com" and not port:
        scheme = "https"
    port = port or _PORTS.get(scheme, _DEFAULT_PORT)
    scheme = scheme.lower() or "http"
    if scheme not in _PORTS:
        raise refuse(field, given, "a host with the scheme http or https")
    if not (port.isascii() and port.isdigit() and 0 < int(port) <= _LAST_PORT):
        raise refuse(field, given, f"a host whose port is a number from 1 to {_LAST_PORT}")
    name = _ANYWHERE.get(name, name)
    if not _NAME.fullmatch(name):
        raise refuse(field, given, "a host name or an IP address")
    return f"{scheme}://{name}:{port}{path}"


def _name_and_port(authority: str) -> tuple[str, str]:
    try:
        return f"[{ipaddress.IPv6Address(authority)}]", ""
    except ValueError:
        pass
    if authority.endswith("]") or ":" not in authority:
        return authority, ""
    name, _, port = authority.rpartition(":")
    return name, port or _DEFAULT_PORT
