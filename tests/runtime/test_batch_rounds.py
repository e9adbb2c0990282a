"""The law of batches in conversations: nobody outside can see them, in the answers, the requests and the history."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import pytest
from batch_cases import Journal, OneByOne
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reactivex.disposable import SingleAssignmentDisposable
from scripted_answers import Answer, Scripted, answers, record
from virtual_loop import VirtualLoop

from rxollama import Conversation, Ollama, Stream
from rxollama import operators as op
from rxollama.messages import ChatChunk

_CALL = {"function": {"name": "get_time", "arguments": {"city": "Oslo"}}, "id": "call_1"}
_WORDS = b"".join(record(f"c{n} ", f"t{n} " * (n < 8)) for n in range(16))
_CALLS = Answer(((0.01, _WORDS), (0.01, record(message={"tool_calls": [_CALL, _CALL]}) + record("", done=True))))


async def get_time(city: str) -> str:
    """Return the time in a city."""
    await asyncio.sleep(0.2)
    return f"noon in {city}"


class Talk(NamedTuple):
    """
    A conversation of two prompts.

    Args:
        answers: The answers of the server.
        through: Whether each round goes through `timeouts` and `retry`.
        keeps: Whether unfinished answers join the history.
        leaves: The place of the item at which the loud subscriber leaves; None for no such subscriber.
        seconds: The virtual time until everybody leaves.
    """

    answers: tuple[Answer, ...]
    through: bool
    keeps: bool
    leaves: int | None
    seconds: float


def talks() -> st.SearchStrategy[Talk]:
    """Draw a conversation, whose rounds begin with calls or not."""
    rounds = st.lists(answers() | st.just(_CALLS), min_size=1, max_size=3).map(tuple)
    places, seconds = st.none() | st.none() | st.integers(1, 30), st.sampled_from([60.0, 60.0, 0.025, 0.3])
    return st.builds(Talk, rounds, st.booleans(), st.booleans(), places, seconds)


def _through(source: Any) -> Any:
    return source.pipe(op.timeouts(first_chunk=1, gap=1), op.retry(2, backoff=0.1, jitter=0))


async def played(talk: Talk, client: type[Ollama]) -> list[Any]:
    """Play a conversation, and return what was seen of it, the requests and the history."""
    transport, journal = Scripted(talk.answers), Journal()
    ollama = client(transport=transport)
    conversation = Conversation(
        ollama,
        "m",
        tools=[get_time],
        max_rounds=3,
        keep_unfinished=talk.keeps,
        through=_through if talk.through else None,
    )
    for prompt in ("Hi", "And now?"):
        await _ask(conversation.send(prompt), talk, journal)
        journal.write("history", prompt, conversation.messages)
        journal.write("metrics", prompt, conversation.metrics)
    await ollama.aclose()
    return [journal.entries, transport.requests]


async def _ask(answer: Stream[ChatChunk], talk: Talk, journal: Journal) -> None:
    shared = answer.pipe(op.log(journal), op.share())
    seen: list[object] = []
    loud = SingleAssignmentDisposable()

    def on_next(chunk: object) -> None:
        journal.write("chunk", "item", chunk)
        seen.append(chunk)
        if len(seen) == talk.leaves:
            loud.dispose()

    def on_response(response: object) -> None:
        journal.write("response", "item", response)

    def on_error(error: Exception) -> None:
        journal.write("response", "error", error)

    quiet = shared.pipe(op.collect()).subscribe(on_response, on_error)
    if talk.leaves is not None:
        loud.disposable = shared.subscribe(on_next, on_error)
    await asyncio.sleep(talk.seconds)
    quiet.dispose()
    loud.dispose()


@given(talks())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_conversations(talk: Talk) -> None:
    """Answers, logs, requests and the history of a conversation with tools are what they are without batches."""
    with asyncio.Runner(loop_factory=VirtualLoop) as one, asyncio.Runner(loop_factory=VirtualLoop) as other:
        assert one.run(played(talk, OneByOne)) == other.run(played(talk, Ollama))


@pytest.mark.parametrize("client", [OneByOne, Ollama])
def test_the_case_is_what_it_seems(client: type[Ollama]) -> None:
    """Such a conversation calls its tools, and remembers what was said."""
    talk = Talk((_CALLS, Answer(((0.01, _WORDS + record("", done=True)),))), False, False, None, 60.0)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        entries, requests = runner.run(played(talk, client))

    assert 3 == len(requests)
    assert 3 == str(entries).count("chat_tool_call'") + 1
    assert "noon in Oslo" in str(entries[-2])
