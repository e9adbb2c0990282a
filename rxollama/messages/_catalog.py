"""What the other calls answer: progress, lists of models, embeddings."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ("Embeddings", "ModelCard", "ModelDetails", "ModelEntry", "Progress", "RunningModel")


class Progress(msgspec.Struct, frozen=True, kw_only=True, repr_omit_defaults=True):
    """
    Say how far a pull, push or create has come.

    Args:
        status: What the server is doing, in its own words; `success` is the last.
        digest: The layer that is being moved.
        total: The layer's size in bytes; 0 where it is not known.
        completed: Bytes moved.

    .. versionadded:: 0.1
    """

    status: str = ""
    digest: str = ""
    total: int = 0
    completed: int = 0

    @property
    def fraction(self) -> float | None:
        """The part of the layer that is there, from 0 to 1; None where the size is not known."""
        return min(1.0, self.completed / self.total) if self.total > 0 else None


class Embeddings(msgspec.Struct, frozen=True, kw_only=True, repr_omit_defaults=True):
    """
    Hold the embeddings of one or several texts.

    Args:
        model: The model.
        embeddings: A vector for each text, in order.
        total_duration: Nanoseconds.
        load_duration: Nanoseconds.
        prompt_eval_count: Tokens of all texts.

    .. versionadded:: 0.1
    """

    model: str = ""
    embeddings: tuple[tuple[float, ...], ...] = ()
    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0


class ModelDetails(msgspec.Struct, frozen=True, kw_only=True, repr_omit_defaults=True):
    """
    Describe a model's file.

    Args:
        parent_model: The model it was made from.
        format: The file's format, such as `gguf`.
        family: The architecture.
        families: All architectures in the file.
        parameter_size: The number of parameters, as people write it.
        quantization_level: The quantization.
        context_length: Tokens that fit; 0 where the server does not tell.
        embedding_length: The length of its vectors; 0 where the server does not tell.

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


class ModelEntry(msgspec.Struct, frozen=True, kw_only=True, repr_omit_defaults=True):
    """
    Be a model that the server has.

    Args:
        name: The name to ask for.
        model: The same name, as the server repeats it.
        modified_at: When it came or changed, as the server wrote it.
        size: Bytes on disk.
        digest: The digest of its manifest.
        details: What is in its file.
        capabilities: What it can do: `completion`, `tools`, `thinking`, `vision`, `embedding`, ...
        remote_model: Of a cloud model: its name there.
        remote_host: Of a cloud model: the host.

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


class RunningModel(msgspec.Struct, frozen=True, kw_only=True, repr_omit_defaults=True):
    """
    Be a model that is loaded.

    Args:
        name: The name.
        model: The same name, as the server repeats it.
        size: Bytes in memory.
        digest: The digest of its manifest.
        details: What is in its file.
        expires_at: When it will be unloaded, as the server wrote it.
        size_vram: Bytes in the GPU's memory.
        context_length: Tokens that fit, as loaded.

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


class ModelCard(msgspec.Struct, frozen=True, kw_only=True, repr_omit_defaults=True):
    """
    Hold all that the server tells of one model.

    Args:
        details: What is in its file.
        capabilities: What it can do.
        template: The prompt template.
        system: The built-in system prompt.
        parameters: The built-in options, as text.
        license: The license.
        modelfile: The Modelfile that would make it again.
        modified_at: When it came or changed, as the server wrote it.
        model_info: The file's own metadata.
        projector_info: The same of its projector.
        tensors: Its tensors, where *verbose* asked for them.
        messages: Its built-in messages.
        renderer: The built-in renderer.
        parser: The built-in parser.
        requires: The version of the server that it needs.
        remote_model: Of a cloud model: its name there.
        remote_host: Of a cloud model: the host.

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
    model_info: dict[str, Any] = {}
    projector_info: dict[str, Any] = {}
    tensors: tuple[dict[str, Any], ...] = ()
    messages: tuple[dict[str, Any], ...] = ()
    renderer: str = ""
    parser: str = ""
    requires: str = ""
    remote_model: str = ""
    remote_host: str = ""
