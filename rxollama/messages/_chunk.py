"""The chunk, the one idea of the library: chunks add up."""

from __future__ import annotations

from io import StringIO
from typing import Any

import msgspec

from rxollama.messages._message import Message, ToolCall
from rxollama.messages._metrics import ClientTiming, Metrics

__all__ = ("ChatChunk", "ChunkSum", "Logprob", "TokenLogprob", "continues", "metrics_of")


class TokenLogprob(msgspec.Struct, frozen=True, gc=False, repr_omit_defaults=True):
    """
    Hold how likely a token was.

    Args:
        token: The token's text.
        logprob: The natural logarithm of its probability.
        bytes: The token's UTF-8 bytes; None where the server leaves them out.

    .. versionadded:: 0.1
    """

    token: str = ""
    logprob: float = 0.0
    bytes: tuple[int, ...] | None = None


class Logprob(TokenLogprob, frozen=True, gc=False, repr_omit_defaults=True):
    """
    Hold how likely the chosen token was, and what else was likely.

    Args:
        token: The token's text.
        logprob: The natural logarithm of its probability.
        bytes: The token's UTF-8 bytes; None where the server leaves them out.
        top_logprobs: The likeliest tokens at this place, if they were asked for.

    .. versionadded:: 0.1
    """

    top_logprobs: tuple[TokenLogprob, ...] = ()


class ChatChunk(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, repr_omit_defaults=True):
    """
    Be one record of a chat stream, under Ollama's own names.

    Chunks add up: `a + b` says what both said, `ChatChunk()` says nothing. Texts, images, tool calls and logprobs are
    joined; who speaks is said by the first that says it; of everything else the later word counts. `done_reason`, the
    numbers and `client` count on a `done` chunk only.

    Args:
        model: The model, by the name that was asked for.
        created_at: When the server made the record, as it wrote it.
        message: What this chunk adds: thinking, content, tool calls, in this order of reading.
        done: Whether this chunk ends the message.
        done_reason: Why it ended: `stop`, `length`, `load`, `unload`, or a word that is not known yet.
        logprobs: Of the tokens so far; they need not align with the content of their chunk.
        remote_model: The model at the remote host, where a cloud model was asked for by its local name.
        remote_host: That host.
        total_duration: See `Metrics`, as all of the numbers.
        load_duration: Nanoseconds.
        prompt_eval_count: Tokens.
        prompt_eval_cached_count: Tokens; None where the server does not tell.
        prompt_eval_duration: Nanoseconds.
        eval_count: Tokens.
        eval_duration: Nanoseconds.
        debug_info: The rendered prompt, where `debug_render_only` asked for it.
        client: What the client saw, on the last chunk of an answer.
        tool_failed: With role `tool`: whether the tool failed.
        tool_progress: With role `tool`: how far it is. It is shown while the tool runs, and is no part of its result.

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
    # The last three are the client's own: under these names no server can set them.
    client: ClientTiming | None = msgspec.field(default=None, name="(client)")
    tool_failed: bool = msgspec.field(default=False, name="(tool_failed)")
    tool_progress: str = msgspec.field(default="", name="(tool_progress)")

    @property
    def visible(self) -> bool:
        """Whether there is something to see: thinking, content or a tool call."""
        message = self.message
        return bool(message.content or message.thinking or message.tool_calls)

    @property
    def is_tool_progress(self) -> bool:
        """Whether this only tells how far a tool is, beside all that is said: it belongs to no message."""
        return bool(self.tool_progress) and self.message.role == "tool" and not (self.done or self.visible)

    @property
    def metrics(self) -> Metrics | None:
        """The answer's numbers, once done."""
        return metrics_of(self) if self.done else None

    def __add__(self, other: ChatChunk) -> ChatChunk:
        """Say in one chunk what both say, this one first."""
        if not isinstance(other, ChatChunk):
            return NotImplemented
        total = ChunkSum()
        total.add(self)
        total.add(other)
        return total.total()


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
    """Gather the numbers of a done chunk; *timing* is what the client saw, where the chunk itself does not say."""
    seen = chunk.client or timing or ClientTiming()
    numbers = {name: getattr(chunk, name) for name in _NUMBERS}
    return Metrics(**msgspec.structs.asdict(seen), **numbers)


_THINKING, _CONTENT, _CALLS = 1, 2, 3


class Mark(msgspec.Struct, frozen=True, gc=False):
    """Say how much of a sum there was at a moment, and who spoke."""

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
    Add up chunks in time linear in their text, and in memory near its size.

    The texts only ever grow, so that their lengths are a snapshot of them.
    """

    __slots__ = (
        "_calls",
        "_content",
        "_done",
        "_images",
        "_logprobs",
        "_order",
        "_rare",
        "_thinking",
        "created_at",
        "model",
        "role",
        "tool_call_id",
        "tool_name",
    )

    def __init__(self) -> None:
        self._content, self._thinking = StringIO(), StringIO()
        self._order = 0
        self._images: list[str] = []
        self._calls: list[ToolCall] = []
        self._logprobs: list[Logprob] = []
        self._done = self._rare = _NOTHING
        self.model = self.created_at = self.role = self.tool_name = self.tool_call_id = ""

    def speaks_for(self, message: Message) -> bool:
        """Return whether a message continues this sum's, which has not ended; see `MessageBoundary`."""
        if self._done.done:
            return False
        return continues(message, self.role, self.tool_name, self.tool_call_id, self._order > 0)

    def accepts(self, item: object) -> bool:
        """Tell whether adding this item keeps the order of reading and the end of the message."""
        if not isinstance(item, ChatChunk):
            return False
        message = item.message
        latest = _THINKING if message.thinking else _CONTENT if message.content else _CALLS
        return self._order <= latest and self.speaks_for(message)

    def goes_on(self, item: object) -> bool:
        """
        Add a chunk that only goes on with the text that came last, as nearly all do.

        Of any other item nothing is taken, and False is told; `accepts` says what may become of it.
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
        """Add a chunk, in whatever order."""
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
        """Remember how much there is now."""
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
        """Put together the message as it was at a mark; *unnamed* is the role of one that named none."""
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
        """Read the logprobs as they were at a mark."""
        return tuple(self._logprobs[: mark.logprobs])

    @property
    def failed(self) -> bool:
        """Whether the tool whose result this is failed."""
        return self._rare.tool_failed

    def total(self) -> ChatChunk:
        """Say in one chunk what all of them said."""
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
