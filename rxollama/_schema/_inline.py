"""JSON Schema for tools: without references, and with the few keys that servers keep."""

from __future__ import annotations

from rxollama._invalid_value import invalid_value
from rxollama._schema._constraints import noted
from rxollama._schema._walk import Schema, with_parts

__all__ = ("inlined",)

# The server's decoder drops all others: `ToolProperty` in https://github.com/ollama/ollama/blob/main/api/types.go.
_KEPT = ("type", "anyOf", "enum", "items", "properties", "required", "description")
# A bool comes first: for Python it is an int, for JSON it is not a number.
_TYPES = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}


def inlined(schema: Schema, *, field: str) -> Schema:
    """
    Return a schema without anything that a server would drop from a tool.

    Bounds, formats and defaults, which it would drop, become words in the description. The result allows everything
    that the schema allows.

    Args:
        schema: The schema, which is not changed.
        field: The name of the field, for the error.

    Returns:
        The schema. Its properties keep their order.

    Raises:
        InvalidValueError: If a definition is recursive, so that its references cannot be replaced.
    """
    return _inlined(schema, schema, field, ())


def _inlined(part: Schema, root: Schema, field: str, within: tuple[str, ...]) -> Schema:
    whole = {key: value for key, value in part.items() if key != "$defs"}
    while (reference := whole.pop("$ref", None)) is not None:
        if reference in within:
            name = reference.rpartition("/")[2]
            raise invalid_value(field, name, "a type that does not contain itself, which tools cannot describe")
        within = (*within, reference)
        # The keys beside a reference belong to this place, and override the definition's.
        whole = _referred(root, reference) | whole
    return _kept(with_parts(whole, lambda inner: _inlined(inner, root, field, within)))


def _referred(root: Schema, reference: str) -> Schema:
    found: Schema = root
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def _kept(part: Schema) -> Schema:
    kept = noted(part)
    if "oneOf" in kept:
        kept["anyOf"] = kept["oneOf"]
    if "const" in kept:
        kept["enum"] = [kept["const"]]
    if "prefixItems" in kept:
        kept["items"] = _any_of(kept["prefixItems"])
    if "enum" in kept:
        kept.setdefault("type", _one_or_all([_type_of(value) for value in kept["enum"]]))
    if "anyOf" in kept:
        kept = _any_of(kept.pop("anyOf")) | kept
    return {key: kept[key] for key in _KEPT if key in kept and kept[key] is not False}


def _type_of(value: object) -> str:
    return next(name for kind, name in _TYPES.items() if isinstance(value, kind))


def _any_of(parts: list[Schema]) -> Schema:
    """Return a schema that allows what any part allows. It uses `anyOf` only if types alone are not enough."""
    if all(part.keys() == {"type"} for part in parts):
        return {"type": _one_or_all([name for part in parts for name in _names(part["type"])])}
    several = [part for place, part in enumerate(parts) if part not in parts[:place]]
    return {"anyOf": several} if len(several) > 1 else several[0]


def _one_or_all(names: list[str]) -> str | list[str]:
    several = list(dict.fromkeys(names))
    return several if len(several) > 1 else several[0]


def _names(found: str | list[str]) -> list[str]:
    return [found] if isinstance(found, str) else found
