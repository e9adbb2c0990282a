"""Chunks, and their sum."""

from __future__ import annotations

from io import StringIO
from typing import Any

import msgspec

from rxollama.messages._message import Message, ToolCall
from rxollama.messages._metrics import ClientTiming, Metrics
from rxollama.messages._restart import Restart
from rxollama.messages._value import Value, plain

__all__ = ("ChatChunk", "ChunkSum", "Logprob", "Mark", "TokenLogprob", "continues", "metrics_of")


class TokenLogprob(Value, frozen=True, gc=False):
    """
    The log probability of a token.

    Args:
        token: The text of the token.
        logprob: The natural logarithm of its probability.
        bytes: The token in UTF-8; None if the server leaves it out.

    .. versionadded:: 0.1
    """

    token: str = ""
    logprob: float = 0.0
    bytes: tuple[int, ...] | None = None


class Logprob(TokenLogprob, frozen=True, gc=False):
    """
    The log probability of the chosen token, and of its alternatives.

    Args:
        token: The text of the token.
        logprob: The natural logarithm of its probability.
        bytes: The token in UTF-8; None if the server leaves it out.
        top_logprobs: The most likely tokens at this position, if the request asked for them.

    .. versionadded:: 0.1
    """

    top_logprobs: tuple[TokenLogprob, ...] = ()


class ChatChunk(Value, frozen=True, kw_only=True, gc=False):
    """
    One record of a chat stream, under Ollama's own names.

    Chunks add up: `a + b` holds what both hold, and `ChatChunk()` adds nothing. Texts, images, tool calls and logprobs
    are joined. The role is the first that is named. Every other field is the later chunk's, unless that is empty.
    `done_reason`, the numbers and `client` count on a `done` chunk only. A chunk with `restart` absorbs what came
    before it: the answer begins over.

    Args:
        model: The name of the model, as the request named it.
        created_at: The time at which the server made the record, as it wrote it.
        message: The part that this chunk adds. It reads as thinking, then content, then tool calls.
        done: Whether this chunk ends the message.
        done_reason: Why it ended. The server's words are `stop`, `length` (at `num_predict` or the context limit),
            `load` and `unload` (nothing was generated), or any that newer servers use. Where there was a prompt, the
            client replaces `stop` with `empty` if there is neither thinking, content nor a tool call, and `stop` or
            `length` with `thinking_only` if there is only thinking.
        logprobs: The log probabilities of tokens. They need not belong to the content of the same chunk.
        remote_model: The name at the remote host, if a cloud model was requested by its local name.
        remote_host: The remote host.
        total_duration: See `Metrics`, as for all numbers.
        load_duration: In nanoseconds.
        prompt_eval_count: In tokens.
        prompt_eval_cached_count: In tokens; None if the server does not say.
        prompt_eval_duration: In nanoseconds.
        eval_count: In tokens.
        eval_duration: In nanoseconds.
        debug_info: The rendered prompt, if `debug_render_only` asked for it.
        client: The measurements of the client, on the last chunk of an answer.
        tool_failed: With the role `tool`: whether the tool failed.
        tool_progress: With the role `tool`: the progress of a running tool. It is not part of the result.
        restart: The mark of a chunk with which the answer begins over; None for any other.

    .. versionadded:: 0.1
    """

    model: str = ""
    created_at: str = ""
    message: Message = Message()
    done: bool = False
    done_reason: str = ""
    logprobs: tuple[Logprob, ...] = ()
    remote_model: str = ""
    remote_host: str = ""
    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0
    prompt_eval_cached_count: int | None = None
    prompt_eval_duration: int = 0
    eval_count: int = 0
    eval_duration: int = 0
    debug_info: dict[str, Any] | None = msgspec.field(default=None, name="_debug_info")
    # The last four are the client's own. A server cannot set them under these names; `to_dict` uses plain ones.
    client: ClientTiming | None = msgspec.field(default=None, name="(client)")
    tool_failed: bool = msgspec.field(default=False, name="(tool_failed)")
    tool_progress: str = msgspec.field(default="", name="(tool_progress)")
    restart: Restart | None = msgspec.field(default=None, name="(restart)")

    @property
    def visible(self) -> bool:
        """Whether it has thinking, content or a tool call."""
        message = self.message
        return bool(message.content or message.thinking or message.tool_calls)

    @property
    def is_tool_progress(self) -> bool:
        """Whether it is only the progress of a running tool, which belongs to no message."""
        return bool(self.tool_progress) and self.message.role == "tool" and not (self.done or self.visible)

    @property
    def metrics(self) -> Metrics | None:
        """The numbers of the answer, if it is done."""
        return metrics_of(self) if self.done else None

    def __add__(self, other: ChatChunk) -> ChatChunk:
        """Return the chunk that holds what both hold."""
        if not isinstance(other, ChatChunk):
            return NotImplemented
        total = ChunkSum()
        total.add(self)
        total.add(other)
        return total.total()

    def to_dict(self) -> dict[str, Any]:
        """
        Return the chunk as a dict that any JSON library can write.

        Returns:
            The fields under Ollama's names, and `client`, `tool_failed`, `tool_progress` and `restart`, which are the
            client's own. Fields that have their default are left out.

        .. versionadded:: 0.1
        """
        return {name.strip("()"): value for name, value in plain(self).items()}


_NOTHING = ChatChunk()
_NUMBERS = (
    "total_duration",
    "load_duration",
    "prompt_eval_count",
    "prompt_eval_cached_count",
    "prompt_eval_duration",
    "eval_count",
    "eval_duration",
)


def metrics_of(chunk: ChatChunk, timing: ClientTiming | None = None) -> Metrics:
    """
    Return the metrics of a done chunk.

    Args:
        chunk: The chunk.
        timing: The measurements of the client, if the chunk itself does not hold it.

    .. versionadded:: 0.1
    """
    seen = chunk.client or timing or ClientTiming()
    numbers = {name: getattr(chunk, name) for name in _NUMBERS}
    return Metrics(**msgspec.structs.asdict(seen), **numbers)


_THINKING, _CONTENT, _CALLS = 1, 2, 3


class Mark(msgspec.Struct, frozen=True, gc=False):
    """The length of a sum at a moment, and its role."""

    role: str
    content: int
    thinking: int
    images: int
    calls: int
    logprobs: int
    tool_name: str
    tool_call_id: str


class ChunkSum:
    """
    The sum of chunks, in time linear in their text and in memory near its size.

    The texts only grow, so their lengths are a snapshot of them, until a chunk with `restart` is added.
    """

    __slots__ = (
        "_calls",
        "_content",
        "_done",
        "_images",
        "_logprobs",
        "_order",
        "_rare",
        "_restart",
        "_thinking",
        "created_at",
        "model",
        "role",
        "tool_call_id",
        "tool_name",
    )

    model: str
    created_at: str
    role: str
    tool_name: str
    tool_call_id: str

    def __init__(self) -> None:
        self._content, self._thinking = StringIO(), StringIO()
        self._order = 0
        self._images: list[str] = []
        self._calls: list[ToolCall] = []
        self._logprobs: list[Logprob] = []
        self._done = self._rare = _NOTHING
        self._restart: Restart | None = None
        self.model = self.created_at = self.role = self.tool_name = self.tool_call_id = ""

    def speaks_for(self, message: Message) -> bool:
        """Return whether a message continues this sum's, which has not ended; see `MessageBoundary`."""
        if self._done.done:
            return False
        return continues(message, self.role, self.tool_name, self.tool_call_id, self._order > 0)

    def accepts(self, item: object) -> bool:
        """Return whether adding an item keeps the reading order and stays within the message."""
        if not isinstance(item, ChatChunk) or item.restart is not None:
            return False
        message = item.message
        latest = _THINKING if message.thinking else _CONTENT if message.content else _CALLS
        return self._order <= latest and self.speaks_for(message)

    def goes_on(self, item: object) -> bool:
        """
        Add a chunk that only continues the latest text, as nearly all chunks do.

        Any other item is not added, and the result is False. `accepts` then decides about it.
        """
        if not isinstance(item, ChatChunk):
            return False
        message = item.message
        if (
            message.role != self.role
            or item.done
            or self._done is not _NOTHING
            or message.tool_calls
            or item.logprobs
            or message.tool_name
            or message.tool_call_id
            or message.images
            or item.remote_host
            or item.remote_model
            or item.tool_failed
            or item.tool_progress
            or item.debug_info is not None
            or item.restart is not None
        ):
            return False
        if message.content:
            if self._order != _CONTENT or message.thinking:
                return False
            self._content.write(message.content)
        elif message.thinking:
            if self._order != _THINKING:
                return False
            self._thinking.write(message.thinking)
        self.model = item.model or self.model
        self.created_at = item.created_at or self.created_at
        return True

    def add(self, chunk: ChatChunk) -> None:
        """Add a chunk in any reading order. One that begins the answer over replaces all that came before."""
        if chunk.restart is not None:
            restart = chunk.restart.after(self._restart)
            self.__init__()  # type: ignore[misc] # It is as if nothing had come before.
            self._restart = restart
        message = chunk.message
        if message.thinking:
            self._thinking.write(message.thinking)
            self._order = _THINKING
        if message.content:
            self._content.write(message.content)
            self._order = _CONTENT
        if message.tool_calls:
            self._calls += message.tool_calls
            self._order = _CALLS
        if chunk.logprobs:
            self._logprobs += chunk.logprobs
        self.model = chunk.model or self.model
        self.created_at = chunk.created_at or self.created_at
        if not self.role:
            self.role = message.role
        if message.tool_name or message.tool_call_id or message.images:
            self.tool_name = self.tool_name or message.tool_name
            self.tool_call_id = self.tool_call_id or message.tool_call_id
            self._images += message.images
        if chunk.done:
            self._done = chunk
        odd = chunk.remote_host or chunk.remote_model or chunk.tool_failed or chunk.tool_progress
        if odd or chunk.debug_info is not None:
            self._rare = _later(self._rare, chunk)

    def mark(self) -> Mark:
        """Return the current lengths."""
        return Mark(
            self.role,
            self._content.tell(),
            self._thinking.tell(),
            len(self._images),
            len(self._calls),
            len(self._logprobs),
            self.tool_name,
            self.tool_call_id,
        )

    def message(self, mark: Mark, unnamed: str = "assistant") -> Message:
        """Return the message as it was at a mark; *unnamed* is its role if it named none."""
        return Message(
            mark.role or unnamed,
            self._content.getvalue()[: mark.content],
            self._thinking.getvalue()[: mark.thinking],
            tuple(self._images[: mark.images]),
            tuple(self._calls[: mark.calls]),
            mark.tool_name,
            mark.tool_call_id,
        )

    def logprobs(self, mark: Mark) -> tuple[Logprob, ...]:
        """Return the logprobs as they were at a mark."""
        return tuple(self._logprobs[: mark.logprobs])

    @property
    def failed(self) -> bool:
        """Whether the tool failed, if this is its result."""
        return self._rare.tool_failed

    def total(self) -> ChatChunk:
        """Return the chunk that holds what all of them hold."""
        mark, rare = self.mark(), self._rare
        return msgspec.structs.replace(
            self._done,
            model=self.model,
            created_at=self.created_at,
            message=self.message(mark, unnamed=""),
            logprobs=self.logprobs(mark),
            remote_model=rare.remote_model,
            remote_host=rare.remote_host,
            debug_info=rare.debug_info,
            tool_failed=rare.tool_failed,
            tool_progress=rare.tool_progress,
            restart=self._restart,
        )


def _later(one: ChatChunk, other: ChatChunk) -> ChatChunk:
    return ChatChunk(
        remote_model=other.remote_model or one.remote_model,
        remote_host=other.remote_host or one.remote_host,
        debug_info=one.debug_info if other.debug_info is None else other.debug_info,
        tool_failed=other.tool_failed or one.tool_failed,
        tool_progress=other.tool_progress or one.tool_progress,
    )


def continues(message: Message, role: str, tool_name: str, tool_call_id: str, has_spoken: bool) -> bool:
    """
    Return whether a message continues the one before: the same role, and the same tool call.

    Args:
        message: The next chunk's message.
        role: The role of the message before; empty if it named none.
        tool_name: The name of its tool, if it is a result.
        tool_call_id: The id of the call that it answers, if it is a result.
        has_spoken: Whether it has text or calls; without a role, those are the assistant's.
    """
    if message.role != role and message.role and (role or (has_spoken and message.role != "assistant")):
        return False
    return _agree(tool_name, message.tool_name) and _agree(tool_call_id, message.tool_call_id)


def _agree(one: str, other: str) -> bool:
    return one == other or not (one and other)
