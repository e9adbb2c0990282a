"""The values of the other calls: progress, models, embeddings."""

from __future__ import annotations

from typing import Any

from rxollama.messages._value import Value

__all__ = ("Embeddings", "ModelCard", "ModelDetails", "ModelEntry", "Progress", "RunningModel")


class Progress(Value, frozen=True, kw_only=True):
    """
    The progress of a pull, push or create.

    Args:
        status: The stage, in the words of the server. The last status is `success`.
        digest: The layer that is being transferred.
        total: The size of the layer in bytes; 0 if it is not known.
        completed: The bytes transferred so far.

    .. versionadded:: 0.1
    """

    status: str = ""
    digest: str = ""
    total: int = 0
    completed: int = 0

    @property
    def fraction(self) -> float | None:
        """The part of the layer that is transferred, from 0 to 1. 1 after success; None if the size is not known."""
        # The last record of a layer may stand below its total.
        if self.status == "success" or 0 < self.total <= self.completed:
            return 1.0
        return self.completed / self.total if self.total > 0 else None


class Embeddings(Value, frozen=True, kw_only=True):
    """
    The embeddings of one or more texts.

    Args:
        model: The name of the model.
        embeddings: A vector for each text, in order.
        total_duration: From the arrival of the request to the reply, in nanoseconds.
        load_duration: Until the model was ready, in nanoseconds.
        prompt_eval_count: The tokens of all texts.

    .. versionadded:: 0.1
    """

    model: str = ""
    embeddings: tuple[tuple[float, ...], ...] = ()
    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0


class ModelDetails(Value, frozen=True, kw_only=True):
    """
    The details of a model's file.

    Args:
        parent_model: The model that it was made from.
        format: The format of the file, such as `gguf`.
        family: The architecture.
        families: All architectures in the file.
        parameter_size: The number of parameters, such as `8.2B`.
        quantization_level: The quantization, such as `Q4_K_M`.
        context_length: The largest context in tokens; 0 if the server does not say.
        embedding_length: The length of its vectors; 0 if the server does not say.

    .. versionadded:: 0.1
    """

    parent_model: str = ""
    format: str = ""
    family: str = ""
    families: tuple[str, ...] = ()
    parameter_size: str = ""
    quantization_level: str = ""
    context_length: int = 0
    embedding_length: int = 0


class ModelEntry(Value, frozen=True, kw_only=True):
    """
    A model on the server.

    Args:
        name: The name, for requests.
        model: The same name, as the server repeats it.
        modified_at: The time of the last change, as the server wrote it.
        size: The size on disk in bytes.
        digest: The digest of the manifest.
        details: The details of its file.
        capabilities: Its abilities, such as `completion`, `tools`, `thinking`, `vision` and `embedding`.
        remote_model: The name at the remote host, of a cloud model.
        remote_host: The remote host, of a cloud model.

    .. versionadded:: 0.1
    """

    name: str = ""
    model: str = ""
    modified_at: str = ""
    size: int = 0
    digest: str = ""
    details: ModelDetails = ModelDetails()
    capabilities: tuple[str, ...] = ()
    remote_model: str = ""
    remote_host: str = ""


class RunningModel(Value, frozen=True, kw_only=True):
    """
    A model that is loaded.

    Args:
        name: The name, for requests.
        model: The same name, as the server repeats it.
        size: The size in memory in bytes.
        digest: The digest of the manifest.
        details: The details of its file.
        expires_at: The time at which it will be unloaded, as the server wrote it.
        size_vram: The part of the size that is in GPU memory, in bytes.
        context_length: The context in tokens that it was loaded with.

    .. versionadded:: 0.1
    """

    name: str = ""
    model: str = ""
    size: int = 0
    digest: str = ""
    details: ModelDetails = ModelDetails()
    expires_at: str = ""
    size_vram: int = 0
    context_length: int = 0


class ModelCard(Value, frozen=True, kw_only=True):
    """
    Everything that the server knows about one model.

    Args:
        details: The details of its file.
        capabilities: Its abilities, see `ModelEntry`.
        template: The prompt template.
        system: The built-in system prompt.
        parameters: The built-in options, as text.
        license: The license.
        modelfile: The Modelfile that makes it.
        modified_at: The time of the last change, as the server wrote it.
        model_info: The metadata of the file.
        projector_info: The metadata of its projector.
        tensors: Its tensors, if *verbose* asked for them.
        messages: Its built-in messages.
        renderer: The built-in renderer.
        parser: The built-in parser.
        requires: The version of the server that it needs.
        remote_model: The name at the remote host, of a cloud model.
        remote_host: The remote host, of a cloud model.

    .. versionadded:: 0.1
    """

    details: ModelDetails = ModelDetails()
    capabilities: tuple[str, ...] = ()
    template: str = ""
    system: str = ""
    parameters: str = ""
    license: str = ""
    modelfile: str = ""
    modified_at: str = ""
    model_info: dict[str, Any] = {}  # noqa: RUF012 - msgspec makes a new one for each value.
    projector_info: dict[str, Any] = {}  # noqa: RUF012 - msgspec makes a new one for each value.
    tensors: tuple[dict[str, Any], ...] = ()
    messages: tuple[dict[str, Any], ...] = ()
    renderer: str = ""
    parser: str = ""
    requires: str = ""
    remote_model: str = ""
    remote_host: str = ""
