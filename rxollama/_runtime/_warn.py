"""Warnings that never end a stream."""

from __future__ import annotations

import warnings

from rxollama._runtime._loop import report_error

__all__ = ("warn",)


def warn(text: str, category: type[Warning]) -> None:
    """
    Issue a warning.

    Under `-W error` a warning is raised. It must not end a stream that has not failed, so it is reported instead.

    Args:
        text: The text.
        category: The kind of warning.
    """
    try:
        warnings.warn(text, category, stacklevel=1)
    except category as warning:
        report_error(str(warning), warning)
