"""The tool loop: a chat that runs the tools which the model calls, round by round, as one stream."""

from rxollama._tool_loop._options import ConverseOptions, RaiseOn, Through, ToolLoopOptions
from rxollama._tool_loop._rounds import converse

__all__ = ("ConverseOptions", "RaiseOn", "Through", "ToolLoopOptions", "converse")
