"""The parameters of a function: their schema for a model, and the arguments that a model's JSON becomes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NotRequired, TypedDict, cast, get_args, get_origin

import msgspec

from rxollama._checks import is_mapping
from rxollama._schema import Misfit, TypeReader, inlined, schema_of
from rxollama.tools._result import builtins_of
from rxollama.tools._signature import hint_of, parameters_of

__all__ = ("Parameters",)

_SHOWN = 200


class Parameters:
    """
    The parameters of a function.

    Args:
        function: The function.
        name: The name of the tool, for errors.
        descriptions: The descriptions in the docstring, by the names of the parameters.

    Attributes:
        schema: The JSON Schema of all parameters, as Ollama's servers keep it.

    Raises:
        InvalidValueError: If a parameter cannot be described to a model, with its name.
    """

    def __init__(self, function: Callable[..., Any], name: str, descriptions: Mapping[str, str]) -> None:
        self._parameters = {one.name: one for one in parameters_of(function, name)}
        self._kinds: dict[str, Any] = {}
        properties: dict[str, Any] = {}
        for key, parameter in self._parameters.items():
            field = f"{name}({key})"
            kind = _described(hint_of(function, parameter.annotation, field), descriptions.get(key, ""))
            self._kinds[key] = kind
            properties[key] = inlined(schema_of(kind, field=field) | _default(parameter), field=field)
        required = [key for key, parameter in self._parameters.items() if _is_required(parameter)]
        self.schema: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
        self._reader: TypeReader[dict[str, Any]] = TypeReader(self._typed_dict(), self.schema, lax=True)

    def _typed_dict(self) -> Any:
        # A struct would fill in missing fields, but the function has its own defaults.
        make, optional = cast("Any", TypedDict), cast("Any", NotRequired)
        required = self.schema["required"]
        return make(
            "arguments", {key: kind if key in required else optional[kind] for key, kind in self._kinds.items()}
        )

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Convert the arguments of a model's call, see `Tool.arguments`."""
        if not is_mapping(given):
            raise Misfit(f"Expected `object`, got `{type(given).__name__}`")
        for key in given:
            if key not in self._parameters:
                known = ", ".join(f"`{name}`" for name in self._parameters) or "none"
                raise Misfit(f"Object has the unknown field `{_short(key)}`, known: {known}")
        # A model writes null for what it leaves out.
        kept = {key: value for key, value in given.items() if value is not None or self._takes_null(key)}
        try:
            return self._reader.convert(kept)
        except Misfit as misfit:
            key = misfit.path.removeprefix("$.")
            unquoted = _unquoted(kept.get(key))
            if unquoted is None:
                raise
        return self.arguments({**kept, key: unquoted})

    def _takes_null(self, key: str) -> bool:
        if _is_required(self._parameters[key]):
            return True
        try:
            TypeReader[Any].of(self._kinds[key], field=key).convert(None)
        except Misfit:
            return False
        return True

    def call(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Callable[[], Any]:
        """Bind a function to arguments; positional-only ones by position."""
        first: list[Any] = []
        rest = dict(arguments)
        for key, parameter in self._parameters.items():
            if parameter.kind is not inspect.Parameter.POSITIONAL_ONLY or (key not in rest and _is_required(parameter)):
                break
            first.append(rest.pop(key, parameter.default))
        return lambda: function(*first, **rest)


def _unquoted(value: object) -> object:
    """Parse a list or object that a model wrote as a str, as many models do; return None for anything else."""
    if not isinstance(value, str) or not value.lstrip().startswith(("[", "{")):
        return None
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _short(key: object) -> str:
    name = str(key)
    return name if len(name) <= _SHOWN else name[:_SHOWN] + "…"


def _is_required(parameter: inspect.Parameter) -> bool:
    return parameter.default is inspect.Parameter.empty


def _default(parameter: inspect.Parameter) -> dict[str, Any]:
    """Return the default of a parameter as a part of its schema, if JSON can express it."""
    if _is_required(parameter):
        return {}
    try:
        return {"default": builtins_of(parameter.default)}
    except (TypeError, ValueError):
        return {}


def _described(kind: Any, description: str) -> Any:
    """Add a description to a type. An `Annotated` with a `Meta`, a str or a pydantic `Field` has precedence."""
    own = get_args(kind)[1:] if get_origin(kind) is Annotated else ()
    if any(isinstance(one, msgspec.Meta) and one.description for one in own):
        return kind
    said = [one if isinstance(one, str) else getattr(one, "description", None) for one in own]
    told = next((one for one in said if isinstance(one, str) and one), description)
    return Annotated[kind, msgspec.Meta(description=told)] if told else kind
