"""No private name of another library is read anywhere in the package."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "rxollama"

# What has no public way, with the reason.
EXCEPTIONS = {
    # `await` passes a scheduler of asyncio to every operator. On its loop no hop is needed, and from another thread the
    # loop must be woken. The scheduler's public methods only call its loop, later and not from another thread.
    ("operators/_timing/clock.py", "scheduler._loop"),
}

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
BY_NAME = {"getattr", "setattr", "hasattr", "delattr", "attrgetter", "methodcaller"}


def is_private(name: str) -> bool:
    """Return whether a name is private: it begins with an underscore and is not Python's own."""
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def defined_in(tree: ast.AST) -> set[str]:
    """Return the private names that code gives to attributes, functions and classes."""
    nodes = list(ast.walk(tree))
    names = {node.name for node in nodes if isinstance(node, (*FUNCTIONS, ast.ClassDef))}
    names |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    names |= {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_own(node.value)
    }
    return set(filter(is_private, names))


def is_own(value: ast.expr) -> bool:
    """Return whether an expression is the object or the class that its code belongs to."""
    return isinstance(value, ast.Name) and value.id in {"self", "cls"}


def family_of(tree: ast.Module) -> dict[ast.ClassDef, set[str]]:
    """Return the private names that each class of a module defines or inherits within the module."""
    kinds = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    found: dict[ast.ClassDef, set[str]] = {}
    for kind in kinds:
        bases = {ast.unparse(base).partition("[")[0] for base in kind.bases}
        # A base stands before the classes that inherit from it.
        found[kind] = defined_in(kind).union(*(names for each, names in found.items() if each.name in bases))
    return found


def imported(node: ast.AST) -> Iterator[str]:
    """Yield the private names of other packages that a statement imports."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and not node.level:
        names = [f"{node.module}.{alias.name}" for alias in node.names]
    else:
        return
    for name in names:
        top, *rest = name.split(".")
        if top not in {"rxollama", "__future__"} and any(map(is_private, (top, *rest))):
            yield name


def named(node: ast.AST, own: set[str]) -> Iterator[str]:
    """Yield the private attributes, other than an object's own ones, that code reads by their names as text."""
    texts: list[ast.expr] = []
    if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in BY_NAME:
        texts = [*node.args]
    elif isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith((".__dict__", "vars()")):
        texts = [node.slice]
    of_own = isinstance(node, ast.Call) and bool(node.args) and is_own(node.args[0])
    for text in texts:
        if not (isinstance(text, ast.Constant) and isinstance(text.value, str)):
            continue
        if is_private(text.value.split(".")[-1]) and not (of_own and text.value in own):
            yield ast.unparse(node)


def foreign_names(tree: ast.Module, own: set[str]) -> set[str]:
    """
    Return the private names of other libraries that a module reads.

    Args:
        tree: The module.
        own: The private names that the package defines. An object may read them of itself, whatever its class inherits
            from, and of other objects only those that its own class defines.
    """
    ours = {
        id(node)
        for kind, names in family_of(tree).items()
        for node in ast.walk(kind)
        if isinstance(node, ast.Attribute) and node.attr in names
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        found |= {*imported(node), *named(node, own)}
        if isinstance(node, ast.Attribute) and is_private(node.attr) and id(node) not in ours:
            if not (is_own(node.value) and node.attr in own):
                found.add(ast.unparse(node))
        elif isinstance(node, ast.MatchClass):
            found |= {f"{ast.unparse(node.cls)}({name}=)" for name in node.kwd_attrs if is_private(name)}
    return found


def test_no_private_name_of_another_library() -> None:
    """The package reads no private name of another library, with exceptions that have a reason."""
    trees = {path: ast.parse(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py")}
    own = {name for tree in trees.values() for name in defined_in(tree)}

    found = {
        (path.relative_to(PACKAGE).as_posix(), name)
        for path, tree in trees.items()
        for name in foreign_names(tree, own)
    }

    assert EXCEPTIONS == found


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("scheduler._loop", {"scheduler._loop"}),
        ("class A(B):\n def f(self): return self._theirs", {"self._theirs"}),
        ("class A(B):\n def f(self): self._own = self._own + 1", set[str]()),
        ("class A:\n def f(self, other): self._x = other._x", set[str]()),
        ("class A:\n _x = 1\nclass B(A[T]):\n def f(self, other): return other._x", set[str]()),
        ("class A:\n def f(self): self._x = hasattr(self, '_x')", set[str]()),
        ("class A:\n def f(self): return hasattr(self, '_theirs')", {"hasattr(self, '_theirs')"}),
        ("class A:\n _x = 1\ndef f(other): return other._x", {"other._x"}),
        ("class A(B):\n def f(self, theirs): theirs._hook = self", {"theirs._hook"}),
        ("class A(B):\n def f(self): return super()._theirs()", {"super()._theirs"}),
        ("import httpx._client", {"httpx._client"}),
        ("from httpx._client import Client", {"httpx._client.Client"}),
        ("from asyncio import _get_running_loop as running", {"asyncio._get_running_loop"}),
        ("import _socket", {"_socket"}),
        ("from __future__ import annotations", set[str]()),
        ("from rxollama._http import HttpTransport\nfrom . import _pool", set[str]()),
        ("getattr(response, '_content', None)", {"getattr(response, '_content', None)"}),
        ("operator.attrgetter('stream._stream')", {"operator.attrgetter('stream._stream')"}),
        ("response.__dict__['_content']", {"response.__dict__['_content']"}),
        ("match x:\n case Response(_content=c): pass", {"Response(_content=)"}),
        ("x.__class__.__name__", set[str]()),
    ],
)
def test_what_is_found(code: str, found: set[str]) -> None:
    """Every way to a private name of another library is found, and none to an own one."""
    tree = ast.parse(code)

    assert found == foreign_names(tree, defined_in(tree))
