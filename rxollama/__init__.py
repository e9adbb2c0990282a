"""Ollama chat streams as ReactiveX observables."""

# The layers; imports only point down, and tests/test_architecture.py says so:
#
#   L4  __init__  cli/  __main__
#   L3  client  conversation/ (a history and its turns)  _calls  testing/
#   L2  _http/ (only importer of httpx)  _default
#       _source (a request as a cold observable)  _subscription
#       tools/ (what a model may call)  _converse/ (asking until it calls no more)
#   L1  operators/  _bridge (run, iterate, aiterate)  _wire/ (bytes to values)  transport (the seam)
#       _host  _arguments  _rx  _witness  _loop
#   L0  errors/  messages/  _schema/ (types as JSON)  _refusal

from rxollama import errors, messages, operators, tools, transport
from rxollama._runtime import aiterate, iterate, run
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
from rxollama.tools import Tool

__all__ = (
    "ChatChunk",
    "ChatRequest",
    "ChatResponse",
    "Conversation",
    "Function",
    "GenerateRequest",
    "Message",
    "Metrics",
    "Ollama",
    "RxOllamaError",
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
