"""What a docstring says of a function and of its parameters."""

from __future__ import annotations

import inspect
from typing import Any

import docstring_parser
import msgspec

__all__ = ("ParsedDocstring", "parse_docstring")


class ParsedDocstring(msgspec.Struct, frozen=True):
    """
    Be what a docstring says.

    Args:
        description: What stands before its sections.
        parameters: What it says of the parameters, by their names.
    """

    description: str = ""
    parameters: dict[str, str] = {}


def parse_docstring(documented: Any) -> ParsedDocstring:
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
    return ParsedDocstring((parsed.description or "").strip(), parameters)


def _docstring(documented: Any) -> str:
    if not inspect.isclass(documented):
        return inspect.getdoc(documented) or ""
    # A class inherits what its base says, such as how to use pydantic; and `Point(x: int)` is what Python says itself.
    own = inspect.cleandoc(documented.__doc__ or "")
    return "" if own.startswith(f"{documented.__name__}(") and own.endswith(")") else own
