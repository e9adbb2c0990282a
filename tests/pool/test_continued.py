"""Answers that break on one host and go on on another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from heard import Heard, text_of

from rxollama import ChatChunk, Ollama
from rxollama.messages import AfterBreak
from rxollama.pool import Pool
from rxollama.testing import Reply, ScriptedOllama

WORDS = ["Blue", " light", " is", " scattered."]


@pytest.fixture
def other() -> Iterator[ScriptedOllama]:
    """Yield a second server."""
    with ScriptedOllama() as other:
        yield other


@pytest.mark.parametrize("after_break", ["restart", "continue"])
def test_on_another_host(server: ScriptedOllama, other: ScriptedOllama, after_break: AfterBreak) -> None:
    """A host that ended an answer too early is not down, and the other one is asked for the rest nevertheless."""
    servers = {each.url: each for each in (server, other)}
    for each in servers.values():
        each.always(Reply.answer(WORDS).truncated(2))

    def take_over(chunk: ChatChunk) -> None:
        if chunk.message.content == WORDS[1]:
            # Whichever was asked first would break again.
            for idle in [each for each in servers.values() if not asked(each)]:
                idle.always(Reply.answer(WORDS[2:] if after_break == "continue" else WORDS))

    def asked(each: ScriptedOllama) -> int:
        return sum(seen.path == "/api/chat" for seen in each.requests)

    with Pool(*servers, after_break=after_break) as pool, Ollama(transport=pool) as ollama:
        heard = Heard(ollama.chat("scripted", "Why?"), take_over).wait()
    assert heard.error is None
    restarts = [place for place, chunk in enumerate(heard.items) if chunk.restart is not None]
    assert restarts == ([] if after_break == "continue" else [2])
    assert text_of(heard.items[restarts[0] if restarts else 0 :]) == "".join(WORDS)
    assert {asked(each) for each in servers.values()} == {1}
