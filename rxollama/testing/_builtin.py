"""What the server answers when nobody told it what: a recording that fits, or what an empty Ollama would."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from rxollama.testing import _chat_records
from rxollama.testing._journal import SeenRequest
from rxollama.testing._recording import Recording
from rxollama.testing._reply import Reply

_POSTS = (
    "/api/chat",
    "/api/generate",
    "/api/pull",
    "/api/push",
    "/api/create",
    "/api/show",
    "/api/copy",
    "/api/embed",
    "/api/embeddings",
)
_VALUES: dict[str, dict[str, Any]] = {
    "/api/version": {"version": "0.0.0"},
    "/api/tags": {"models": []},
    "/api/ps": {"models": []},
}
_METHODS: dict[str, tuple[str, ...]] = {
    "/": ("GET", "HEAD"),
    **dict.fromkeys(_VALUES, ("GET", "HEAD")),
    **dict.fromkeys(_POSTS, ("POST",)),
    "/api/delete": ("DELETE",),
}


def matching(recordings: Iterable[Recording], seen: SeenRequest) -> Recording | None:
    """
    Find the recording that answers a request.

    Args:
        recordings: What there is to play, the preferred first.
        seen: What was asked.

    Returns:
        The first one with the very same request; else the first one where the same was said last; or ``None``.
    """
    asked = (seen.method, seen.path)
    same = [one for one in recordings if (one.request.method, one.request.path) == asked]
    body = seen.body.decode(errors="replace") if seen.json is None and seen.body else seen.json
    exact = (one for one in same if one.request.body == body)
    prompt = _prompt(seen.json)
    alike = (one for one in same if prompt is not None and _prompt(one.request.body) == prompt)
    return next(exact, next(alike, None))


def _prompt(body: Any) -> tuple[Any, ...] | None:
    """Tell what was said last, by what roles since, and whether the answer is to be streamed."""
    fields = _fields(body)
    streamed = fields.get("stream") is not False
    if "prompt" in fields:
        return fields["prompt"], (), streamed
    messages: list[dict[str, Any]] = fields.get("messages") or []
    since: list[Any] = []
    for message in reversed(messages):
        if message.get("role") == "user":
            return message.get("content"), tuple(since), streamed
        since.append(message.get("role"))
    return None


def _fields(body: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", body) if isinstance(body, dict) else {}


def builtin(seen: SeenRequest) -> Reply | None:
    """
    Answer what needs no model.

    Args:
        seen: What was asked.

    Returns:
        The version, an empty list, a model loaded or unloaded; ``None`` for all else.
    """
    if seen.method in _METHODS["/"]:
        if seen.path == "/":
            return Reply.error(200, "Ollama is running", content_type="text/plain; charset=utf-8")
        return Reply.json(_VALUES[seen.path]) if seen.path in _VALUES else None
    fields = _fields(seen.json)
    chat = seen.path == "/api/chat"
    said = fields.get("messages") if chat else fields.get("prompt")
    if seen.method != "POST" or seen.path not in _POSTS[:2] or said or "model" not in fields:
        return None
    return Reply.json(_chat_records.loaded(fields["model"], unload=fields.get("keep_alive") == 0, chat=chat))


def refusal(seen: SeenRequest) -> Reply:
    """
    Refuse as Ollama does what cannot be answered.

    Args:
        seen: What was asked.

    Returns:
        Plain text for an unknown path or a wrong method, and an `error` object for a request that is
        empty, broken or for a model that there is not.
    """
    if seen.path not in _METHODS:
        return Reply.error(404, "404 page not found")
    if seen.method not in _METHODS[seen.path]:
        return Reply.error(405, "405 method not allowed")
    if not seen.body:
        return Reply.error(400, {"error": "missing request body"})
    fields = _fields(seen.json)
    model = fields.get("model") or fields.get("source")
    if not model:
        return Reply.error(400, {"error": "model is required" if fields else "invalid request body"})
    return Reply.error(404, {"error": f"model '{model}' not found"})
