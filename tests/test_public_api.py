"""What is public is proved: `__all__` is what a module has, sorted, documented, and importable from one place."""

from __future__ import annotations

import importlib
import inspect
import pickle
import pkgutil
import traceback
import typing
from types import ModuleType

import pytest

import rxollama
import rxollama.operators

PUBLIC = (
    "rxollama",
    "rxollama.client",
    "rxollama.conversation",
    "rxollama.errors",
    "rxollama.messages",
    "rxollama.operators",
    "rxollama.pool",
    "rxollama.testing",
    "rxollama.tools",
    "rxollama.transport",
)
TOP_LEVEL_LIMIT = 25
OPERATORS_LIMIT = 28


def public_names(module: ModuleType) -> set[str]:
    """Find the names of a module that look public and are its own."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (module.__name__ == "rxollama" or not inspect.ismodule(value))
        and getattr(value, "__module__", module.__name__).startswith("rxollama")
    }


@pytest.mark.parametrize("name", PUBLIC)
def test_all_is_sorted_and_true(name: str) -> None:
    """`__all__` is sorted, and every name in it exists."""
    module = importlib.import_module(name)

    assert sorted(module.__all__) == list(module.__all__)
    assert set(module.__all__) <= set(vars(module))


@pytest.mark.parametrize(
    "name", ["rxollama.messages", "rxollama.operators", "rxollama.testing", "rxollama.errors", "rxollama.tools"]
)
def test_all_is_complete(name: str) -> None:
    """What a public module shows without an underscore is in its `__all__`."""
    module = importlib.import_module(name)
    own = {
        found
        for found in public_names(module)
        if str(getattr(getattr(module, found), "__module__", "")).startswith(name)
    }

    assert set() == own - set(module.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_everything_public_is_documented(name: str) -> None:
    """Every public class and function, and every public member of a class, has a docstring of its own."""
    module = importlib.import_module(name)
    bare: list[str] = []
    for public in module.__all__:
        value = getattr(module, public)
        if not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        if not vars(value).get("__doc__", value.__doc__ if inspect.isfunction(value) else None):
            bare.append(public)
        if inspect.isclass(value):
            bare += [
                f"{public}.{member}"
                for member, function in vars(value).items()
                if not member.startswith("_") and inspect.isfunction(function) and not function.__doc__
            ]

    assert [] == bare


@pytest.mark.parametrize("name", PUBLIC)
def test_versions_are_marked(name: str) -> None:
    """Every public class and function of the library says since when it is there."""
    module = importlib.import_module(name)
    unmarked = [
        public
        for public in module.__all__
        if (inspect.isclass(value := getattr(module, public)) or inspect.isfunction(value))
        and "versionadded" not in (value.__doc__ or "")
    ]

    assert [] == unmarked


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_show_public_modules(name: str) -> None:
    """A public class or function names a public module as its own, and can be imported and pickled from there."""
    module = importlib.import_module(name)
    values = [getattr(module, public) for public in module.__all__]
    named = [value for value in values if inspect.isclass(value) or inspect.isfunction(value)]

    assert {value.__module__ for value in named} <= {*PUBLIC}
    assert [getattr(importlib.import_module(value.__module__), value.__qualname__) for value in named] == named
    assert [pickle.loads(pickle.dumps(value)) for value in named] == named  # noqa: S301 - These bytes are our own.


def test_tracebacks_show_public_modules() -> None:
    """A traceback names an error as a program imports it."""
    [line] = traceback.format_exception_only(rxollama.errors.NotFoundError("no such model"))

    assert line == "rxollama.errors.NotFoundError: no such model\n"


@pytest.mark.parametrize("kind", [rxollama.ChatChunk, rxollama.ChatResponse, rxollama.StreamError, rxollama.Ollama])
def test_annotations_can_be_resolved(kind: type) -> None:
    """The annotations of a public class can be resolved, though its module is not the one of its definition."""
    assert all(not isinstance(hint, str) for hint in typing.get_type_hints(kind).values())


def test_every_operator_is_exported() -> None:
    """What an operator file has in its `__all__` as an operator can be had from `rxollama.operators`."""
    exported = set(rxollama.operators.__all__)
    marbled = {
        name
        for info in pkgutil.iter_modules(rxollama.operators.__path__)
        for module in [importlib.import_module(f"rxollama.operators.{info.name}")]
        for name in module.__all__
        if ".. marbles::" in (getattr(module, name).__doc__ or "")
    }

    assert marbled <= exported


def test_the_public_surface_is_small() -> None:
    """A reader can hold the public names in mind."""
    assert len(rxollama.__all__) <= TOP_LEVEL_LIMIT
    assert len(rxollama.operators.__all__) <= OPERATORS_LIMIT


def test_the_rooms_are_drawn_where_the_reader_enters() -> None:
    """The package's first comment draws every room."""
    source = inspect.getsource(rxollama)
    drawing = source[: source.index("import sys")]
    rooms = {info.name + "/" * info.ispkg for info in pkgutil.iter_modules(rxollama.__path__)}

    assert set() == {room for room in rooms if room not in drawing}
