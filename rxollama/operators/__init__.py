"""
The operators on chats, for use in `pipe`.

Each call returns a function from an observable to a `Stream`, so they combine with all of reactivex's operators. They
know values and Rx but not HTTP: they work on `reactivex.of(ChatChunk(...))` as on a live chat.
"""

from .._public import publish
from ._ask import ask
from ._extract import extract_thinking
from ._extract_tool_calls import extract_tool_calls
from ._fallback import fallback
from ._hedge import hedge
from ._log import Logger, log
from ._meter import meter
from ._pace import coalesce, debounce, throttle
from ._reduce import accumulate, collect
from ._retry import retry
from ._share import share
from ._split import content, events, split, thinking
from ._stop_loops import stop_loops
from ._structured import elements, parse, partial_json
from ._timeouts import timeouts
from ._tools import gather_tool_calls, tool_calls

__all__ = (
    "Logger",
    "accumulate",
    "ask",
    "coalesce",
    "collect",
    "content",
    "debounce",
    "elements",
    "events",
    "extract_thinking",
    "extract_tool_calls",
    "fallback",
    "gather_tool_calls",
    "hedge",
    "log",
    "meter",
    "parse",
    "partial_json",
    "retry",
    "share",
    "split",
    "stop_loops",
    "thinking",
    "throttle",
    "timeouts",
    "tool_calls",
)

publish(globals())
