"""The demo: a scripted server that answers the questions it has recordings for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from rxollama.testing import Recording, Reply, ScriptedOllama, SeenRequest

__all__ = ("MODEL", "demo_server", "normal", "reply_to")

MODEL = "demo"
"""The model's name where nobody asked for another: any will do."""

_RECORDINGS = Path(__file__).parent / "demo"
_TIMES = re.compile(r"(?<=\d) ?[x*×] ?(?=\d)")
_SECONDS_PER_WORD = 0.02


def demo_server() -> ScriptedOllama:
    """Make the server; entering it starts it."""
    answers = {normal(_question(recording)): recording for recording in Recording.load_all(_RECORDINGS).values()}
    server = ScriptedOllama()
    server.always(lambda seen: reply_to(seen, answers))
    return server


def reply_to(seen: SeenRequest, answers: dict[str, Recording]) -> Reply:
    """
    Answer a chat.

    Args:
        seen: What was asked.
        answers: The recordings, by their questions in normal form.

    Returns:
        The recording of the last question, with the pauses it had; otherwise an answer that says which there are.
    """
    body = seen.json
    recording = answers.get(normal(body["messages"][-1]["content"]))
    if recording is not None:
        return Reply.of(_without_thinking(recording) if body.get("think") is False else recording)
    questions = "\n".join(f"- {_question(recording)}" for recording in answers.values())
    text = f"This demo has recorded answers to these questions:\n\n{questions}\n\nFor any other, leave out `--demo`."
    return Reply.answer(text, model=body["model"], gap=_SECONDS_PER_WORD)


def normal(question: str) -> str:
    """Bring a question into the form in which it is compared: as it would be said, not as it is typed."""
    words = " ".join(question.casefold().split())
    return _TIMES.sub(" × ", words).rstrip(" ?!.")


def _question(recording: Recording) -> str:
    body: dict[str, Any] = recording.request.body
    return str(body["messages"][-1]["content"])


def _without_thinking(recording: Recording) -> Recording:
    """Leave out the thinking, and the time it took."""
    kept = [(at, data) for at, data in recording.reads if b'"thinking"' not in data]
    skipped = kept[0][0] - recording.head_ns
    reads = tuple((at - skipped, data) for at, data in kept)
    return msgspec.structs.replace(recording, reads=reads, end_ns=recording.end_ns - skipped)
