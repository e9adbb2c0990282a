"""A tool: a function that a model may call, or a schema."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from typing import Any, TypeAlias

from rxollama._checks import check_several, check_text, is_mapping
from rxollama._invalid_value import InvalidValueError, invalid_value
from rxollama._schema import Misfit
from rxollama.messages import SupportsModelDump
from rxollama.tools._execution import run_call
from rxollama.tools._parameters import Parameters
from rxollama.tools._signature import docs_of, is_async, is_silent, name_of

__all__ = ("Tool", "Tools", "tools_of")


Tools: TypeAlias = "Iterable[Tool | Callable[..., Any] | Mapping[str, Any] | SupportsModelDump]"
"""The tools of a call: functions, schemas in Ollama's shape, and `Tool` values."""

_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_NAMED = "a name of letters, digits, '_', '-' and '.' (give it as name=)"
_SHAPE = "{'type': 'function', 'function': {'name': ..., 'parameters': {...}}}"
_KINDS = f"a function, a Tool, or a schema in Ollama's shape, {_SHAPE}"


class Tool:
    """
    A function that a model may call, or the schema of one.

    The signature and the docstring of a function become its schema. Ollama's servers keep few keys of a JSON Schema, so
    the rest of a type, such as its bounds, is described in words.

    Args:
        function: A function, a method, an object with `__call__`, or a `functools.partial`, whose keywords the model
            does not see. It may be async, a generator or an async generator, or return an observable or an awaitable.
            Otherwise a schema in Ollama's shape, which is sent unchanged, or another `Tool`.
        run: The function for a schema. It gets the arguments as keywords, as the model wrote them. Without it the tool
            can be described to a model but not run.
        name: The name; by default the function's own.
        description: The description; by default the docstring before its sections.

    Attributes:
        name: The name.
        description: The description.
        schema: The schema that is sent: `{"type": "function", "function": {...}}`.
        is_runnable: Whether there is a function to run.

    Raises:
        InvalidValueError: If the name is missing or not allowed, if JSON Schema cannot express the type of a parameter
            without references, if a type is not known at run time, or for `*args` and `**kwargs`.

    .. versionadded:: 0.1
    """

    name: str
    description: str
    schema: dict[str, Any]
    is_runnable: bool

    def __init__(
        self,
        function: Tool | Callable[..., Any] | Mapping[str, Any] | SupportsModelDump,
        run: Callable[..., Any] | None = None,
        *,
        name: str | None = None,
        description: str | None = None,
    ) -> None:
        for field, text in (("name", name), ("description", description)):
            if text is not None:
                check_text(field, text)
        self._parameters: Parameters | None = None
        self._run = _callable(run)
        shape: Mapping[str, Any]
        if isinstance(function, Tool):
            self._parameters = function._parameters if run is None else None  # noqa: SLF001 - One of its own class.
            self._run = self._run or function._run  # noqa: SLF001 - As above.
            shape = function.schema
        elif callable(function):
            if run is not None:
                raise invalid_value("run", run, "None beside a function, which is what runs")
            self._run = function
            docs = docs_of(function)
            known = _checked(name or name_of(function))
            self._parameters = Parameters(function, known, docs.parameters)
            shape = _shaped(known, docs.description, self._parameters.schema)
        else:
            shape = _read(function)
        self.schema = _renamed(shape, name, description)
        self.name = self.schema["function"]["name"]
        self.description = self.schema["function"].get("description", "")
        self.is_runnable = self._run is not None

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """
        Convert the arguments of a model's call to those of the function.

        Models often write a number, a bool, a list or an object as a str: `"3"` is accepted for an int. A null is
        left out if the parameter has a default and does not accept None.

        Args:
            given: The arguments of the call.

        Returns:
            Values of the types that the function declares. Parameters with a default may be missing.

        Raises:
            Misfit: If an argument does not fit, is missing or is unknown, with the path to it.
        """
        if self._parameters is not None:
            return self._parameters.arguments(given)
        if not is_mapping(given):
            raise Misfit(f"Expected `object`, got `{type(given).__name__}`")
        return dict(given)

    def items(self, arguments: Mapping[str, Any]) -> AsyncGenerator[Any, None]:
        """
        Run the tool, and yield its items.

        A function gives one item, its return value; none if it declares that it returns None. An iterator, async or
        not, and an observable give several. An async function runs in the task that iterates. Any other function runs
        on a thread of its own, with the context variables of the caller. An awaitable or observable that it returns is
        awaited or subscribed on the loop. An iterator that it returns runs on the thread, a few hundred items ahead at
        most.

        Close the generator to leave early. This cancels async functions and disposes observables. A function on a
        thread cannot be stopped: its result is dropped, and an iterator is closed after its current step.

        Args:
            arguments: The arguments, as the method `arguments` returns them.

        Returns:
            A generator. A `ToolProgress` among its items is not for the model.

        Raises:
            InvalidValueError: If there is nothing to run.
            ToolExitError: If the tool raises `SystemExit`, or on a thread anything that is not an `Exception`.
            Exception: Whatever the tool raises.
        """
        function = self._run
        if function is None:
            raise invalid_value("run", None, f"a function for {self.name!r}, which only has a schema")
        if self._parameters is None:
            bound = dict(arguments)

            def call() -> Any:
                return function(**bound)
        else:
            call = self._parameters.call(function, arguments)
        return run_call(call, f"tool {self.name}", on_loop=is_async(function), keep_none=not is_silent(function))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


def tools_of(tools: Tools | None) -> tuple[Tool, ...]:
    """
    Convert the tools of a call to `Tool` values.

    Args:
        tools: Functions, schemas in Ollama's shape, and `Tool` values; None means none.

    Returns:
        The tools, in order.

    Raises:
        InvalidValueError: If one of them is something else, or two have the same name.

    .. versionadded:: 0.1
    """
    if tools is None:
        return ()
    found: list[Tool] = []
    places: dict[str, int] = {}
    for place, given in enumerate(check_several("tools", tools, "a list of functions, schemas or tools")):
        field = f"tools[{place}]"
        try:
            tool = given if isinstance(given, Tool) else Tool(given)
        except InvalidValueError as error:
            raise InvalidValueError(
                f"{field}: {error}", field=field, given=error.given, allowed=error.allowed
            ) from error.__cause__
        other = places.setdefault(tool.name, place)
        if other != place:
            raise invalid_value(field, tool.name, f"a name that tools[{other}] does not have")
        found.append(tool)
    return tuple(found)


def _callable(run: object) -> Callable[..., Any] | None:
    if run is None or callable(run):
        return run
    raise invalid_value("run", run, "a function", show=False)


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise invalid_value("name", name, _NAMED)
    return name


def _shaped(name: str, description: str, parameters: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def _renamed(shape: Mapping[str, Any], name: str | None, description: str | None) -> dict[str, Any]:
    function = dict(shape["function"])
    if name is not None:
        function["name"] = _checked(name)
    if description is not None:
        function["description"] = description
    return {**shape, "function": function}


def _read(schema: Mapping[str, Any] | SupportsModelDump) -> Mapping[str, Any]:
    dump = getattr(schema, "model_dump", None)
    shape: Any = dump(exclude_none=True) if callable(dump) else schema
    if not is_mapping(shape):
        raise invalid_value("function", schema, _KINDS, show=False)
    function = shape.get("function")
    if not is_mapping(function) or not isinstance(function.get("name"), str):
        raise invalid_value("function", schema, _SHAPE)
    _checked(function["name"])
    return shape
