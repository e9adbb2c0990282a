"""A host of a pool, and its state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from sys import float_info
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec
from msgspec.structs import force_setattr

from rxollama._checks import check_count, check_name, check_several, check_text
from rxollama._hosts import base_url, header_fields, key_of
from rxollama._invalid_value import invalid_value
from rxollama.messages import Value

__all__ = ("Host", "HostState", "Situation")

Situation: TypeAlias = Literal["ready", "busy", "down"]


class Host(msgspec.Struct, frozen=True):
    """
    A host of a `Pool`.

    Args:
        host: The server, in any form that `OLLAMA_HOST` allows. The field holds it as a base URL.
        priority: The rank among hosts that could all answer. The lowest number is preferred.
        weight: The share of requests among hosts of the same priority. 2 gets twice as many as 1.
        slots: How many requests the host answers at once, as its `OLLAMA_NUM_PARALLEL` says. More requests wait there
            in a queue, so that another host is preferred.
        models: The only models that may be asked for there. None means those that the host has.
        api_key: The key that is sent as a bearer token to this host, and to no other. `OLLAMA_API_KEY` is not read.
        headers: More headers for each request to this host.

    Raises:
        InvalidValueError: If an argument is wrong.

    .. versionadded:: 0.1
    """

    host: str
    priority: int = 1
    weight: float = 1.0
    slots: int = 1
    models: tuple[str, ...] | None = None
    api_key: str = ""
    headers: dict[str, str] | None = None

    if TYPE_CHECKING:
        # A caller may give more than the fields hold.
        def __init__(
            self,
            host: str,
            *,
            priority: int = 1,
            weight: float = 1.0,
            slots: int = 1,
            models: Iterable[str] | None = None,
            api_key: str = "",
            headers: Mapping[str, str] | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        """Check the fields, and keep copies of what a caller could change."""
        force_setattr(self, "host", base_url(check_text("host", self.host)))
        check_count("priority", self.priority)
        check_count("slots", self.slots)
        if not _is_number(self.weight) or not 0 < self.weight <= float_info.max:
            raise invalid_value("weight", self.weight, "a positive number")
        if self.models is not None:
            names = check_several("models", self.models, "a list or tuple of model names")
            force_setattr(self, "models", tuple(check_name("models", name) for name in names))
        force_setattr(self, "api_key", key_of(self.api_key))
        force_setattr(self, "headers", header_fields(self.headers))

    def __repr__(self) -> str:
        """Return the host without its key and its headers, which are secrets."""
        return f"Host({self.host!r}, priority={self.priority}, weight={self.weight:g}, slots={self.slots})"


class HostState(Value, frozen=True, kw_only=True):
    """
    The state of a host of a `Pool`.

    Args:
        host: The base URL.
        situation: "ready"; "busy" for some seconds after the host refused a request because it had too many; or "down"
            after it could not be reached, until it can be reached again.
        models: The models of the host, each with its tag. None if the host has not been asked yet.
        loaded: The models that are in its memory.
        in_flight: The requests of this pool that it is answering.
        slots: How many it answers at once, see `Host`.
        time_to_first_chunk: The usual time until it begins to answer a chat, in nanoseconds. None if it is not known.
        error: The last failure, empty after a success.

    .. versionadded:: 0.1
    """

    host: str
    situation: Situation = "ready"
    models: tuple[str, ...] | None = None
    loaded: tuple[str, ...] = ()
    in_flight: int = 0
    slots: int = 1
    time_to_first_chunk: int | None = None
    error: str = ""


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
