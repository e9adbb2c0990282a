"""The options of a model, by Ollama's names."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypedDict, TypeGuard, get_type_hints

import msgspec

from rxollama._invalid_value import invalid_value, unknown_name
from rxollama.messages._value import SupportsModelDump, mapping_of

__all__ = ("ModelOptions", "Options", "extra_options", "is_number", "json_copy", "known_options", "read_options")

_LARGEST = sys.float_info.max


class ModelOptions(TypedDict, total=False):
    """
    The options of a model that Ollama knows, for `options=`.

    Every option is optional. An omitted option is up to the model's own parameters, and then up to the server, whose
    defaults are named here. Options that this version does not know go into `extra=`.

    .. versionadded:: 0.1
    """

    temperature: float
    """How random the choice of tokens is: 0 always takes the likeliest. Default: 0.8."""
    seed: int
    """The seed of the random numbers. The same seed and prompt give the same answer. Default: -1, a random seed."""
    num_predict: int
    """The most tokens to generate, thinking included. Default: -1, until the model stops."""
    stop: list[str] | tuple[str, ...]
    """Texts that end the answer where they would appear. They are not part of it."""
    top_k: int
    """How many of the likeliest tokens to choose from. Default: 40."""
    top_p: float
    """The total probability of the likeliest tokens to choose from, 0 to 1. Default: 0.9."""
    min_p: float
    """The least probability of a token, as a part of the likeliest one's, 0 to 1. Default: 0."""
    typical_p: float
    """The total probability of the most typical tokens to choose from, 0 to 1. Default: 1, which is off."""
    repeat_last_n: int
    """How many of the latest tokens count as repetition: 0 for none, -1 for the whole context. Default: 64."""
    repeat_penalty: float
    """The factor that makes repeated tokens less likely; 1 is off. Default: 1, and 1.1 before Ollama 0.32.10."""
    presence_penalty: float
    """The penalty of a token that has appeared; 0 is off. Default: 0."""
    frequency_penalty: float
    """The penalty of a token for each time that it has appeared; 0 is off. Default: 0."""
    num_keep: int
    """How many tokens at the start of the prompt to keep when the context is full. Default: 4."""
    num_ctx: int
    """The size of the context in tokens, prompt and answer. Another value reloads the model. Default: the server's."""
    num_batch: int
    """How many tokens of the prompt to process at once. Another value reloads the model. Default: 512."""
    num_gpu: int
    """How many layers of the model to put on GPUs. Another value reloads the model. Default: -1, what fits."""
    main_gpu: int | None
    """The number of the main GPU. Another value reloads the model. Default: None, the server's choice."""
    use_mmap: bool | None
    """Whether to map the model's file into memory. Another value reloads the model. Default: None, the server's."""
    num_thread: int
    """How many CPU threads to use. Another value reloads the model. Default: 0, the server's choice."""
    draft_num_predict: int
    """How many tokens a draft model predicts at once. Another value reloads the model. Default: 4."""


Options: TypeAlias = "ModelOptions | SupportsModelDump"
"""Options of a model: a dict with the keys of `ModelOptions`, or a model of pydantic such as `ollama.Options`."""

# The kinds of option that the server checks: https://github.com/ollama/ollama/blob/main/api/types.go.
_KINDS: dict[str, Any] = get_type_hints(ModelOptions)
_INTS = {name for name, kind in _KINDS.items() if kind in (int, int | None)}
_FLOATS = {name for name, kind in _KINDS.items() if kind is float}
# Options of older servers. A near name must not be suggested for them: it would be another option.
_DROPPED = {
    *("embedding_only", "f16_kv", "logits_all", "low_vram", "mirostat", "mirostat_eta", "mirostat_tau"),
    *("numa", "penalize_newline", "tfs_z", "use_mlock", "vocab_only"),
}


def read_options(options: object, extra: object = None, field: str = "options") -> dict[str, Any] | None:
    """
    Read the options of a model.

    Args:
        options: A mapping of option names and values, a model of pydantic with such fields, or None.
        extra: The same, with any names. They go over *options*.
        field: The name of the first argument, for the error.

    Returns:
        All options as a dict of its own, or None if there are none.

    Raises:
        InvalidValueError: If a name in *options* is not known, naming the nearest one, or if a value has the wrong
            type. A server would ignore the name, and answer the type with status 500.

    .. versionadded:: 0.1
    """
    known, others = known_options(options, field), extra_options(extra)
    return None if known is None and others is None else {**(known or {}), **(others or {})}


def known_options(options: object, field: str = "options") -> ModelOptions | None:
    """Read options whose names are all known, see `read_options`."""
    fields = _read_mapping(options, field)
    if fields is None:
        return None
    for name in fields:
        if name in _DROPPED:
            allowed = "an option that Ollama still knows"
            raise invalid_value(f"{field}.{name}", name, allowed, hint="for an old server, give it as extra=")
        if name not in _KINDS:
            otherwise = "if the server knows it, give it as extra="
            raise unknown_name(field, name, _KINDS, "an option that Ollama knows", otherwise=otherwise)
    read: ModelOptions = _checked(fields, field)
    return read


def extra_options(extra: object) -> dict[str, Any] | None:
    """Read options of any name, see `read_options`."""
    fields = _read_mapping(extra, "extra")
    return None if fields is None else _checked(fields, "extra")


def json_copy(field: str, value: Any) -> Any:
    """
    Return what JSON makes of a value, which shares nothing with it.

    Args:
        field: The name of the field, for the error.
        value: The value.

    Raises:
        InvalidValueError: If JSON cannot hold it.
    """
    try:
        return msgspec.json.decode(msgspec.json.encode(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise invalid_value(field, value, f"values that JSON can hold ({error})") from error


def _read_mapping(options: object, field: str) -> Mapping[Any, Any] | None:
    if options is None:
        return None
    fields = mapping_of(field, options)
    if fields is None:
        raise invalid_value(field, options, "a dict of option names and values")
    return fields


def _checked(fields: Mapping[Any, Any], field: str) -> Any:
    for name, value in fields.items():
        if not isinstance(name, str):
            raise invalid_value(field, name, "option names of type str")
        if value is not None and (kind := _wrong_kind(name, value)):
            raise invalid_value(f"{field}.{name}", value, kind)
    return json_copy(field, dict(fields))


def _wrong_kind(name: str, value: object) -> str:
    if name in _INTS and not (is_number(value) and value % 1 == 0):
        return "an int"
    if name in _FLOATS and not is_number(value):
        return "a number"
    if name == "use_mmap" and not isinstance(value, bool):
        return "a bool"
    if name == "stop" and not (_is_list(value) and all(isinstance(stop, str) for stop in value)):
        return "a list of str"
    return ""


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, (list, tuple))


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is a number that JSON can hold."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -_LARGEST <= value <= _LARGEST
