"""The demo: a scripted server with recorded answers to a few questions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec

from rxollama.testing import Recording, Reply, ScriptedOllama, SeenRequest

__all__ = ("MODEL", "demo_server", "normalize", "reply_to")

MODEL = "demo"
"""The name of the model, unless -m gives another."""

_RECORDINGS = Path(__file__).parent / "demo"
_TIMES = re.compile(r"(?<=\d) ?[x*×] ?(?=\d)")
_SECONDS_PER_WORD = 0.02


def demo_server() -> ScriptedOllama:
    """Return the server. Entering it as a context manager starts it."""
    answers = {normalize(_question(recording)): recording for recording in Recording.load_all(_RECORDINGS).values()}
    server = ScriptedOllama()
    server.always(lambda seen: reply_to(seen, answers))
    return server


def reply_to(seen: SeenRequest, answers: dict[str, Recording]) -> Reply:
    """
    Return the reply to a chat request.

    Args:
        seen: The request.
        answers: The recordings by their normalized questions.

    Returns:
        The recording of the last question with its pauses, or else an answer that lists the recorded questions.
    """
    body = seen.json
    recording = answers.get(normalize(body["messages"][-1]["content"]))
    if recording is not None:
        return Reply.of(_without_thinking(recording) if body.get("think") is False else recording)
    questions = "\n".join(f"- {_question(recording)}" for recording in answers.values())
    text = f"This demo has recorded answers to these questions:\n\n{questions}\n\nFor others leave out `--demo`."
    return Reply.answer(text, model=body["model"], gap=_SECONDS_PER_WORD)


def normalize(question: str) -> str:
    """Return a question without differences of case, spacing, punctuation and multiplication signs."""
    words = " ".join(question.casefold().split())
    return _TIMES.sub(" × ", words).rstrip(" ?!.")


def _question(recording: Recording) -> str:
    body: dict[str, Any] = recording.request.body
    return str(body["messages"][-1]["content"])


def _without_thinking(recording: Recording) -> Recording:
    """Return a recording without the thinking and the time it took."""
    kept = [(at, data) for at, data in recording.reads if b'"thinking"' not in data]
    skipped = kept[0][0] - recording.head_ns
    reads = tuple((at - skipped, data) for at, data in kept)
    return msgspec.structs.replace(recording, reads=reads, end_ns=recording.end_ns - skipped)
