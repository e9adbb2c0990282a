"""A chat that runs the tools which the model calls: round by round, as one observable."""

from rxollama._tool_loop._options import RaiseOn, TalkOptions, Terms, Through
from rxollama._tool_loop._rounds import converse

__all__ = ("RaiseOn", "TalkOptions", "Terms", "Through", "converse")
