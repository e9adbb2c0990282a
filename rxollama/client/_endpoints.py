"""All calls but chat and generate: models, embeddings, and moving models about."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from rxollama._checks import check_flag, check_keep_alive, check_model, check_options, check_text
from rxollama._runtime import Stream
from rxollama._wire import (
    CHAT,
    MAX_LINE,
    PROGRESS,
    BodyDecoder,
    Decoder,
    LineDecoder,
    encode,
    encode_chat,
    read_body,
    read_models,
    read_nothing,
    read_running,
    read_version,
)
from rxollama.client._settings import check_name, check_size, digests, parameters_of, texts
from rxollama.messages import (
    ChatChunk,
    ChatRequest,
    Embeddings,
    KeepAlive,
    Messages,
    ModelCard,
    ModelEntry,
    Options,
    Progress,
    RunningModel,
    read_messages,
)
from rxollama.transport import Request

__all__ = ("Endpoints",)

T = TypeVar("T")


class Endpoints(ABC):
    """Be the part of the client that answers with one value, or with progress."""

    _max_line: int = MAX_LINE

    @abstractmethod
    def _observe(
        self, request: Request, decoder: Callable[[], Decoder[T]], model: str, *, is_chat: bool = False
    ) -> Stream[T]: ...

    def embed(
        self,
        model: str,
        input: str | Iterable[str],  # noqa: A002 - Ollama's own name.
        *,
        truncate: bool | None = None,
        dimensions: int | None = None,
        keep_alive: KeepAlive | None = None,
        options: Options | None = None,
    ) -> Stream[Embeddings]:
        """
        Embed one or several texts.

        Args:
            model: The model's name.
            input: The text, or several.
            truncate: Whether to cut what does not fit.
            dimensions: The length of the vectors, for models that let it be chosen.
            keep_alive: How long the model stays loaded.
            options: Model options by Ollama's names.

        Returns:
            A cold observable of one value.

        Raises:
            InvalidValueError: At this call, when an argument is wrong.

        .. versionadded:: 0.1
        """
        check_model(model)
        check_flag("truncate", truncate)
        if dimensions is not None:
            check_size("dimensions", dimensions)
        fields = {
            "model": model,
            "input": texts("input", input),
            "truncate": truncate,
            "dimensions": dimensions,
            "keep_alive": check_keep_alive(keep_alive),
            "options": check_options(options),
        }
        return self._one("POST", "/api/embed", read_body(Embeddings), fields)

    def pull(self, model: str, *, insecure: bool | None = None) -> Stream[Progress]:
        """
        Fetch a model from its registry.

        Args:
            model: The model's name.
            insecure: Whether the registry may be one without a trusted certificate.

        Returns:
            A cold observable of the progress, `success` last. Disposing stops the download; what is there stays.

        Raises:
            InvalidValueError: At this call, when an argument is wrong.

        .. versionadded:: 0.1
        """
        check_flag("insecure", insecure)
        return self._progress("/api/pull", {"model": model, "insecure": insecure})

    def push(self, model: str, *, insecure: bool | None = None) -> Stream[Progress]:
        """
        Send a model to its registry.

        Args:
            model: The model's name, with the namespace it goes to.
            insecure: Whether the registry may be one without a trusted certificate.

        Returns:
            A cold observable of the progress, `success` last.

        Raises:
            InvalidValueError: At this call, when an argument is wrong.

        .. versionadded:: 0.1
        """
        check_flag("insecure", insecure)
        return self._progress("/api/push", {"model": model, "insecure": insecure})

    def create(
        self,
        model: str,
        *,
        from_: str | None = None,
        files: Mapping[str, str] | None = None,
        adapters: Mapping[str, str] | None = None,
        template: str | None = None,
        license: str | Iterable[str] | None = None,  # noqa: A002 - Ollama's own name.
        system: str | None = None,
        parameters: Options | None = None,
        messages: Messages | None = None,
        quantize: str | None = None,
    ) -> Stream[Progress]:
        """
        Make a model from another or from files that the server has.

        Args:
            model: The new model's name.
            from_: The model it is made from.
            files: The digests of its files, by name.
            adapters: The digests of its adapters, by name.
            template: Its prompt template.
            license: Its license, or several.
            system: Its system prompt.
            parameters: Its options, by Ollama's names.
            messages: Messages that every chat with it begins with.
            quantize: The quantization to convert it to, such as `q4_K_M`.

        Returns:
            A cold observable of the progress, `success` last.

        Raises:
            InvalidValueError: At this call, when an argument is wrong.

        .. versionadded:: 0.1
        """
        fields: dict[str, Any] = {
            "model": model,
            "from": from_,
            "template": template,
            "system": system,
            "quantize": quantize,
        }
        for name, text in fields.items():
            if text is not None:
                check_text(name, text)
        fields["files"] = digests("files", files)
        fields["adapters"] = digests("adapters", adapters)
        fields["license"] = license if license is None else texts("license", license)
        fields["parameters"] = parameters_of(parameters)
        if messages is not None:
            spoken = read_messages(messages)
            fields["messages"] = [{"role": message.role, "content": message.content} for message in spoken]
        return self._progress("/api/create", fields)

    def models(self) -> Stream[tuple[ModelEntry, ...]]:
        """
        List the models that the server has.

        Returns:
            A cold observable of one value.

        .. versionadded:: 0.1
        """
        return self._one("GET", "/api/tags", read_models)

    def running(self) -> Stream[tuple[RunningModel, ...]]:
        """
        List the models that are loaded.

        Returns:
            A cold observable of one value.

        .. versionadded:: 0.1
        """
        return self._one("GET", "/api/ps", read_running)

    def show(self, model: str, *, verbose: bool | None = None) -> Stream[ModelCard]:
        """
        Tell all that the server knows of a model.

        Args:
            model: The model's name.
            verbose: Whether to bring the long lists as well.

        Returns:
            A cold observable of one value.

        Raises:
            InvalidValueError: At this call, when an argument is wrong.

        .. versionadded:: 0.1
        """
        check_model(model)
        check_flag("verbose", verbose)
        return self._one("POST", "/api/show", read_body(ModelCard), {"model": model, "verbose": verbose})

    def version(self) -> Stream[str]:
        """
        Tell the server's version.

        Returns:
            A cold observable of one value.

        .. versionadded:: 0.1
        """
        return self._one("GET", "/api/version", read_version)

    def load(self, model: str, *, keep_alive: KeepAlive | None = None) -> Stream[ChatChunk]:
        """
        Load a model, so that the first answer does not wait for it; this can take minutes.

        Args:
            model: The model's name.
            keep_alive: How long it stays loaded.

        Returns:
            A cold observable of one chunk, whose `done_reason` is `load`.

        Raises:
            InvalidValueError: At this call, when an argument is wrong.

        .. versionadded:: 0.1
        """
        body = encode_chat(ChatRequest(model=model, messages=(), keep_alive=keep_alive))
        request = Request(method="POST", path="/api/chat", body=body)
        return self._observe(request, lambda: LineDecoder(CHAT, max_line=self._max_line), model, is_chat=True)

    def unload(self, model: str) -> Stream[ChatChunk]:
        """
        Unload a model.

        Args:
            model: The model's name.

        Returns:
            A cold observable of one chunk, whose `done_reason` is `unload`; the memory is free a little later.

        Raises:
            InvalidValueError: At this call, when an argument is wrong.

        .. versionadded:: 0.1
        """
        return self.load(model, keep_alive=0)

    def copy(self, source: str, destination: str) -> Stream[None]:
        """
        Give a model a second name.

        Args:
            source: The model's name.
            destination: The second name.

        Returns:
            A cold observable of one None.

        Raises:
            InvalidValueError: At this call, when an argument is wrong.

        .. versionadded:: 0.1
        """
        fields = {"source": source, "destination": destination}
        for name, given in fields.items():
            check_name(name, given)
        return self._one("POST", "/api/copy", read_nothing, fields, model=source)

    def delete(self, model: str) -> Stream[None]:
        """
        Delete a model from the server.

        Args:
            model: The model's name.

        Returns:
            A cold observable of one None.

        Raises:
            InvalidValueError: At this call, when an argument is wrong.

        .. versionadded:: 0.1
        """
        check_model(model)
        return self._one("DELETE", "/api/delete", read_nothing, {"model": model})

    def _one(
        self,
        method: str,
        path: str,
        read: Callable[[bytes], T],
        fields: Mapping[str, Any] | None = None,
        model: str = "",
    ) -> Stream[T]:
        known = fields or {}
        request = Request(method=method, path=path, body=encode(known) if known else None)
        asked = known.get("model", model)
        return self._observe(request, lambda: BodyDecoder(read, max_line=self._max_line), asked)

    def _progress(self, path: str, fields: Mapping[str, Any]) -> Stream[Progress]:
        check_model(fields["model"])
        request = Request(method="POST", path=path, body=encode(fields))
        return self._observe(request, lambda: LineDecoder(PROGRESS, max_line=self._max_line), fields["model"])
