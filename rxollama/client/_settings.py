"""The checks of the client's own arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from inspect import iscoroutinefunction

from rxollama._checks import check_several, check_text, is_mapping
from rxollama._invalid_value import invalid_value
from rxollama.client._wait_estimates import WaitEstimates

__all__ = ("check_estimates", "check_http_client", "check_transport", "digests", "texts")


def check_http_client(client: object) -> None:
    """Refuse anything but an asynchronous HTTP client or None."""
    if client is not None and not iscoroutinefunction(getattr(client, "send", None)):
        raise invalid_value("http_client", client, "an httpx.AsyncClient", show=False)


def check_transport(transport: object) -> None:
    """Refuse anything but a transport or None."""
    if transport is not None and (isinstance(transport, type) or not callable(getattr(transport, "open", None))):
        raise invalid_value("transport", transport, "a rxollama.transport.Transport", show=False)


def check_estimates(estimates: object) -> WaitEstimates:
    """Return the memory of waits, or refuse anything else."""
    if not isinstance(estimates, WaitEstimates):
        raise invalid_value("wait_estimates", estimates, "a WaitEstimates", show=False)
    return estimates


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
