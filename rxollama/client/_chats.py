"""The calls that return a stream of chunks: chats, conversations with tools, and generation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Unpack

from rxollama._runtime import Stream, Streams
from rxollama._tool_loop import RaiseOn, Through, ToolLoopOptions, converse
from rxollama.client._endpoints import Endpoints
from rxollama.messages import (
    AfterBreak,
    ChatChunk,
    ChatOptions,
    ChatRequest,
    Format,
    GenerateRequest,
    Image,
    KeepAlive,
    Messages,
    OnTruncated,
    Options,
    Think,
)
from rxollama.tools import Approve, Tools, tools_of

__all__ = ("Chats",)


class Chats(Endpoints):
    """The calls of the client that return a stream of chunks."""

    if TYPE_CHECKING:
        # The client defines these.
        _streams: Streams
        _host: str

    def chat(
        self,
        model: str,
        messages: Messages,
        *,
        tools: Tools | None = None,
        format: Format | None = None,  # noqa: A002 - Ollama's own name.
        options: Options | None = None,
        extra: Mapping[str, Any] | None = None,
        think: Think | None = None,
        keep_alive: KeepAlive | None = None,
        stream: bool = True,
        logprobs: bool | None = None,
        top_logprobs: int | None = None,
        truncate: bool | None = None,
        shift: bool | None = None,
        on_truncated: OnTruncated | None = None,
        after_break: AfterBreak | None = None,
        max_thinking: int | None = None,
        debug_render_only: bool | None = None,
    ) -> Stream[ChatChunk]:
        """
        Chat with a model.

        `chat(tools=)` describes functions to the model, and does not run them. `converse(tools=)` runs them.

        Args:
            model: The name of the model, such as `qwen3` or `qwen3:8b`.
            messages: The messages: a str, which a user says, a `Message`, a dict such as
                `{"role": "user", "content": "Hi"}`, an `ollama.Message`, or a list of these.
            tools: Functions, `Tool`s or schemas that the model may call. Calls arrive in the chunks.
            format: The form of the answer: "json" for any JSON, a JSON schema, or a type that has one (of msgspec, a
                dataclass, a TypedDict, a model of pydantic, or a list or union of these). `op.parse` reads the answer.
            options: Options of the model, such as `{"temperature": 0, "num_ctx": 8192}`. `ModelOptions` documents each
                with its unit. An unknown name is refused.
            extra: More options of the model, of any name: for servers that know more. They go over *options*.
            think: Whether the model thinks before it answers, or how hard: "low", "medium", "high" or "max". None
                leaves it to the server: thinking models think.
            keep_alive: How long the model stays loaded afterwards: seconds, a duration such as "5m" or "1h30m", or a
                timedelta. 0 unloads it at once, and a negative time never does. None leaves it to the server, which
                takes 5 minutes.
            stream: Whether the answer arrives as it is generated. False gives it as one chunk.
            logprobs: Whether to return the log probability of each token.
            top_logprobs: How many alternatives to return for each token, 0 to 20. It needs *logprobs*.
            truncate: Whether the server drops the oldest messages that do not fit into the context. None means True.
            shift: Whether the server drops old tokens to make room while it answers. Another value reloads the model.
            on_truncated: What happens if the server cut the prompt to fit into the context: "warn" issues a
                `ContextTruncatedWarning`, "raise" ends the stream with a `ContextTruncatedError` after the answer,
                and "ignore" does nothing. It is not sent. None means "warn".
            after_break: What happens if the connection breaks within the answer, or the answer ends too early. "raise"
                ends the stream with the error. "restart" sends the request again: the first chunk of the new answer
                has `restart`, and all operators drop what came before. "continue" asks for the rest: what there was is
                sent as a last message of the assistant, and the chunks go on. Where that cannot work it restarts:
                within thinking, after a tool call, with *format*, or if the server begins over. A space at the seam may
                be lost, and `num_predict` counts for each request. It is not sent. None means "raise", unless the
                transport has several hosts and says something else.
            max_thinking: The most tokens that the model may think before its answer, at a token per chunk or per 4
                characters. A longer thought is cut off: the request is closed and sent again with the thought as a last
                message of the assistant, and the answer follows in the same stream. It works with models whose template
                continues such a message, needs *stream*, and is not sent. None for no limit.
            debug_render_only: Whether to return the rendered prompt in `debug_info` instead of an answer.

        Returns:
            A cold stream: each subscription sends the request once, and again only as *after_break* and *max_thinking*
            say. Chunks arrive as the server sends them. The last one is `done`, and holds the metrics. Disposing closes
            the request at once, from any thread.

        Raises:
            InvalidValueError: At the call, if an argument is wrong.
            StreamError: To the subscriber, if the request fails. Its `partial` holds what arrived.

        .. versionadded:: 0.1
        """
        return self.send(
            ChatRequest(
                model=model,
                messages=messages,
                tools=[tool.schema for tool in tools_of(tools)],
                format=format,
                options=options,
                extra=extra,
                think=think,
                keep_alive=keep_alive,
                stream=stream,
                logprobs=logprobs,
                top_logprobs=top_logprobs,
                truncate=truncate,
                shift=shift,
                on_truncated=on_truncated,
                after_break=after_break,
                max_thinking=max_thinking,
                debug_render_only=debug_render_only,
            )
        )

    def converse(
        self,
        model: str,
        messages: Messages,
        *,
        tools: Tools = (),
        max_rounds: int = 8,
        concurrency: int = 8,
        tool_timeout: float | timedelta | None = None,
        approve: Approve | None = None,
        through: Through | None = None,
        raise_on: RaiseOn = (),
        **options: Unpack[ChatOptions],
    ) -> Stream[ChatChunk]:
        """
        Chat with a model, run the tools that it calls, and continue with their results until it calls none.

        `converse(tools=)` runs functions. `chat(tools=)` only describes them to the model. A tool starts as soon as its
        call is complete. A failure becomes the tool's result, which the model sees (`tool_failed`): an unknown tool,
        wrong arguments, a denied call, a timeout, or an error of the tool.

        Args:
            model: The name of the model.
            messages: The messages, see `chat`.
            tools: Functions, `Tool`s, or schemas with a function to run.
            max_rounds: The most requests that may be sent.
            concurrency: The most tools that may run at once.
            tool_timeout: The most time that a tool may run, in seconds or as a `timedelta`; None for no limit.
            approve: A function that decides about each call, one at a time. It gets the `ToolCall`, and returns True,
                False, `Denied` with a reason, or other arguments. It may be async, or return an observable.
            through: An operator for the request of each round, such as `op.retry()`, or several in a
                `reactivex.compose`.
            raise_on: The errors of tools that end the stream, instead of going to the model. `ToolError` means all.
            options: The other arguments of `chat`, for each round. With *after_break*, only the round that broke begins
                over: its restart has the scope "message". A tool whose call the model repeats does not run again.

        Returns:
            A cold stream of the chunks of all rounds. The assistant's chunks arrive as they are generated. Then follows
            one chunk with the role `tool` for each result, in the order of the calls. Chunks with the progress of a
            tool (`tool_progress`) arrive between them. Disposing closes the request and cancels the tools. A function
            on a thread runs to its end, and its result is dropped.

        Raises:
            InvalidValueError: At the call, if an argument is wrong.
            TooManyRoundsError: To the subscriber, if the model calls a tool in its last round.
            ToolError: To the subscriber, if *raise_on* includes it.
            StreamError: To the subscriber, if a request fails. Its `partial` holds the messages of all rounds.

        .. versionadded:: 0.1
        """
        loop_options = ToolLoopOptions(
            tools=tools_of(tools),
            max_rounds=max_rounds,
            concurrency=concurrency,
            tool_timeout=tool_timeout,
            approve=approve,
            through=through,
            raise_on=raise_on,
        )
        offered = [tool.schema for tool in loop_options.tools]
        request = ChatRequest(model=model, messages=messages, tools=offered, **options)
        return converse(request, loop_options, self.send, self._streams, host=self._host)

    def generate(
        self,
        model: str,
        prompt: str,
        *,
        suffix: str | None = None,
        system: str | None = None,
        template: str | None = None,
        raw: bool | None = None,
        images: Iterable[Image] = (),
        format: Format | None = None,  # noqa: A002 - Ollama's own name.
        options: Options | None = None,
        extra: Mapping[str, Any] | None = None,
        think: Think | None = None,
        keep_alive: KeepAlive | None = None,
        stream: bool = True,
        logprobs: bool | None = None,
        top_logprobs: int | None = None,
        truncate: bool | None = None,
        shift: bool | None = None,
        on_truncated: OnTruncated | None = None,
        debug_render_only: bool | None = None,
    ) -> Stream[ChatChunk]:
        """
        Let a model continue a prompt.

        Args:
            model: The name of the model, such as `qwen3` or `qwen3:8b`.
            prompt: The prompt. An empty one loads the model.
            suffix: The text after the answer, for models that fill in the middle.
            system: A system prompt in place of the model's own.
            template: A prompt template in place of the model's own.
            raw: Whether the prompt goes to the model without a template. It excludes *system* and *template*.
            images: Images for a model that sees: path objects, bytes, base64 text or `data:` URIs.
            format: The form of the answer: "json" for any JSON, a JSON schema, or a type that has one (of msgspec, a
                dataclass, a TypedDict, a model of pydantic, or a list or union of these). `op.parse` reads the answer.
            options: Options of the model, such as `{"temperature": 0, "num_ctx": 8192}`. `ModelOptions` documents each
                with its unit. An unknown name is refused.
            extra: More options of the model, of any name: for servers that know more. They go over *options*.
            think: Whether the model thinks before it answers, or how hard: "low", "medium", "high" or "max". None
                leaves it to the server: thinking models think.
            keep_alive: How long the model stays loaded afterwards: seconds, a duration such as "5m" or "1h30m", or a
                timedelta. 0 unloads it at once, and a negative time never does. None leaves it to the server, which
                takes 5 minutes.
            stream: Whether the answer arrives as it is generated. False gives it as one chunk.
            logprobs: Whether to return the log probability of each token.
            top_logprobs: How many alternatives to return for each token, 0 to 20. It needs *logprobs*.
            truncate: Whether the server cuts a prompt that does not fit into the context. None means True.
            shift: Whether the server drops old tokens to make room while it answers. Another value reloads the model.
            on_truncated: What happens if the server cut the prompt to fit into the context: "warn" issues a
                `ContextTruncatedWarning`, "raise" ends the stream with a `ContextTruncatedError` after the answer,
                and "ignore" does nothing. It is not sent. None means "warn".
            debug_render_only: Whether to return the rendered prompt in `debug_info` instead of an answer.

        Returns:
            A cold stream of chunks, as `chat` returns it. Every operator works on it. The server's `response` is the
            content of the message.

        Raises:
            InvalidValueError: At the call, if an argument is wrong.
            StreamError: To the subscriber, if the request fails. Its `partial` holds what arrived.

        .. versionadded:: 0.1
        """
        return self.send(
            GenerateRequest(
                model=model,
                prompt=prompt,
                suffix=suffix,
                system=system,
                template=template,
                raw=raw,
                images=images,
                format=format,
                options=options,
                extra=extra,
                think=think,
                keep_alive=keep_alive,
                stream=stream,
                logprobs=logprobs,
                top_logprobs=top_logprobs,
                truncate=truncate,
                shift=shift,
                on_truncated=on_truncated,
                debug_render_only=debug_render_only,
            )
        )
