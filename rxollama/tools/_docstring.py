"""What a docstring says of a function and of its parameters."""

from __future__ import annotations

import inspect
from typing import Any

import docstring_parser
import msgspec

__all__ = ("Told", "told_by")


class Told(msgspec.Struct, frozen=True):
    """
    Be what a docstring says.

    Args:
        description: What stands before its sections.
        parameters: What it says of the parameters, by their names.
    """

    description: str = ""
    parameters: dict[str, str] = {}


def told_by(documented: Any) -> Told:
    """
    Read a docstring in the style of Google, of NumPy or of reST.

    Args:
        documented: Whose docstring to read.

    Returns:
        What it says, which may be nothing.
    """
    parsed = docstring_parser.parse(_docstring(documented))
    parameters = {
        # NumPy's style documents several at once.
        name.strip(" *"): " ".join((parameter.description or "").split())
        for parameter in parsed.params
        for name in parameter.arg_name.split(",")
    }
    return Told((parsed.description or "").strip(), parameters)


def _docstring(documented: Any) -> str:
    if not inspect.isclass(documented):
        return inspect.getdoc(documented) or ""
    # A class inherits what its base says, such as how to use pydantic; and `Point(x: int)` is what Python says itself.
    own = inspect.cleandoc(documented.__doc__ or "")
    return "" if own.startswith(f"{documented.__name__}(") and own.endswith(")") else own
