"""The values: messages, chunks, requests, responses, metrics and events."""

from rxollama._public import publish
from rxollama.messages._backlog import Backlog, Latest, Queue, is_summable
from rxollama.messages._batch import Batch, ChunkBatch, PlainRecord, TextBatch, text_chunk
from rxollama.messages._catalog import Embeddings, ModelCard, ModelDetails, ModelEntry, Progress, RunningModel
from rxollama.messages._chunk import ChatChunk, Logprob, TokenLogprob, metrics_of
from rxollama.messages._context import ContextUse, context_use_of, fewest_tokens
from rxollama.messages._events import (
    ChatEvent,
    ContentDelta,
    ContentEnded,
    ContentStarted,
    Finished,
    Restarted,
    ThinkingDelta,
    ThinkingEnded,
    ThinkingStarted,
    ToolCalled,
    ToolFailed,
    ToolProgressed,
    ToolReturned,
)
from rxollama.messages._image import Image
from rxollama.messages._message import Function, Message, Messages, ToolCall, read_messages
from rxollama.messages._message_boundary import MessageBoundary
from rxollama.messages._meter_reading import MeterPhase, MeterReading
from rxollama.messages._metrics import ClientTiming, Metrics
from rxollama.messages._model_options import ModelOptions, Options, read_options
from rxollama.messages._partial_json import PartialJson, partial_of
from rxollama.messages._request import (
    AfterBreak,
    ChatOptions,
    ChatRequest,
    Format,
    GenerateRequest,
    KeepAlive,
    OnTruncated,
    Think,
    ToolSchemas,
)
from rxollama.messages._request_checks import read_keep_alive
from rxollama.messages._response import ChatResponse, ResponseBuilder
from rxollama.messages._restart import Restart
from rxollama.messages._stream_total import StreamTotal
from rxollama.messages._value import SupportsModelDump, Value

__all__ = (
    "AfterBreak",
    "Backlog",
    "Batch",
    "ChatChunk",
    "ChatEvent",
    "ChatOptions",
    "ChatRequest",
    "ChatResponse",
    "ChunkBatch",
    "ClientTiming",
    "ContentDelta",
    "ContentEnded",
    "ContentStarted",
    "ContextUse",
    "Embeddings",
    "Finished",
    "Format",
    "Function",
    "GenerateRequest",
    "Image",
    "KeepAlive",
    "Latest",
    "Logprob",
    "Message",
    "MessageBoundary",
    "Messages",
    "MeterPhase",
    "MeterReading",
    "Metrics",
    "ModelCard",
    "ModelDetails",
    "ModelEntry",
    "ModelOptions",
    "OnTruncated",
    "Options",
    "PartialJson",
    "PlainRecord",
    "Progress",
    "Queue",
    "ResponseBuilder",
    "Restart",
    "Restarted",
    "RunningModel",
    "StreamTotal",
    "SupportsModelDump",
    "TextBatch",
    "Think",
    "ThinkingDelta",
    "ThinkingEnded",
    "ThinkingStarted",
    "TokenLogprob",
    "ToolCall",
    "ToolCalled",
    "ToolFailed",
    "ToolProgressed",
    "ToolReturned",
    "ToolSchemas",
    "Value",
    "context_use_of",
    "fewest_tokens",
    "is_summable",
    "metrics_of",
    "partial_of",
    "read_keep_alive",
    "read_messages",
    "read_options",
    "text_chunk",
)

publish(globals())
