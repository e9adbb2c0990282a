"""A note about a prompt that does not fit into the context window."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import TextIO

from rxollama.cli._output import Output
from rxollama.errors import ContextTruncatedWarning

__all__ = ("noted_context",)

_NOT_READ = (
    "the model did not read all of this: it is longer than the context window; ask for less, begin a new conversation, "
    "or start the server with a larger OLLAMA_CONTEXT_LENGTH"
)


@contextmanager
def noted_context(output: Output) -> Generator[None]:
    """
    Show a note after an answer in place of a warning in the middle of it.

    Other warnings are shown as usual.

    Args:
        output: The output for the note.
    """
    found: list[str] = []
    with warnings.catch_warnings():
        show = warnings.showwarning

        def keep(  # noqa: PLR0917 - The signature is that of `warnings.showwarning`.
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, ContextTruncatedWarning):
                found.append(str(message))
            else:
                show(message, category, filename, lineno, file, line)

        # There is no other way to show a warning otherwise than on standard error.
        warnings.showwarning = keep
        warnings.simplefilter("always", ContextTruncatedWarning)
        try:
            yield
        finally:
            if found:
                output.note(_NOT_READ)
