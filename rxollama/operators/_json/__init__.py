"""JSON that is read while it is written: in pieces, each of which is looked at once. No Rx."""

from ._faults import JsonFault
from ._reader import JsonReader

__all__ = ("JsonFault", "JsonReader")
