"""An incremental JSON reader, without Rx."""

from ._reader import JsonReader
from ._scanners import JsonFault

__all__ = ("JsonFault", "JsonReader")
