"""Servers that are killed and restarted on the same port, between requests and during one."""

from __future__ import annotations

import pytest
from faults_cases import WORDS, Client, held_background, no_tasks_left, owned, partial_of, sum_of
from heard import Heard, text_of
from reactivex import operators as rx

from rxollama import Ollama
from rxollama import operators as op
from rxollama.errors import ConnectionFailedError, ConnectionLostError
from rxollama.messages import ChatChunk
from rxollama.testing import Reply, ScriptedOllama


def ask(ollama: Ollama) -> Heard[ChatChunk]:
    """Return a request."""
    return Heard(ollama.chat("m", "Count."))


@pytest.mark.parametrize("times", [1, 3])
def test_between_requests(ollama: Ollama, server: ScriptedOllama, times: int) -> None:
    """A restarted server answers the next request, though the old connections are gone."""
    server.always(Reply.answer(WORDS))
    assert ask(ollama).wait().completed
    for _ in range(times):
        server.stop()
        server.start()
        heard = ask(ollama).wait()
        assert heard.error is None
        assert text_of(heard.items) == "One two three"


def test_several_connections(ollama: Ollama, server: ScriptedOllama) -> None:
    """No connection to the old server is used for the new one, however many there are."""
    server.always(Reply.answer(WORDS, gap=0.01))
    assert all(heard.wait().completed for heard in [ask(ollama) for _ in range(5)])
    server.stop()
    server.start()
    assert [heard.wait().error for heard in [ask(ollama) for _ in range(5)]] == [None] * 5


def test_behind_the_back(ollama: Ollama, server: ScriptedOllama) -> None:
    """A loop that was blocked during the restart makes no difference."""
    server.always(Reply.answer(WORDS))
    assert ask(ollama).wait().completed
    with held_background():
        server.stop()
        server.start()
        heard = ask(ollama)
    assert text_of(heard.wait().items) == "One two three"
    assert heard.error is None


async def test_behind_the_back_of_a_coroutine(http_client: Client, server: ScriptedOllama) -> None:
    """A loop of the caller's that has not run since the restart makes no difference."""
    server.always(Reply.answer(WORDS))
    async with owned(server.url, http_client) as ollama:
        await ollama.chat("m", "Count.")
        server.stop()
        server.start()
        response = await ollama.chat("m", "Count.").pipe(op.collect())
        assert response.message.content == "One two three"


@pytest.mark.parametrize("pieces", [0, 2])
def test_during_a_request(ollama: Ollama, server: ScriptedOllama, pieces: int) -> None:
    """The request fails with what had arrived, and the new server answers the next one."""
    server.enqueue(Reply.answer(WORDS).stalled(pieces), Reply.answer("Back again."))
    heard = ask(ollama).wait_items(pieces)
    server.wait_for(1)
    server.stop()
    assert type(heard.failure) is ConnectionLostError
    assert partial_of(heard.error) == sum_of(heard.items) == ("", "".join(WORDS[:pieces]), ())
    server.start()
    assert text_of(ask(ollama).wait().items) == "Back again."


def test_while_it_is_down(ollama: Ollama, server: ScriptedOllama) -> None:
    """A server that is down is a failed connection; the same client works once it is up again."""
    server.always(Reply.answer(WORDS))
    assert ask(ollama).wait().completed
    server.stop()
    assert type(ask(ollama).failure) is ConnectionFailedError
    server.start()
    assert ask(ollama).wait().completed


def test_retry_over_a_restart(ollama: Ollama, server: ScriptedOllama) -> None:
    """A retry repeats a request after a restart while nothing is visible."""
    server.always(Reply.answer(WORDS))
    server.enqueue(Reply.answer(WORDS).stalled(0))

    def again(error: Exception) -> bool:
        failures.append(type(error))
        if len(failures) == 2:
            server.start()
        return True

    failures: list[type[Exception]] = []
    heard = Heard(ollama.chat("m", "Count.").pipe(op.retry(4, backoff=0, when=again)))
    server.wait_for(1)
    server.stop()
    assert text_of(heard.wait().items) == "One two three"
    assert failures == [ConnectionLostError, ConnectionFailedError]


async def test_in_asyncio(http_client: Client, server: ScriptedOllama) -> None:
    """An `await` that a restart interrupts raises, and leaves no task."""
    server.enqueue(Reply.answer(WORDS).stalled(2), Reply.answer("Back again."))
    async with owned(server.url, http_client) as ollama:

        def restart(chunk: ChatChunk) -> None:
            if chunk.message.content == " two":
                server.stop()
                server.start()

        with pytest.raises(ConnectionLostError) as raised:
            await ollama.chat("m", "Count.").pipe(rx.do_action(restart), op.collect())
        assert partial_of(raised.value) == ("", "One two", ())
        await no_tasks_left()
        assert (await ollama.chat("m", "Count.").pipe(op.collect())).message.content == "Back again."
