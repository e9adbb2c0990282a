"""The records of a well formed chat answer, as Ollama words them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

# Scripted answers are values: the same script gives the same bytes on any day.
_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
_PER_TOKEN = 0.005


def deltas(text: str | Iterable[str]) -> list[str]:
    """Cut a text before each space that starts a word; take a sequence as it is."""
    return re.findall(r"\s*\S+|\s+$", text) if isinstance(text, str) else list(text)


def created_at(seconds: float = 0.0) -> str:
    """Name a moment of the script as Go does: UTC, with no zeros at the end of the fraction."""
    stamp = (_BEGINNING + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return stamp.rstrip("0").rstrip(".") + "Z"


def answer(
    content: Sequence[str],
    thinking: Sequence[str],
    tool_calls: Sequence[Mapping[str, Any]],
    *,
    model: str,
    gap: float,
    final: Mapping[str, Any],
) -> Iterator[dict[str, Any]]:
    """Word a whole answer: thinking, content, one record per tool call, and the record that is done."""
    messages: list[dict[str, Any]] = [{"content": "", "thinking": delta} for delta in thinking]
    messages += [{"content": delta} for delta in content]
    messages += [{"content": "", "tool_calls": [_call(index, call)]} for index, call in enumerate(tool_calls)]
    for index, message in enumerate(messages):
        yield _record(model, index * gap, message, done=False)
    last = _record(model, len(messages) * gap, {"content": ""}, done=True)
    yield last | {"done_reason": "stop"} | _metrics(len(messages), gap, final)


def loaded(model: str, *, unload: bool, chat: bool) -> dict[str, Any]:
    """Word the answer to a request without messages or prompt, which loads or unloads the model."""
    words: dict[str, Any] = {"message": {"role": "assistant", "content": ""}} if chat else {"response": ""}
    reason = "unload" if unload else "load"
    return {"model": model, "created_at": created_at(), **words, "done": True, "done_reason": reason}


def _record(model: str, seconds: float, message: Mapping[str, Any], *, done: bool) -> dict[str, Any]:
    words = {"role": "assistant", **message}
    return {"model": model, "created_at": created_at(seconds), "message": words, "done": done}


def _call(index: int, call: Mapping[str, Any]) -> dict[str, Any]:
    identity = {"id": call["id"]} if "id" in call else {}
    function = {"index": index, "name": call["name"], "arguments": call.get("arguments", {})}
    return {**identity, "function": function}


def _metrics(count: int, gap: float, final: Mapping[str, Any]) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "load_duration": 1_500_000,
        "prompt_eval_count": 12,
        "prompt_eval_duration": 25_500_000,
        "eval_count": count,
        "eval_duration": round(count * (gap or _PER_TOKEN) * 1e9),
    }
    # Ollama leaves out what is zero; a zero that the script asks for is sent.
    parts = {name: value for name, value in parts.items() if value} | dict(final)
    total = sum(parts.get(name) or 0 for name in ("load_duration", "prompt_eval_duration", "eval_duration"))
    whole = {"total_duration": total, **parts}
    return {name: value for name, value in whole.items() if value is not None}
