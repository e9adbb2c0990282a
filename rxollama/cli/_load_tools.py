"""The tools of a Python file."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from functools import lru_cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, TypeGuard, cast

from rxollama.cli._output import CommandError
from rxollama.errors import InvalidValueError
from rxollama.tools import Tool

__all__ = ("load_tools",)

_CACHED = type(lru_cache(len))
_WRONG = 2


def load_tools(paths: Iterable[Path]) -> tuple[Tool, ...]:
    """
    Load the tools of several files.

    The tools of a file are what its `__all__` names, or else its public functions and its `Tool` objects.

    Args:
        paths: The files.

    Returns:
        The tools, in order.

    Raises:
        CommandError: If a file cannot be loaded, has no tools, or has one that cannot be used.
    """
    found: dict[str, tuple[Tool, Path]] = {}
    for place, path in enumerate(paths):
        module = _load(path, f"_rxollama_tools_{place}_{path.stem}")
        before = len(found)
        for name, value in _candidates(module, path):
            tool = _tool(name, value, path)
            other, first = found.setdefault(tool.name, (tool, path))
            if other is not tool:
                raise _error(f"two tools are named {tool.name}, one in {first} and one in {path}: rename one of them")
        if len(found) == before:
            raise _error(f"{path} has no tools: expected a function whose name does not start with an underscore")
    return tuple(tool for tool, _ in found.values())


def _load(path: Path, name: str) -> ModuleType:
    if path.suffix != ".py":
        raise _error(f"--tools: expected a Python file whose name ends in .py, got {path}")
    if not path.is_file():
        raise _error(f"cannot load the tools in {path}: there is no such file")
    file = path.resolve()
    spec = spec_from_file_location(name, file)
    assert spec is not None  # noqa: S101 - Any name that ends in .py has a spec.
    assert spec.loader is not None  # noqa: S101 - As above.
    module = module_from_spec(spec)
    # Dataclasses and type hints look up the module of a class there.
    sys.modules[name] = module
    try:
        # Standard output holds only the answer.
        with _beside(file), redirect_stdout(sys.stderr):
            spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - A file may raise anything, SystemExit included.
        raise _error(f"cannot load the tools in {path}{_place(error, file)}: {_message(error, file)}") from None
    return module


@contextmanager
def _beside(file: Path) -> Generator[None, None, None]:
    """Let a file import the modules beside it, as a script can."""
    folder = str(file.parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with suppress(ValueError):
            sys.path.remove(folder)


def _place(error: BaseException, file: Path) -> str:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    if _is_in(error, file):
        lines.append(error.lineno)
    return f", line {lines[-1]}" if lines and lines[-1] else ""


def _is_in(error: BaseException, file: Path) -> TypeGuard[SyntaxError]:
    return isinstance(error, SyntaxError) and error.filename == str(file)


def _message(error: BaseException, file: Path) -> str:
    message = error.msg if _is_in(error, file) else str(error)
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _candidates(module: ModuleType, path: Path) -> Iterator[tuple[str, Any]]:
    named = vars(module).get("__all__")
    if named is not None:
        if not _are_names(named):
            raise _error(f"the __all__ of {path}: expected a list of names")
        for name in named:
            if not hasattr(module, name):
                raise _error(f"the __all__ of {path} names {name!r}, which the file does not define")
            yield name, getattr(module, name)
        return
    seen: list[Any] = []
    for name, value in vars(module).items():
        # A function with two names is one tool.
        if not name.startswith("_") and _is_tool(value, module) and not any(value is one for one in seen):
            seen.append(value)
            yield name, value


def _are_names(value: object) -> TypeGuard[Sequence[str]]:
    return isinstance(value, list | tuple) and all(isinstance(one, str) for one in cast("Sequence[object]", value))


def _is_tool(value: object, module: ModuleType) -> bool:
    if isinstance(value, Tool):
        return True
    return isinstance(value, FunctionType | _CACHED) and value.__module__ == module.__name__


def _tool(name: str, value: Any, path: Path) -> Tool:
    try:
        tool = value if isinstance(value, Tool) else Tool(value)
    except InvalidValueError as error:
        raise _error(f"cannot use {name!r} of {path}: {error}") from None
    if not tool.is_runnable:
        raise _error(f"cannot use {name!r} of {path}: it has no function: write Tool(schema, run=function)")
    return tool


def _error(message: str) -> CommandError:
    return CommandError(message, code=_WRONG)
