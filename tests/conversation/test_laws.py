"""Any sequence of operations leaves the histories that plain lists would hold."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import pytest
from heard import Heard
from hypothesis import given, settings
from hypothesis import strategies as st

from rxollama import Conversation, Ollama
from rxollama.testing import Reply, ScriptedOllama

Model: TypeAlias = list[list[str]]

_PIECES = ["a", "b", "c"]
_STEPS = st.tuples(
    st.sampled_from(["send", "send", "refuse", "truncate", "dispose", "undo", "fork", "reload"]),
    st.integers(0, 2),
)


@pytest.mark.parametrize("keep", [False, True])
@settings(max_examples=60)
@given(steps=st.lists(_STEPS, max_size=8))
def test_histories(tmp_path_factory: pytest.TempPathFactory, keep: bool, steps: list[tuple[str, int]]) -> None:
    """After any sequence of steps, each history and each request equals the model's."""
    with ScriptedOllama() as server, Ollama(server.url) as ollama:
        path = tmp_path_factory.getbasetemp() / f"laws-{keep}.jsonl"
        talks = [(Conversation(ollama, "m", keep_unfinished=keep), Model())]
        for number, (step, pieces) in enumerate(steps):
            conversation, model = talks[number % len(talks)]
            if step == "undo":
                undone = conversation.undo()
                assert ([message.content for message in undone.messages] if undone else None) == pop(model)
            elif step == "fork":
                talks.append((conversation.fork(), list(model)))
            elif step == "reload":
                talks.append((reloaded(conversation, path, ollama, keep=keep), list(model)))
            else:
                prompt = str(number)
                before = [text for turn in model for text in turn]
                turn = played(step, pieces, prompt, conversation, server)
                if turn and (keep or step == "send"):
                    model.append(turn)
                sent = [message["content"] for message in server.requests[-1].json["messages"]]
                assert sent == [*before, prompt]
        for conversation, model in talks:
            assert [[message.content for message in turn.messages] for turn in conversation.turns] == model


def pop(model: Model) -> list[str] | None:
    """Remove and return the last turn of a model."""
    return model.pop() if model else None


def reloaded(conversation: Conversation, path: Path, ollama: Ollama, *, keep: bool) -> Conversation:
    """Save and load a conversation, and check that nothing changed."""
    conversation.save(path)
    loaded = Conversation.load(path, ollama, keep_unfinished=keep)
    assert loaded.turns == conversation.turns
    return loaded


def played(step: str, pieces: int, prompt: str, conversation: Conversation, server: ScriptedOllama) -> list[str] | None:
    """Send a prompt that ends in this way, and return the turn it should make."""
    whole = Reply.answer(_PIECES)
    if step == "refuse":
        server.enqueue(Reply.error(500, {"error": "out of memory"}))
        assert Heard(conversation.send(prompt)).wait().error
        return None
    if step == "send":
        server.enqueue(whole)
        assert Heard(conversation.send(prompt)).wait().completed
        return [prompt, "abc"]
    if step == "truncate":
        server.enqueue(whole.truncated(pieces))
        assert Heard(conversation.send(prompt)).wait().error
    else:
        count = len(server.requests)
        server.enqueue(whole.stalled(pieces))
        heard = Heard(conversation.send(prompt))
        server.wait_for(count + 1)
        heard.wait_items(pieces).dispose()
    return [prompt, "".join(_PIECES[:pieces])] if pieces else None
