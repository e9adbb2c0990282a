"""A chat that runs the tools which the model calls: round by round, as one observable."""

from rxollama._converse._rounds import converse
from rxollama._converse._terms import RaiseOn, Terms, Through

__all__ = ("RaiseOn", "Terms", "Through", "converse")
