"""Replies that need no script: the matching recording, or the reply of an Ollama without models."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from rxollama.testing._chat_records import load_record
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


def find_recording(recordings: Iterable[Recording], seen: SeenRequest) -> Recording | None:
    """
    Return the recording that answers a request.

    Args:
        recordings: The recordings, in order of preference.
        seen: The request.

    Returns:
        The first recording with the same request, else the first one with the same last prompt, else None.
    """
    asked = (seen.method, seen.path)
    same = [one for one in recordings if (one.request.method, one.request.path) == asked]
    body = seen.body.decode(errors="replace") if seen.json is None and seen.body else seen.json
    exact = (one for one in same if one.request.body == body)
    prompt = _last_prompt(seen.json)
    similar = (one for one in same if prompt is not None and _last_prompt(one.request.body) == prompt)
    return next(exact, next(similar, None))


def _last_prompt(body: Any) -> tuple[Any, ...] | None:
    """Return the last prompt, the roles of the messages after it, and whether the answer is streamed."""
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


def builtin_reply(seen: SeenRequest) -> Reply | None:
    """
    Return the reply to a request that needs no model.

    Args:
        seen: The request.

    Returns:
        The version, an empty list, or the record of a loaded or unloaded model. None for every other request.
    """
    if seen.method in _METHODS["/"]:
        if seen.path == "/":
            return Reply.plain("Ollama is running", content_type="text/plain; charset=utf-8")
        return Reply.json(_VALUES[seen.path]) if seen.path in _VALUES else None
    fields = _fields(seen.json)
    chat = seen.path == "/api/chat"
    prompt = fields.get("messages") if chat else fields.get("prompt")
    if seen.method != "POST" or seen.path not in _POSTS[:2] or prompt or "model" not in fields:
        return None
    return Reply.json(load_record(fields["model"], unload=fields.get("keep_alive") == 0, chat=chat))


def refuse(seen: SeenRequest) -> Reply:
    """
    Return Ollama's error for a request that cannot be answered.

    Args:
        seen: The request.

    Returns:
        Plain text for an unknown path or a wrong method. An `error` object for a request that is empty or broken, or
        that names an unknown model.
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
