"""
The order of keys and values in the definition of a type.

A model writes its answer in the order of the schema, so the order matters: reasons before a verdict, or after it.
msgspec keeps the order of classes, but sorts the keys of a TypedDict and the values of an Enum.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias, cast

import msgspec
from msgspec.inspect import EnumType, TypedDictType, type_info

from rxollama._schema._walk import Schema, with_parts

__all__ = ("ordered",)

_Orders: TypeAlias = dict[str, list[list[Any]]]
"""The orders of keys or values by the names of types. Several types may have one name."""


def ordered(schema: Schema, kind: Any) -> Schema:
    """
    Return a schema whose TypedDicts and Enums have the order of their definition.

    Args:
        schema: The schema, which is not changed.
        kind: The type that it describes.

    Returns:
        The schema in order.
    """
    orders: _Orders = {}
    for found in _parts_of(type_info(kind), set()):
        if isinstance(found, TypedDictType):
            orders.setdefault(found.cls.__name__, []).append(list(found.cls.__annotations__))
        elif isinstance(found, EnumType):
            orders.setdefault(found.cls.__name__, []).append([member.value for member in found.cls])
    return _in_order(schema, orders) if orders else schema


def _parts_of(found: object, seen: set[int]) -> Iterator[object]:
    if isinstance(found, tuple):
        for one in cast("tuple[object, ...]", found):
            yield from _parts_of(one, seen)
    elif isinstance(found, msgspec.Struct) and id(found) not in seen:
        seen.add(id(found))
        yield found
        for name in found.__struct_fields__:
            yield from _parts_of(getattr(found, name), seen)


def _in_order(part: Schema, orders: _Orders) -> Schema:
    moved = with_parts(part, lambda inner: _in_order(inner, orders))
    for order in orders.get(part.get("title", ""), ()):
        if _are_those(order, part.get("enum")):
            moved["enum"] = order
        elif _are_those(order, part.get("properties")):
            moved["properties"] = {name: moved["properties"][name] for name in order}
            moved["required"] = [name for name in order if name in moved.get("required", ())]
    return moved


def _are_those(order: list[Any], things: Any) -> bool:
    return things is not None and len(order) == len(things) and all(one in things for one in order)
