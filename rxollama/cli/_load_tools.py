"""The tools that a Python file offers."""

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
    Load the tools of some files.

    A file offers what its `__all__` names, or else its public functions and every `Tool`.

    Args:
        paths: The files.

    Returns:
        The tools, in order.

    Raises:
        CommandError: When a file cannot be loaded, or something in it cannot be offered.
    """
    found: dict[str, tuple[Tool, Path]] = {}
    for place, path in enumerate(paths):
        module = _load(path, f"_rxollama_tools_{place}_{path.stem}")
        before = len(found)
        for name, value in _offered(module, path):
            tool = _tool(name, value, path)
            other, home = found.setdefault(tool.name, (tool, path))
            if other is not tool:
                raise _refusal(f"two tools are named {tool.name}: one in {home}, one in {path}")
        if len(found) == before:
            raise _refusal(f"{path} offers no tools: it has no function of its own without a leading underscore")
    return tuple(tool for tool, _ in found.values())


def _load(path: Path, name: str) -> ModuleType:
    if path.suffix != ".py":
        raise _refusal(f"{path} is no Python file: its name has to end in .py")
    if not path.is_file():
        raise _refusal(f"cannot read the tools in {path}: there is no such file")
    file = path.resolve()
    spec = spec_from_file_location(name, file)
    assert spec is not None  # noqa: S101 - The name ends in .py, which is all that it takes.
    assert spec.loader is not None  # noqa: S101 - As above.
    module = module_from_spec(spec)
    # Dataclasses and type hints look there for the module of a class.
    sys.modules[name] = module
    try:
        # Standard output is the answer's.
        with _beside(file), redirect_stdout(sys.stderr):
            spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - A file may do what it likes, such as to end the program.
        raise _refusal(f"cannot load the tools in {path}{_place(error, file)}: {_words(error, file)}") from None
    return module


@contextmanager
def _beside(file: Path) -> Generator[None, None, None]:
    """Let a file import what lies beside it, as if it were run."""
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


def _words(error: BaseException, file: Path) -> str:
    words = error.msg if _is_in(error, file) else str(error)
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _offered(module: ModuleType, path: Path) -> Iterator[tuple[str, Any]]:
    named = vars(module).get("__all__")
    if named is not None:
        if not _are_names(named):
            raise _refusal(f"the __all__ of {path} is no list of names")
        for name in named:
            if not hasattr(module, name):
                raise _refusal(f"{path} has no {name!r}, which its __all__ names")
            yield name, getattr(module, name)
        return
    seen: list[Any] = []
    for name, value in vars(module).items():
        # One function may have two names.
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
        raise _refusal(f"cannot offer {name!r} of {path}: {error}") from None
    if not tool.is_runnable:
        raise _refusal(f"cannot offer {name!r} of {path}: it has only a schema; make it Tool(schema, run=function)")
    return tool


def _refusal(words: str) -> CommandError:
    return CommandError(words, code=_WRONG)
