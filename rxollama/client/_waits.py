"""
The waits for first tokens of a client: the estimates that listeners are told, and what is learned from answers.

The law of `/api/ps`. It is asked beside the request, and only if somebody waits and the answer matters: if it is known
how long the model takes to load. The server lists a model that it only began to load, so a late answer may speak of the
load that this very request began: that the model is loaded is believed of a quick answer only. That it is not loaded is
believed whenever it comes. A failure changes nothing. The question ends with the request.

Until the answer comes, and where none does, a model counts as loaded for as long as its latest answer keeps it so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from time import monotonic

from reactivex import Observable, abc

from rxollama._hosts import full_name
from rxollama._runtime import Listener, call_on, take_listener
from rxollama.client._sent_request import is_remote, read_sent
from rxollama.client._wait_book import Key, WaitBook
from rxollama.messages import ChatChunk, RunningModel

__all__ = ("Wait", "Waits")

_ASKING_SECONDS = 2.0
_PROMPT_SECONDS = 0.25


class Waits:
    """
    The waits of a client.

    Args:
        book: What is known.
        host: The base URL of the host.
        running: The stream of the models that are loaded; None if the answer might be another host's.
        now: The clock, in seconds.
    """

    def __init__(
        self,
        book: WaitBook,
        host: str,
        running: Observable[tuple[RunningModel, ...]] | None,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self.book = book
        self.host = host
        self.running = running
        self.now = now

    def begin(self, model: str, body: bytes) -> Wait:
        """Begin the wait for a request that is sent now, in the task that sends it."""
        return Wait(self, model, body)


class Wait:
    """
    The wait for one answer, on the loop of its request.

    Args:
        waits: The waits of the client.
        model: The name of the model.
        body: The body of the request.
    """

    def __init__(self, waits: Waits, model: str, body: bytes) -> None:
        self._waits = waits
        self._key: Key = (waits.host, full_name(model))
        self._body = body
        self._began = waits.now()
        self._has_begun = False
        self._question: _Question | None = None
        self._listener = take_listener()
        if self._listener is not None:
            loop = asyncio.get_running_loop()
            self._listener.want(partial(call_on, loop, partial(self._begin, self._listener)))

    def end(self, last: ChatChunk | None) -> None:
        """
        End the wait.

        Args:
            last: The last chunk of the answer, or None if the answer broke off.
        """
        self._has_begun = True
        if self._question is not None:
            self._question.end()
        if self._listener is not None:
            # Another attempt may follow after a while, in which nothing is expected.
            self._listener.tell(None)
        if last is not None:
            self._waits.book.learn(self._key, read_sent(self._body), last, self._waits.now())

    def _begin(self, listener: Listener) -> None:
        """Pass on the first estimate, and ask what is loaded."""
        sent = read_sent(self._body)
        # The first token of an answer that is not streamed comes with the last one, whose number nobody knows.
        if self._has_begun or not sent.is_streamed:
            return
        self._has_begun = True
        book, key, running = self._waits.book, self._key, self._waits.running

        def waited() -> float:
            return self._waits.now() - self._began

        def tell(*, is_loaded: bool) -> None:
            seconds = book.seconds(key, sent, is_loaded=is_loaded)
            listener.tell(None if seconds is None else max(0.0, seconds - waited()))

        def hear(models: tuple[RunningModel, ...]) -> None:
            is_loaded = any(full_name(model.name) == key[1] for model in models)
            if not is_loaded or waited() <= _PROMPT_SECONDS:
                tell(is_loaded=is_loaded)

        remote = is_remote(key[1])
        tell(is_loaded=remote or book.is_likely_loaded(key, self._began))
        if running is not None and not remote and book.knows_load(key):
            self._question = _Question(running.subscribe(hear, _ignore))


class _Question:
    """A question that is asked beside the request, for a short time."""

    def __init__(self, subscription: abc.DisposableBase) -> None:
        self._subscription = subscription
        self._limit = asyncio.get_running_loop().call_later(_ASKING_SECONDS, subscription.dispose)

    def end(self) -> None:
        self._limit.cancel()
        self._subscription.dispose()


def _ignore(_: Exception) -> None:
    """Ignore a failure: the estimate stays as it is."""
