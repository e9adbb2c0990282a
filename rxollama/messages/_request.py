"""Requests: everything that a chat or a generation may be asked for, checked before it is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from types import UnionType
from typing import Any, Literal, TypeAlias, TypedDict

import msgspec
from msgspec.structs import force_setattr

from rxollama._checks import (
    check_flag,
    check_format,
    check_keep_alive,
    check_model,
    check_options,
    check_text,
    check_think,
    check_tools,
    check_top_logprobs,
)
from rxollama._invalid_value import invalid_value
from rxollama.messages._image import Image, encode_images
from rxollama.messages._message import Messages, read_messages

__all__ = ("ChatOptions", "ChatRequest", "Format", "GenerateRequest", "KeepAlive", "Options", "Think", "ToolSchemas")

Think: TypeAlias = 'bool | Literal["low", "medium", "high", "max"]'
"""Whether, or how hard, the model is to think."""

Format: TypeAlias = 'Literal["json"] | Mapping[str, Any] | type[Any] | UnionType'
"""What the answer is to be: any JSON, or JSON of a schema, or of the schema that a type has."""

KeepAlive: TypeAlias = "float | str | timedelta"
"""How long the model stays loaded: seconds, a Go duration with units, a timedelta; negative for ever, 0 not at all."""

Options: TypeAlias = "Mapping[str, Any]"
"""Model options such as `temperature` or `num_ctx`, by Ollama's names."""

ToolSchemas: TypeAlias = "Iterable[Mapping[str, Any]]"
"""Tools in Ollama's own shape."""


class ChatOptions(TypedDict, total=False):
    """
    Hold what a chat may be given beside its model, messages and tools; see `ChatRequest`.

    .. versionadded:: 0.1
    """

    format: Format | None
    options: Options | None
    think: Think | None
    keep_alive: KeepAlive | None
    stream: bool
    logprobs: bool | None
    top_logprobs: int | None
    truncate: bool | None
    shift: bool | None


class _Request(msgspec.Struct, frozen=True, kw_only=True, repr_omit_defaults=True):
    """Hold what both kinds of request have."""

    model: str
    stream: bool = True
    format: Format | None = None
    keep_alive: KeepAlive | None = None
    options: Options | None = None
    think: Think | None = None
    truncate: bool | None = None
    shift: bool | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    debug_render_only: bool | None = None

    def __post_init__(self) -> None:
        """Refuse what the server would refuse."""
        check_model(self.model)
        if not isinstance(self.stream, bool):
            raise invalid_value("stream", self.stream, "a bool")
        for flag in ("truncate", "shift", "logprobs", "debug_render_only"):
            check_flag(flag, getattr(self, flag))
        check_think(self.think)
        check_top_logprobs(self.top_logprobs, self.logprobs)
        force_setattr(self, "format", check_format(self.format))
        force_setattr(self, "options", check_options(self.options))
        force_setattr(self, "keep_alive", check_keep_alive(self.keep_alive))


class ChatRequest(_Request, frozen=True, kw_only=True, repr_omit_defaults=True):
    """
    Be one request of a chat, with every field of `POST /api/chat`.

    What the fields mean to the server: https://github.com/ollama/ollama/blob/main/docs/api.md#generate-a-chat-completion.

    Args:
        model: The model's name.
        messages: A user's text, a message, or several, as values or as dicts in Ollama's shape; none loads the model.
        stream: Whether the answer comes in pieces; False brings it as one chunk.
        tools: Tools the model may call, in Ollama's shape.
        format: "json", or what the answer must follow: a JSON schema, or a type (of msgspec, a dataclass, a TypedDict,
            a model of pydantic, or a list or union of such), of which the request keeps the schema.
        keep_alive: How long the model stays loaded.
        options: Model options by Ollama's names.
        think: Whether or how hard to think; None leaves it to the server, which lets thinking models think.
        truncate: Whether to drop the oldest messages that do not fit.
        shift: Whether to make room while answering; changing it between requests reloads the model.
        logprobs: Whether to bring each token's probability.
        top_logprobs: How many alternatives to bring with each, 0 to 20.
        debug_render_only: Whether to bring the rendered prompt instead of an answer.

    Raises:
        InvalidValueError: When a field is wrong, naming it, what was given and what is allowed.

    .. versionadded:: 0.1
    """

    messages: Messages
    tools: ToolSchemas | None = None

    def __post_init__(self) -> None:
        """Refuse what the server would refuse, and read the messages."""
        super().__post_init__()
        force_setattr(self, "messages", read_messages(self.messages))
        force_setattr(self, "tools", check_tools(self.tools))


class GenerateRequest(_Request, frozen=True, kw_only=True, repr_omit_defaults=True):
    """
    Be one request of a bare generation: every field of `POST /api/generate` but the deprecated `context`.

    Args:
        model: See `ChatRequest`, as all that is not named here.
        prompt: The prompt; an empty one loads the model.
        suffix: What is to follow the answer, for models that fill in the middle.
        system: A system prompt instead of the model's own.
        template: A prompt template instead of the model's own.
        raw: Whether the prompt goes to the model as it is.
        images: Images for a model that sees.

    Raises:
        InvalidValueError: When a field is wrong, naming it, what was given and what is allowed.

    .. versionadded:: 0.1
    """

    prompt: str = ""
    suffix: str | None = None
    system: str | None = None
    template: str | None = None
    raw: bool | None = None
    images: Iterable[Image] = ()

    def __post_init__(self) -> None:
        """Refuse what the server would refuse, and encode the images."""
        super().__post_init__()
        check_text("prompt", self.prompt)
        for field in ("suffix", "system", "template"):
            if (text := getattr(self, field)) is not None:
                check_text(field, text)
        check_flag("raw", self.raw)
        if self.raw and (self.system or self.template):
            raise invalid_value("raw", True, "False beside system= or template=")
        force_setattr(self, "images", encode_images(self.images))
