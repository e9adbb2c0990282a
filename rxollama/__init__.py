"""Ollama chat streams as ReactiveX observables."""

# The rooms. Imports only point down; tests/test_architecture.py checks it.
#
#   __main__  cli/                                the command line
#   conversation/  pool/                          a history and its turns | many hosts as one
#   client/                                       the client and its calls
#   _tool_loop/                                   requests until the model calls no more tools
#   tools/  operators/  _http/  _hosts/           what a model may call | what a stream passes through | one host
#   _runtime/  _wire/                             where a stream lives | Ollama's JSON
#   transport  errors/  messages/                 the seam to HTTP | what ends a stream | what a stream carries
#   _checks  _schema/  _invalid_value  testing/   checks of arguments | types as JSON schemas | a scripted server
#   _public                                       the module names of what is public

import sys
from typing import TYPE_CHECKING

from rxollama import errors, messages, operators, tools, transport
from rxollama._public import publish
from rxollama._runtime import Stream, aiterate, iterate, run
from rxollama.client import Ollama
from rxollama.conversation import Conversation
from rxollama.errors import RxOllamaError, StreamError
from rxollama.messages import (
    ChatChunk,
    ChatRequest,
    ChatResponse,
    Function,
    GenerateRequest,
    Message,
    Metrics,
    ToolCall,
)
from rxollama.pool import Host, Pool
from rxollama.tools import Tool

__all__ = (
    "ChatChunk",
    "ChatRequest",
    "ChatResponse",
    "Conversation",
    "Function",
    "GenerateRequest",
    "Host",
    "Message",
    "Metrics",
    "Ollama",
    "Pool",
    "RxOllamaError",
    "Stream",
    "StreamError",
    "Tool",
    "ToolCall",
    "aiterate",
    "errors",
    "iterate",
    "messages",
    "operators",
    "run",
    "tools",
    "transport",
)

publish(globals())

if TYPE_CHECKING:
    __version__: str
else:
    # Hidden from type checkers, which would otherwise accept any attribute of the package.
    def __getattr__(name: str) -> str:
        """Return the installed version as `rxollama.__version__`."""
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name, obj=sys.modules[__name__])
        from importlib.metadata import version  # noqa: PLC0415 - It takes 10 ms to load, and few programs ask for it.

        return version("rxollama")
