"""
The public names of classes and functions.

They are defined in private modules and exported by public ones. Without this, tracebacks, `repr` and pickles would show
the private module, which nobody imports and which may change.
"""

from __future__ import annotations

from contextlib import suppress
from inspect import isclass, isfunction
from typing import Any, get_type_hints

__all__ = ("publish",)


def publish(namespace: dict[str, Any]) -> None:
    """
    Set `__module__` of what a public module exports to that module.

    The first public module that exports a name is its home. Others that export it as well leave it alone.

    Args:
        namespace: The module's `globals()`, with its `__all__`.
    """
    for name in namespace["__all__"]:
        value = namespace[name]
        if not (isclass(value) or isfunction(value)) or not _is_private(value.__module__):
            continue
        if isclass(value):
            _resolve_annotations(value)
        value.__module__ = namespace["__name__"]


def _is_private(module: str) -> bool:
    return module.startswith("rxollama.") and "._" in module


def _resolve_annotations(kind: type) -> None:
    """
    Replace the annotations of a class, which are texts, with the types that they name.

    `typing.get_type_hints` and msgspec look these names up in the module of the class, and a public one lacks many.
    """
    own = vars(kind).get("__annotations__", {})
    # Annotations that cannot be resolved here cannot be resolved anywhere: an alias that is a text is an example.
    with suppress(NameError, TypeError):
        hints = get_type_hints(kind, include_extras=True)
        kind.__annotations__ = {name: hints[name] for name in own}
