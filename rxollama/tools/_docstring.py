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
    parsed = docstring_parser.parse(inspect.getdoc(documented) or "")
    parameters = {
        # NumPy's style documents several at once.
        name.strip(" *"): " ".join((parameter.description or "").split())
        for parameter in parsed.params
        for name in parameter.arg_name.split(",")
    }
    return Told((parsed.description or "").strip(), parameters)
