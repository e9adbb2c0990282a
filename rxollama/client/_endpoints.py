"""The calls that return one value or a progress: models, embeddings, downloads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from rxollama._checks import check_count, check_flag, check_name, check_text
from rxollama._runtime import Stream
from rxollama._wire import (
    MAX_LINE,
    PROGRESS,
    BodyDecoder,
    Decoder,
    LineDecoder,
    encode,
    read_body,
    read_models,
    read_nothing,
    read_running,
    read_version,
)
from rxollama.client._settings import digests, texts
from rxollama.messages import (
    ChatChunk,
    ChatRequest,
    Embeddings,
    GenerateRequest,
    KeepAlive,
    Messages,
    ModelCard,
    ModelEntry,
    Options,
    Progress,
    RunningModel,
    read_keep_alive,
    read_messages,
    read_options,
)
from rxollama.transport import Request

__all__ = ("Endpoints",)

T = TypeVar("T")


class Endpoints:
    """The calls of the client that return one value or a progress."""

    _max_line: int = MAX_LINE

    if TYPE_CHECKING:
        # The client defines these.
        def _observe(
            self, request: Request, decoder: Callable[[], Decoder[T]], model: str, items: type[T] | None = None
        ) -> Stream[T]: ...

        def send(self, request: ChatRequest | GenerateRequest) -> Stream[ChatChunk]:
            """Send a request, see `Ollama.send`."""
            ...

    def embed(
        self,
        model: str,
        input: str | Iterable[str],  # noqa: A002 - Ollama's own name.
        *,
        truncate: bool | None = None,
        dimensions: int | None = None,
        keep_alive: KeepAlive | None = None,
        options: Options | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Stream[Embeddings]:
        """
        Embed one or more texts.

        Args:
            model: The name of the model.
            input: The text, or several.
            truncate: Whether the server cuts a text that does not fit into the context.
            dimensions: The length of the vectors, for models that offer a choice.
            keep_alive: How long the model stays loaded afterwards: seconds, a duration such as "5m", or a timedelta.
            options: Options of the model, see `ModelOptions`.
            extra: More options of the model, of any name.

        Returns:
            A cold stream of one value.

        Raises:
            InvalidValueError: At the call, if an argument is wrong.

        .. versionadded:: 0.1
        """
        model = check_name("model", model)
        check_flag("truncate", truncate)
        if dimensions is not None:
            check_count("dimensions", dimensions)
        fields = {
            "model": model,
            "input": texts("input", input),
            "truncate": truncate,
            "dimensions": dimensions,
            "keep_alive": read_keep_alive(keep_alive),
            "options": read_options(options, extra),
        }
        return self._one("POST", "/api/embed", read_body(Embeddings), fields)

    def pull(self, model: str, *, insecure: bool | None = None) -> Stream[Progress]:
        """
        Download a model from its registry.

        Args:
            model: The name of the model.
            insecure: Whether to accept a registry without a trusted certificate.

        Returns:
            A cold stream of the progress. Its last status is `success`. Disposing stops the download. A later pull
            continues it.

        Raises:
            InvalidValueError: At the call, if an argument is wrong.

        .. versionadded:: 0.1
        """
        check_flag("insecure", insecure)
        return self._progress("/api/pull", {"model": model, "insecure": insecure})

    def push(self, model: str, *, insecure: bool | None = None) -> Stream[Progress]:
        """
        Upload a model to its registry.

        Args:
            model: The name of the model, with the namespace in the registry.
            insecure: Whether to accept a registry without a trusted certificate.

        Returns:
            A cold stream of the progress. Its last status is `success`.

        Raises:
            InvalidValueError: At the call, if an argument is wrong.

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
        extra: Mapping[str, Any] | None = None,
    ) -> Stream[Progress]:
        """
        Create a model from another model, or from files on the server.

        Args:
            model: The name of the new model.
            from_: The name of the model to start from.
            files: The digests of the model's files, by file name.
            adapters: The digests of the adapters' files, by file name.
            template: The prompt template.
            license: The license, or several.
            system: The system prompt.
            parameters: The built-in options, see `ModelOptions`.
            messages: Messages at the start of every chat with the model.
            quantize: The quantization to convert it to, such as `q4_K_M`.
            extra: More built-in options, of any name.

        Returns:
            A cold stream of the progress. Its last status is `success`.

        Raises:
            InvalidValueError: At the call, if an argument is wrong.

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
                fields[name] = check_text(name, text)
        fields["files"] = digests("files", files)
        fields["adapters"] = digests("adapters", adapters)
        fields["license"] = license if license is None else texts("license", license)
        fields["parameters"] = read_options(parameters, extra, "parameters")
        if messages is not None:
            read = read_messages(messages)
            fields["messages"] = [{"role": message.role, "content": message.content} for message in read]
        return self._progress("/api/create", fields)

    def models(self) -> Stream[tuple[ModelEntry, ...]]:
        """
        List the models on the server.

        Returns:
            A cold stream of one value.

        .. versionadded:: 0.1
        """
        return self._one("GET", "/api/tags", read_models)

    def running(self) -> Stream[tuple[RunningModel, ...]]:
        """
        List the models that are loaded.

        Returns:
            A cold stream of one value.

        .. versionadded:: 0.1
        """
        return self._one("GET", "/api/ps", read_running)

    def show(self, model: str, *, verbose: bool | None = None) -> Stream[ModelCard]:
        """
        Return everything that the server knows about a model.

        Args:
            model: The name of the model.
            verbose: Whether to include the long lists, such as the tensors.

        Returns:
            A cold stream of one value.

        Raises:
            InvalidValueError: At the call, if an argument is wrong.

        .. versionadded:: 0.1
        """
        model = check_name("model", model)
        check_flag("verbose", verbose)
        return self._one("POST", "/api/show", read_body(ModelCard), {"model": model, "verbose": verbose})

    def version(self) -> Stream[str]:
        """
        Return the version of the server.

        Returns:
            A cold stream of one value.

        .. versionadded:: 0.1
        """
        return self._one("GET", "/api/version", read_version)

    def load(self, model: str, *, keep_alive: KeepAlive | None = None) -> Stream[ChatChunk]:
        """
        Load a model, which can take minutes. The first answer then does not wait for it.

        Args:
            model: The name of the model.
            keep_alive: How long it stays loaded: seconds, a duration such as "5m", or a timedelta.

        Returns:
            A cold stream of one chunk. Its `done_reason` is `load`.

        Raises:
            InvalidValueError: At the call, if an argument is wrong.

        .. versionadded:: 0.1
        """
        return self.send(ChatRequest(model=model, messages=(), keep_alive=keep_alive))

    def unload(self, model: str) -> Stream[ChatChunk]:
        """
        Unload a model.

        Args:
            model: The name of the model.

        Returns:
            A cold stream of one chunk. Its `done_reason` is `unload`. The memory is free a little later.

        Raises:
            InvalidValueError: At the call, if an argument is wrong.

        .. versionadded:: 0.1
        """
        return self.load(model, keep_alive=0)

    def copy(self, source: str, destination: str) -> Stream[None]:
        """
        Give a model a second name.

        Args:
            source: The name of the model.
            destination: The second name.

        Returns:
            A cold stream of one None.

        Raises:
            InvalidValueError: At the call, if an argument is wrong.

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
            model: The name of the model.

        Returns:
            A cold stream of one None.

        Raises:
            InvalidValueError: At the call, if an argument is wrong.

        .. versionadded:: 0.1
        """
        model = check_name("model", model)
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
        asked = known.get("model", model)
        request = Request(method=method, path=path, body=encode(known) if known else None, model=asked)
        return self._observe(request, lambda: BodyDecoder(read, max_line=self._max_line), asked)

    def _progress(self, path: str, fields: Mapping[str, Any]) -> Stream[Progress]:
        fields = {**fields, "model": check_name("model", fields["model"])}
        request = Request(method="POST", path=path, body=encode(fields), model=fields["model"])
        return self._observe(request, lambda: LineDecoder(PROGRESS, max_line=self._max_line), fields["model"], Progress)
