"""A chat that runs the tools which the model calls: round by round, as one observable."""

from rxollama._converse._rounds import converse
from rxollama._converse._terms import RaiseOn, TalkOptions, Terms, Through

__all__ = ("RaiseOn", "TalkOptions", "Terms", "Through", "converse")
