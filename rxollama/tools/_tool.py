"""What a model may call."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from typing import Any, Protocol, TypeAlias

from rxollama._checks import check_several, check_text, is_mapping
from rxollama._invalid_value import InvalidValueError, invalid_value
from rxollama._schema import Misfit
from rxollama.tools._execution import run_here, run_in_thread, without_none
from rxollama.tools._parameters import Parameters
from rxollama.tools._signature import docs_of, is_async, is_silent, name_of

__all__ = ("Dumped", "Tool", "Tools", "tools_of")


class Dumped(Protocol):
    """Be a tool of the official client, or another model of pydantic that has Ollama's shape."""

    def model_dump(self, *, exclude_none: bool) -> dict[str, Any]:
        """Write it as a dict."""
        ...


Tools: TypeAlias = "Iterable[Tool | Callable[..., Any] | Mapping[str, Any] | Dumped]"
"""What may be given as tools: functions, and schemas in Ollama's shape, as they are or made into a `Tool`."""

_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_NAMED = "a name of letters, digits, '_', '-' and '.' (give it as name=)"
_SHAPE = "{'type': 'function', 'function': {'name': ..., 'parameters': {...}}}"
_KINDS = f"a function, a Tool, or a schema in Ollama's shape, {_SHAPE}"


class Tool:
    """
    Be a function that a model may call, or the schema of one.

    The model is told of a function what its signature and its docstring say. Of a type it is told what Ollama's servers
    keep of its JSON Schema, and the rest in words.

    Args:
        function: Anything that can be called: a function, a method, an object with `__call__`, a `functools.partial`,
            whose keywords are given and not offered. It may be async, a generator, an async generator, or return an
            observable or an awaitable. Or a schema in Ollama's shape, which is offered as it is; or another tool.
        run: What to call for a schema, with the arguments as keywords, as the model gave them. Without it the tool is
            offered, but cannot be run.
        name: What to call it, if not by the function's own name.
        description: What to tell of it, if not what the docstring says before its sections.

    Attributes:
        name: The name.
        description: The description.
        schema: What the server is told: `{"type": "function", "function": {...}}`.
        is_runnable: Whether there is something to run.

    Raises:
        InvalidValueError: When a name is missing or none that servers take, when a parameter's type cannot be described
            by JSON Schema without references, when its name is not known at run time, or for `*args` and `**kwargs`.

    .. versionadded:: 0.1
    """

    name: str
    description: str
    schema: dict[str, Any]
    is_runnable: bool

    def __init__(
        self,
        function: Tool | Callable[..., Any] | Mapping[str, Any] | Dumped,
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
        told: Mapping[str, Any]
        if isinstance(function, Tool):
            self._parameters = function._parameters if run is None else None  # noqa: SLF001 - One of its own class.
            self._run = self._run or function._run  # noqa: SLF001 - As above.
            told = function.schema
        elif callable(function):
            if run is not None:
                raise invalid_value("run", run, "None beside a function, which is what runs")
            self._run = function
            docs = docs_of(function)
            known = _checked(name or name_of(function))
            self._parameters = Parameters(function, known, docs.parameters)
            told = _shaped(known, docs.description, self._parameters.schema)
        else:
            told = _read(function)
        self.schema = _renamed(told, name, description)
        self.name = self.schema["function"]["name"]
        self.description = self.schema["function"].get("description", "")
        self.is_runnable = self._run is not None

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """
        Make arguments of what a model gave.

        A number or a truth value may come as a text, as models have it: "3" is 3, and "true" is True. So may a list or
        an object that a parameter takes. A null for what has a default and takes no None is left out.

        Args:
            given: The arguments of a call.

        Returns:
            What the function takes: a dataclass where it asks for one, and so on. What has a default may be missing.

        Raises:
            Misfit: When something does not fit, is missing or unknown, with the path to it.
        """
        if self._parameters is not None:
            return self._parameters.arguments(given)
        if not is_mapping(given):
            raise Misfit(f"Expected `object`, got `{type(given).__name__}`")
        return dict(given)

    def items(self, arguments: Mapping[str, Any]) -> AsyncGenerator[Any, None]:
        """
        Run the tool, and yield what it brings.

        A plain function brings what it returns: one item, or none if it says that it returns None. An iterator, async
        or not, and an observable bring several. An async function runs in the task that iterates; any other one on a
        thread of its own, with the context variables of the caller, and what it returns is awaited or subscribed here.

        Close the generator to leave early: that cancels what is async, and disposes an observable. A function on a
        thread cannot be stopped, and its result is dropped; an iterator there is closed after the step that it is at.

        Args:
            arguments: The arguments, as `arguments` makes them.

        Returns:
            A generator; `ToolProgress` among its items is not for the model.

        Raises:
            InvalidValueError: When there is nothing to run.
            Exception: Whatever the tool raises; `sys.exit` is a RuntimeError, and on a thread so is all else that would
                end a program.
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
        items = (run_here if is_async(function) else run_in_thread)(call, f"tool {self.name}")
        return without_none(items) if is_silent(function) else items

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


def tools_of(tools: Tools | None) -> tuple[Tool, ...]:
    """
    Make tools of what was given as such.

    Args:
        tools: Functions, tools and schemas in Ollama's shape, or None.

    Returns:
        The tools, in order.

    Raises:
        InvalidValueError: When one is none, or has the name of another.

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


def _renamed(told: Mapping[str, Any], name: str | None, description: str | None) -> dict[str, Any]:
    function = dict(told["function"])
    if name is not None:
        function["name"] = _checked(name)
    if description is not None:
        function["description"] = description
    return {**told, "function": function}


def _read(schema: Mapping[str, Any] | Dumped) -> Mapping[str, Any]:
    dump = getattr(schema, "model_dump", None)
    told: Any = dump(exclude_none=True) if callable(dump) else schema
    if not is_mapping(told):
        raise invalid_value("function", schema, _KINDS, show=False)
    function = told.get("function")
    if not is_mapping(function) or not isinstance(function.get("name"), str):
        raise invalid_value("function", schema, _SHAPE)
    _checked(function["name"])
    return told
