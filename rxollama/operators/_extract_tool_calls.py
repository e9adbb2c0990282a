"""The operator `extract_tool_calls`, for models that write a tool call into their content."""

from __future__ import annotations

from msgspec.structs import replace
from reactivex import Observable, abc

from .._checks import is_mapping
from .._runtime import Operator, Sink, Stream, batch_path, chunks_of, emit_and_end
from ..messages import ChatChunk, ChunkBatch, Message, MessageBoundary, Restart, StreamTotal, ToolCall
from ..tools import Tool, Tools, tools_of
from ._call_reader import CallReader

__all__ = ("extract_tool_calls",)


def extract_tool_calls(tools: Tools) -> Operator[ChatChunk, ChatChunk]:
    """
    Turn a tool call that a model writes as text into a tool call.

    Some models, such as Qwen 2.5 Coder, print a call as JSON, and the server takes it for an answer. The whole content
    of a message must be one call or a list of calls of offered tools: bare JSON, in `<tool_call>` tags, in a Markdown
    fence, or behind the mark of Llama, Mistral or Phi. Everything else stays text, to the character. Chunks are held
    back only while their text may be a call, so prose is passed on at once. In a conversation, the tool runs, and the
    history that is sent back has the call in the place of the text:
    `ollama.converse(model, messages, tools=tools, through=op.extract_tool_calls(tools))`.

    .. marbles::

        --a--b------c--d--e------|
        extract_tool_calls([TOOL])
        -----(a,b)--------(C,e)--|

        a = ChatChunk(message=Message("assistant", "{"))
        b = ChatChunk(message=Message("assistant", "x} is a set."), done=True)
        c = ChatChunk(message=Message("assistant", '{"name": "get_time", '))
        d = ChatChunk(message=Message("assistant", '"arguments": {"city": "Oslo"}}'))
        e = ChatChunk(message=Message("assistant"), done=True)
        C = ChatChunk(message=Message("assistant", tool_calls=(CALL,)))
        CALL = ToolCall(Function("get_time", {"city": "Oslo"}, 0))
        TOOL = {"type": "function", "function": {"name": "get_time", "parameters": {"properties": {"city": {}}}}}

    Args:
        tools: The tools that the request offers, as for `converse`: functions, schemas in Ollama's shape, and `Tool`
            values.

    Returns:
        An operator from a chat to a chat. The calls are emitted in one chunk, in the place of the text, before the
        `done` chunk. They have the ids that the model wrote, or none. A call that lacks a required argument is a call:
        a conversation tells the model what is missing. A call with an argument that the tool does not have is text,
        and so is a call of another tool. A message that has a tool call of its own is passed on as it is, and thinking
        always is.

    Raises:
        InvalidValueError: If *tools* are not tools; in `pipe`, if the source does not carry chunks.

    Completes: with the source, after the calls or the chunks that were held back.
    Errors: with the source, after the chunks that were held back, as text: a call of an unfinished message should not
        be run.
    Disposed: the source is disposed; the chunks that were held back are dropped.

    .. versionadded:: 0.1
    """
    offered = {tool.name: _parameters_of(tool) for tool in tools_of(tools)}

    def apply(source: Observable[ChatChunk]) -> Stream[ChatChunk]:
        source = chunks_of(source, "extract_tool_calls()")

        def subscribe(
            observer: abc.ObserverBase[ChatChunk], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            extraction = _CallExtraction(CallReader(offered))
            add, emit = extraction.add, observer.on_next
            ready_below, absorb_below = batch_path(observer)

            def on_next(chunk: ChatChunk) -> None:
                for extracted in add(chunk):
                    emit(extracted)

            def ready(batch: ChunkBatch) -> bool:
                return extraction.passes(batch) and ready_below(batch)

            def on_error(error: Exception) -> None:
                emit_and_end(observer, extraction.release(), error)

            def on_completed() -> None:
                emit_and_end(observer, extraction.end())

            return source.subscribe(Sink(on_next, on_error, on_completed, ready, absorb_below), scheduler=scheduler)

        return Stream(subscribe, items=ChatChunk, deltas=True)

    return apply


def _parameters_of(tool: Tool) -> frozenset[str] | None:
    """Return the names of a tool's parameters; None if it takes any."""
    schema = tool.schema["function"].get("parameters")
    properties = schema.get("properties") if is_mapping(schema) else None
    if not is_mapping(properties) or schema.get("additionalProperties", False) is not False:
        return None
    return frozenset(properties)


class _CallExtraction:
    """
    The state of one stream: the current message, and the chunks that are held back.

    The law: either the chunks of a message are emitted as they came, or one chunk with its calls takes the place of
    those with its content. A chunk with thinking and content may become two.
    """

    __slots__ = ("_boundary", "_held", "_is_text", "_reader")

    def __init__(self, reader: CallReader) -> None:
        self._reader = reader
        self._boundary = MessageBoundary()
        self._held: list[ChatChunk] = []
        self._is_text = False

    def passes(self, batch: ChunkBatch) -> bool:
        """Return whether a batch continues the message and is passed on as it is."""
        return self._boundary.role == "assistant" and (self._is_text or not (self._held or batch.content))

    def add(self, chunk: ChatChunk) -> tuple[ChatChunk, ...]:
        """Add a chunk, and return the chunks that are decided by now."""
        boundary = self._boundary
        if chunk.restart is not None:
            chunk = self._begin_over(chunk, chunk.restart)
        if chunk.is_tool_progress:
            return (chunk,)
        ended = self.end() if boundary.changes(chunk) else ()
        is_text = self._is_text or boundary.role not in {"", "assistant"}
        added = (chunk,) if is_text else self._add(chunk)
        if chunk.done:
            boundary.restart()
            self._begin()
        return (*ended, *added) if ended else added

    def end(self) -> tuple[ChatChunk, ...]:
        """End the message, and return the chunk of its calls, or the chunks that were held back."""
        calls = () if self._is_text else self._reader.end()
        decided = (self._called(calls),) if calls else tuple(self._held)
        self._begin()
        return decided

    def release(self) -> tuple[ChatChunk, ...]:
        """Return the chunks that were held back: the message is text."""
        held = tuple(self._held)
        self._held.clear()
        self._is_text = True
        return held

    def _begin(self) -> None:
        self._reader.restart()
        self._held.clear()
        self._is_text = False

    def _begin_over(self, chunk: ChatChunk, restart: Restart) -> ChatChunk:
        """Forget the attempt before. Return the chunk, with a mark that counts for what was held back, too."""
        unseen = self._held[0].restart if self._held else None
        self._boundary.restart()
        self._begin()
        return replace(chunk, restart=restart.after(unseen))

    def _add(self, chunk: ChatChunk) -> tuple[ChatChunk, ...]:
        message = chunk.message
        if self._held and message.thinking and not any(held.message.content.strip() for held in self._held):
            # White space before the thinking is no beginning of a call, and does not rule one out behind it.
            blank = self.release()
            self._begin()
            return (*blank, *self._add(chunk))
        if message.tool_calls or (self._held and message.thinking):
            return (*self.release(), chunk)
        if message.content:
            return self._add_content(chunk)
        if self._held and not chunk.done:
            self._held.append(chunk)
            return ()
        return (*self.end(), chunk) if chunk.done else (chunk,)

    def _add_content(self, chunk: ChatChunk) -> tuple[ChatChunk, ...]:
        if not self._reader.feed(chunk.message.content):
            return (*self.release(), chunk)
        calls = self._reader.end() if chunk.done else ()
        if chunk.done and not calls:
            return (*self.release(), chunk)
        before, content, after = _split(chunk)
        self._held.append(content)
        return (*before, self._called(calls), *after) if calls else before

    def _called(self, calls: tuple[ToolCall, ...]) -> ChatChunk:
        """Return the chunk of calls: the sum of the chunks that were held back, with the calls for their content."""
        total: StreamTotal[ChatChunk] = StreamTotal()
        for chunk in self._held:
            total.add(chunk)
        held = total.value
        return replace(held, message=replace(held.message, content="", tool_calls=calls))


def _split(chunk: ChatChunk) -> tuple[tuple[ChatChunk, ...], ChatChunk, tuple[ChatChunk, ...]]:
    """Return what stands before the content of a chunk, the content, and the end of the message behind it."""
    message = chunk.message
    content = _part(chunk, replace(message, thinking=""))
    thinking = _part(chunk, Message(message.role, thinking=message.thinking))
    if not chunk.done:
        return ((replace(chunk, message=thinking.message),), content, ()) if message.thinking else ((), chunk, ())
    end = replace(chunk, message=Message(message.role), logprobs=(), restart=None)
    if not message.thinking:
        return (), replace(content, logprobs=chunk.logprobs, restart=chunk.restart), (end,)
    return (replace(thinking, logprobs=chunk.logprobs, restart=chunk.restart),), content, (end,)


def _part(chunk: ChatChunk, message: Message) -> ChatChunk:
    return ChatChunk(model=chunk.model, created_at=chunk.created_at, message=message)
