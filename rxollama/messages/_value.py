"""The base of the values: how they become JSON, and which foreign values stand for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeGuard

import msgspec

from rxollama._checks import is_mapping
from rxollama._invalid_value import invalid_value

__all__ = ("SupportsModelDump", "Value", "mapping_of", "plain")


class SupportsModelDump(Protocol):
    """
    A model of pydantic, such as `ollama.Message` or `ollama.Options`.

    Only its `model_dump` is called: neither pydantic nor the official client needs to be installed.

    .. versionadded:: 0.1
    """

    def model_dump(self, *, exclude_none: bool = False) -> dict[str, Any]:
        """Return the fields as a dict."""
        ...


class Value(msgspec.Struct, frozen=True, omit_defaults=True, repr_omit_defaults=True):
    """
    The base class of the values.

    A value is immutable and compares by its fields. `to_dict` turns it into plain JSON. Values are structs of msgspec,
    so `msgspec.json.encode(value)` writes one, and `msgspec.json.decode(data, type=Message)` reads it back.

    .. versionadded:: 0.1
    """

    def to_dict(self) -> dict[str, Any]:
        """
        Return the value as a dict that any JSON library can write.

        Returns:
            The fields under the names that Ollama uses, without those that have their default. It holds only `dict`,
            `list`, `str`, `int`, `float`, `bool` and None.

        .. versionadded:: 0.1
        """
        fields: dict[str, Any] = plain(self)
        return fields

    if not TYPE_CHECKING:  # pragma: no branch - Only type checkers take the other one: they must go on to refuse it.

        def __getitem__(self, name: object) -> NoReturn:
            """Refuse the way of the official client, and name ours."""
            kind = type(self).__name__
            use = f"use .{name}" if name in self.__struct_fields__ else "its fields are attributes"
            raise TypeError(f"{kind!r} object is not subscriptable: {use}, or to_dict() for a dict")


def plain(value: object) -> Any:
    """Return a value as plain JSON: tuples become lists, and values become dicts."""
    return _listed(msgspec.to_builtins(value, enc_hook=_dumped))


def mapping_of(field: str, value: object) -> Mapping[Any, Any] | None:
    """
    Return a mapping as it is, and the fields of a model of pydantic.

    Args:
        field: The name of the field, for the error.
        value: Anything.

    Returns:
        The mapping; None if the value is neither.

    Raises:
        InvalidValueError: If the model fails to dump itself.
    """
    if is_mapping(value):
        return value
    dump = getattr(value, "model_dump", None)
    if isinstance(value, type) or not callable(dump):
        return None
    try:
        fields = dump(exclude_none=True)
    except Exception as error:
        # A model runs serializers of its own, such as the one of `ollama.Image`, which reads a file.
        raise invalid_value(field, value, "a model that model_dump() can dump", show=False, hint=str(error)) from error
    return fields if is_mapping(fields) else None


def _dumped(value: Any) -> Any:
    return value.to_dict()


def _listed(value: Any) -> Any:
    if is_mapping(value):
        return {key: _listed(item) for key, item in value.items()}
    if _is_list(value):
        return [_listed(item) for item in value]
    return value


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, (list, tuple))
