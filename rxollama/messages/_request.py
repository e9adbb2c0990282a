"""Requests: the fields of a chat or a generation, checked before they are sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, Unpack

import msgspec
from msgspec.structs import force_setattr

from rxollama._checks import check_choice, check_count, check_flag, check_name, check_text
from rxollama._invalid_value import invalid_value
from rxollama.messages._image import Image, encode_images
from rxollama.messages._message import Message, Messages, read_messages
from rxollama.messages._model_options import ModelOptions, Options, extra_options, known_options
from rxollama.messages._request_checks import (
    check_format,
    check_think,
    check_tools,
    check_top_logprobs,
    read_keep_alive,
)
from rxollama.messages._value import SupportsModelDump, Value, plain

__all__ = (
    "AfterBreak",
    "ChatOptions",
    "ChatRequest",
    "Format",
    "GenerateRequest",
    "KeepAlive",
    "OnTruncated",
    "Think",
    "ToolSchemas",
)

Think: TypeAlias = 'bool | Literal["low", "medium", "high", "max"]'
"""Whether a model thinks before it answers, or how hard."""

Format: TypeAlias = 'Literal["json"] | Mapping[str, Any] | type[Any] | UnionType'
"""The form of the answer: "json" for any JSON, a JSON schema, or a type that has one."""

KeepAlive: TypeAlias = "float | str | timedelta"
"""
How long a model stays loaded after the request.

A number of seconds, a Go duration with units such as "5m", or a timedelta. 0 unloads the model at once, and a negative
time keeps it loaded without a limit.
"""

AfterBreak: TypeAlias = 'Literal["raise", "restart", "continue"]'
"""The way to treat an answer that breaks: the error, the same request again, or a request for the rest."""

OnTruncated: TypeAlias = 'Literal["warn", "raise", "ignore"]'
"""The way to treat a prompt that the server cut: a warning, an error after the answer, or nothing."""

ToolSchemas: TypeAlias = "Iterable[Mapping[str, Any] | SupportsModelDump]"
"""Tools in Ollama's own shape, as dicts or as models of pydantic such as `ollama.Tool`."""


class _RequestOptions(TypedDict, total=False):
    """The arguments that both kinds of request have."""

    format: Format | None
    options: Options | None
    extra: Mapping[str, Any] | None
    think: Think | None
    keep_alive: KeepAlive | None
    stream: bool
    logprobs: bool | None
    top_logprobs: int | None
    truncate: bool | None
    shift: bool | None
    on_truncated: OnTruncated | None


class ChatOptions(_RequestOptions, total=False):
    """
    The arguments of a chat beside its model, messages and tools; see `ChatRequest`.

    .. versionadded:: 0.1
    """

    after_break: AfterBreak | None
    max_thinking: int | None


class _Request(Value, frozen=True, kw_only=True):
    """The fields of both kinds of request."""

    model: str
    stream: bool = True
    format: dict[str, Any] | str | None = None
    keep_alive: float | str | None = None
    options: ModelOptions | None = None
    extra: dict[str, Any] | None = None
    think: Think | None = None
    truncate: bool | None = None
    shift: bool | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    debug_render_only: bool | None = msgspec.field(default=None, name="_debug_render_only")
    # The options under such names are the client's own. They are never sent.
    on_truncated: OnTruncated | None = msgspec.field(default=None, name="(on_truncated)")

    def __post_init__(self) -> None:
        """Check the fields, and keep copies of what a caller could change."""
        force_setattr(self, "model", check_name("model", self.model))
        check_flag("stream", self.stream, none=False)
        for flag in ("truncate", "shift", "logprobs", "debug_render_only"):
            check_flag(flag, getattr(self, flag))
        check_choice("on_truncated", self.on_truncated, ("warn", "raise", "ignore"))
        check_think(self.think)
        check_top_logprobs(self.top_logprobs, self.logprobs)
        force_setattr(self, "format", check_format(self.format))
        force_setattr(self, "options", known_options(self.options))
        force_setattr(self, "extra", extra_options(self.extra))
        force_setattr(self, "keep_alive", read_keep_alive(self.keep_alive))

    def to_dict(self) -> dict[str, Any]:
        """
        Return the request as a dict that any JSON library can write.

        Returns:
            The fields under Ollama's names, *extra* among the options. Fields that have their default are left out,
            and so are the client's own options, which are not sent.

        .. versionadded:: 0.1
        """
        fields: dict[str, Any] = {name: value for name, value in plain(self).items() if not name.startswith("(")}
        if options := {**fields.pop("options", {}), **fields.pop("extra", {})}:
            fields["options"] = options
        return fields


class ChatRequest(_Request, frozen=True, kw_only=True):
    """
    A request of a chat, with every field of `POST /api/chat`.

    The server's own description: https://github.com/ollama/ollama/blob/main/docs/api.md#generate-a-chat-completion.
    The fields hold what their types say: messages are read, a type becomes its schema, dicts are copied.

    Args:
        model: The name of the model, such as `qwen3` or `qwen3:8b`.
        messages: The messages, see `Messages`. Without any, the request loads the model.
        tools: Tools that the model may call, in Ollama's shape.
        stream: Whether the answer arrives as it is generated. False gives it as one chunk.
        format: The form of the answer: "json", a JSON schema, or a type (of msgspec, a dataclass, a TypedDict, a model
            of pydantic, or a list or union of these). A type becomes its schema.
        keep_alive: How long the model stays loaded afterwards: seconds, a duration such as "5m", or a timedelta.
        options: Options of the model, see `ModelOptions`. An unknown name is refused.
        extra: More options of the model, of any name. They go over *options*.
        think: Whether the model thinks first, or how hard. None leaves it to the server: thinking models think.
        truncate: Whether the server drops the oldest messages that do not fit into the context.
        shift: Whether the server drops old tokens to make room while it answers. Another value reloads the model.
        on_truncated: What happens if the server cut the prompt to fit into the context: "warn", "raise" or "ignore". It
            is not sent. None means "warn".
        after_break: What happens if the answer breaks, see `Ollama.chat`: "raise", "restart" or "continue". It is not
            sent. None leaves it to the transport, and means "raise" for one server.
        max_thinking: The most tokens that the model may think, see `Ollama.chat`. It is not sent. None for no limit.
        logprobs: Whether to return the log probability of each token.
        top_logprobs: How many alternatives to return for each token, 0 to 20. It needs *logprobs*.
        debug_render_only: Whether to return the rendered prompt instead of an answer.

    Raises:
        InvalidValueError: If a field is wrong. It names the field, what was expected and what was given.

    .. versionadded:: 0.1
    """

    messages: tuple[Message, ...]
    tools: tuple[dict[str, Any], ...] = ()
    # These two are never sent, as `on_truncated`.
    after_break: AfterBreak | None = msgspec.field(default=None, name="(after_break)")
    max_thinking: int | None = msgspec.field(default=None, name="(max_thinking)")

    if TYPE_CHECKING:
        # A caller may give more than the fields hold.
        def __init__(
            self,
            *,
            model: str,
            messages: Messages,
            tools: ToolSchemas | None = None,
            debug_render_only: bool | None = None,
            **options: Unpack[ChatOptions],
        ) -> None: ...

    def __post_init__(self) -> None:
        """Check the fields, and read the messages and tools."""
        super().__post_init__()
        force_setattr(self, "messages", read_messages(self.messages))
        force_setattr(self, "tools", check_tools(self.tools))
        check_choice("after_break", self.after_break, ("raise", "restart", "continue"))
        if self.max_thinking is not None:
            check_count("max_thinking", self.max_thinking)
            if not self.stream:
                raise invalid_value("max_thinking", self.max_thinking, "None beside stream=False")


class GenerateRequest(_Request, frozen=True, kw_only=True):
    """
    A request of a bare generation: every field of `POST /api/generate` but the deprecated `context`.

    The arguments that are not named here are those of `ChatRequest`.

    Args:
        model: The name of the model.
        prompt: The prompt. An empty one loads the model.
        suffix: The text after the answer, for models that fill in the middle.
        system: A system prompt in place of the model's own.
        template: A prompt template in place of the model's own.
        raw: Whether the prompt goes to the model without a template.
        images: Images for a model that sees.

    Raises:
        InvalidValueError: If a field is wrong. It names the field, what was expected and what was given.

    .. versionadded:: 0.1
    """

    prompt: str = ""
    suffix: str | None = None
    system: str | None = None
    template: str | None = None
    raw: bool | None = None
    images: tuple[str, ...] = ()

    if TYPE_CHECKING:
        # A caller may give more than the fields hold.
        def __init__(
            self,
            *,
            model: str,
            prompt: str = "",
            suffix: str | None = None,
            system: str | None = None,
            template: str | None = None,
            raw: bool | None = None,
            images: Iterable[Image] = (),
            debug_render_only: bool | None = None,
            **options: Unpack[_RequestOptions],
        ) -> None: ...

    def __post_init__(self) -> None:
        """Check the fields, and encode the images."""
        super().__post_init__()
        force_setattr(self, "prompt", check_text("prompt", self.prompt))
        for field in ("suffix", "system", "template"):
            if (text := getattr(self, field)) is not None:
                force_setattr(self, field, check_text(field, text))
        check_flag("raw", self.raw)
        if self.raw and (self.system or self.template):
            raise invalid_value("raw", True, "False beside system= or template=")
        force_setattr(self, "images", encode_images(self.images))
