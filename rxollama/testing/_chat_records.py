"""The records of a well-formed chat answer, as Ollama sends them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

# A fixed date, so that the same script gives the same bytes on any day.
_START = datetime(2026, 1, 1, tzinfo=UTC)
_SECONDS_PER_TOKEN = 0.005


def deltas(text: str | Iterable[str]) -> list[str]:
    """Return a text split before each word, or a sequence of texts as it is."""
    return re.findall(r"\s*\S+|\s+$", text) if isinstance(text, str) else list(text)


def created_at(seconds: float = 0.0) -> str:
    """Return a moment of the script as Go writes it: in UTC, without trailing zeros."""
    stamp = (_START + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return stamp.rstrip("0").rstrip(".") + "Z"


def answer_records(
    content: Sequence[str],
    thinking: Sequence[str],
    tool_calls: Sequence[Mapping[str, Any]],
    *,
    model: str,
    gap: float,
    final: Mapping[str, Any],
) -> Iterator[dict[str, Any]]:
    """Yield the records of an answer: thinking, content, one per tool call, and the last one."""
    messages: list[dict[str, Any]] = [{"content": "", "thinking": delta} for delta in thinking]
    messages += [{"content": delta} for delta in content]
    messages += [{"content": "", "tool_calls": [_call(index, call)]} for index, call in enumerate(tool_calls)]
    for index, message in enumerate(messages):
        yield _record(model, index * gap, message, done=False)
    last = _record(model, len(messages) * gap, {"content": ""}, done=True)
    yield last | {"done_reason": "stop"} | _metrics(len(messages), gap, final)


def load_record(model: str, *, unload: bool, chat: bool) -> dict[str, Any]:
    """Return the answer to a request without a prompt, which loads or unloads the model."""
    text: dict[str, Any] = {"message": {"role": "assistant", "content": ""}} if chat else {"response": ""}
    reason = "unload" if unload else "load"
    return {"model": model, "created_at": created_at(), **text, "done": True, "done_reason": reason}


def _record(model: str, seconds: float, message: Mapping[str, Any], *, done: bool) -> dict[str, Any]:
    message = {"role": "assistant", **message}
    return {"model": model, "created_at": created_at(seconds), "message": message, "done": done}


def _call(index: int, call: Mapping[str, Any]) -> dict[str, Any]:
    identity = {"id": call["id"]} if "id" in call else {}
    function = {"index": index, "name": call["name"], "arguments": call.get("arguments", {})}
    return {**identity, "function": function}


def _metrics(count: int, gap: float, final: Mapping[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = {
        "load_duration": 1_500_000,
        "prompt_eval_count": 12,
        "prompt_eval_duration": 25_500_000,
        "eval_count": count,
        "eval_duration": round(count * (gap or _SECONDS_PER_TOKEN) * 1e9),
    }
    # Ollama leaves out zeros. A zero that the script gives is sent.
    given = {name: value for name, value in given.items() if value} | dict(final)
    total = sum(given.get(name) or 0 for name in ("load_duration", "prompt_eval_duration", "eval_duration"))
    metrics = {"total_duration": total, **given}
    return {name: value for name, value in metrics.items() if value is not None}
