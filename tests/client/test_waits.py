"""The wait for a first token: what is told to whoever waits, and what is learned."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
from reactivex.subject import Subject

from rxollama._runtime import WaitHub, WaitListener, listening
from rxollama._wire import encode_chat
from rxollama.client._learned_wait import LearnedWait
from rxollama.client._wait_book import WaitBook
from rxollama.client._waits import Wait, Waits
from rxollama.messages import ChatChunk, ChatRequest, ClientTiming, RunningModel

# A load takes 1,000 s, and each byte of a prompt a second.
KNOWN = LearnedWait(load=1000.0, read_tokens=10.0, read_seconds=10.0, prompt_tokens=10.0, prompt_bytes=10.0)
HOST = "http://gpu:11434"
SECOND = 1_000_000_000


def body(content: str = "Hi", model: str = "m", **options: Any) -> bytes:
    """Return the body of a request."""
    return encode_chat(ChatRequest(model=model, messages=content, **options))


def loaded(*names: str) -> tuple[RunningModel, ...]:
    """Return models that are loaded."""
    return tuple(RunningModel(name=name) for name in names)


class Asked:
    """The waits of a client in made-up time, and what is told of them."""

    def __init__(self, known: LearnedWait | None = KNOWN, *, asks: bool = True, model: str = "m:latest") -> None:
        self.time = 0.0
        self.changes = 0
        self.running: Subject[tuple[RunningModel, ...]] = Subject()
        self.told: list[float | None] = []
        self.book = WaitBook({} if known is None else {(HOST, model): known}, self._on_change)
        self._waits = Waits(self.book, HOST, self.running if asks else None, lambda: self.time)

    def _on_change(self) -> None:
        self.changes += 1

    @property
    def is_asking(self) -> bool:
        """Whether a question is open."""
        return bool(self.running.observers)

    def begin(self, sent: bytes, model: str = "m") -> Wait:
        """Begin a request, while somebody waits."""
        with listening(WaitListener(self.told.append)):
            return self._waits.begin(model, sent)

    @contextmanager
    def asked(self, sent: bytes, model: str = "m") -> Generator[None]:
        """Begin a request, and let it break off."""
        wait = self.begin(sent, model)
        yield
        wait.end(None)
        assert not self.is_asking

    def answered(self, sent: bytes, seconds: float = 0.0, done_reason: str = "stop", **numbers: Any) -> None:
        """Answer a request, which takes some time, while nobody waits."""
        wait = self._waits.begin("m", sent)
        self.time += seconds
        client = ClientTiming(time_to_first_token=round(seconds * SECOND), wall_duration=round(seconds * SECOND))
        wait.end(ChatChunk(done=True, done_reason=done_reason, client=client, **numbers))


LENGTH = float(len(body()))


class TestAsking:
    """The question for what is loaded."""

    async def test_not_loaded(self) -> None:
        """A model is expected to load, unless it answered of late. That it is not loaded is believed at any time."""
        asked = Asked()
        with asked.asked(body()):
            assert asked.is_asking
            asked.time = 0.5
            asked.running.on_next(loaded("other:latest", "m:8b"))
        assert asked.told == [1000 + LENGTH, 1000 + LENGTH - 0.5, None]

    async def test_loaded(self) -> None:
        """A model that is loaded only reads the prompt."""
        asked = Asked()
        with asked.asked(body()):
            asked.time = 0.2
            asked.running.on_next(loaded("other:latest", "m:latest"))
        assert asked.told == [1000 + LENGTH, LENGTH - 0.2, None]

    async def test_too_late(self) -> None:
        """A late answer may speak of the load that this request began, and is not believed."""
        asked = Asked()
        with asked.asked(body()):
            asked.time = 0.3
            asked.running.on_next(loaded("m:latest"))
        assert asked.told == [1000 + LENGTH, None]

    async def test_unloaded_meanwhile(self) -> None:
        """A model that answered of late counts as loaded, until the server denies it."""
        asked = Asked()
        asked.answered(body("Hello"))
        asked.told.clear()
        with asked.asked(body()):
            asked.running.on_next(())
        assert asked.told == [LENGTH, 1000 + LENGTH, None]

    async def test_kept_alive(self) -> None:
        """A model counts as loaded for as long as its latest request keeps it so."""
        for seconds, first in ((59.0, LENGTH), (61.0, 1000 + LENGTH)):
            asked = Asked(asks=False)
            asked.answered(body("Hello", keep_alive="1m"))
            asked.time += seconds
            with asked.asked(body()):
                assert asked.told == [first]

    async def test_unload(self) -> None:
        """A model that was unloaded is expected to load."""
        asked = Asked()
        asked.answered(body("Hello"))
        asked.answered(body("", keep_alive=0), done_reason="unload")
        with asked.asked(body()):
            assert asked.told == [1000 + LENGTH]

    async def test_never_negative(self) -> None:
        """Time that has passed is not expected."""
        asked = Asked(LearnedWait(load=1.0))
        with asked.asked(body()):
            asked.time = 5.0
            asked.running.on_next(())
        assert asked.told == [1.0, 0.0, None]

    async def test_fails(self) -> None:
        """A failure changes nothing."""
        asked = Asked()
        with asked.asked(body()):
            asked.running.on_error(ValueError("not JSON"))
        assert asked.told == [1000 + LENGTH, None]

    async def test_closed_with_the_request(self) -> None:
        """The question ends with the request, and so does its limit."""
        asked = Asked()
        with asked.asked(body()):
            assert asked.is_asking
        assert asked.told == [1000 + LENGTH, None]

    async def test_limit(self) -> None:
        """A question is given up after two seconds."""
        asked = Asked()
        with asked.asked(body()):
            await asyncio.wait_for(until_not_asking(asked), 10)

    @pytest.mark.parametrize(
        "known", [None, LearnedWait(read_tokens=1, read_seconds=1, prompt_tokens=1, prompt_bytes=1)]
    )
    async def test_no_load_known(self, known: LearnedWait | None) -> None:
        """Nothing is asked if the answer can change nothing."""
        asked = Asked(known)
        with asked.asked(body()):
            assert not asked.is_asking
        assert asked.told == [None, None]

    async def test_several_hosts(self) -> None:
        """A transport to several hosts is not asked."""
        asked = Asked(asks=False)
        with asked.asked(body()):
            assert not asked.is_asking
        assert asked.told == [1000 + LENGTH, None]

    async def test_cloud(self) -> None:
        """A model in the cloud is always loaded."""
        asked = Asked(model="m:120b-cloud")
        sent = body(model="m:120b-cloud")
        with asked.asked(sent, "m:120b-cloud"):
            assert not asked.is_asking
        assert asked.told == [float(len(sent)), None]

    async def test_not_streamed(self) -> None:
        """An answer that comes as a whole has no time that is known."""
        asked = Asked()
        with asked.asked(body(stream=False)):
            assert not asked.is_asking
        assert asked.told == [None]


async def until_not_asking(asked: Asked) -> None:
    """Wait until the question is given up."""
    while asked.is_asking:  # noqa: ASYNC110 - A subject does not say that an observer left.
        await asyncio.sleep(0.01)


class TestListening:
    """The listeners that hear it."""

    async def test_nobody(self) -> None:
        """Without a listener nothing is asked."""
        asked = Asked()
        asked.answered(body())
        assert not asked.is_asking
        assert asked.told == []

    async def test_closed(self) -> None:
        """A listener that was closed is none."""
        asked = Asked()
        listener = WaitListener(asked.told.append)
        listener.close()
        with listening(listener):
            Waits(asked.book, HOST, asked.running).begin("m", body())
        assert not asked.is_asking

    async def test_answer(self) -> None:
        """After a whole answer nothing is expected, and whoever comes is told nothing."""
        asked, hub = Asked(), WaitHub()
        with listening(hub):
            wait = Waits(asked.book, HOST, asked.running).begin("m", body())
        wait.end(ChatChunk(done=True))
        hub.add(WaitListener(asked.told.append))
        assert asked.told == []
        asked.begin(body()).end(ChatChunk(done=True))
        assert asked.told == [0.0, None]

    async def test_later(self) -> None:
        """Whoever comes later is told the rest of the wait. Nothing is asked before the first, and it is asked once."""
        asked, hub = Asked(), WaitHub()
        later: list[list[float | None]] = [[], []]
        with listening(hub):
            wait = Waits(asked.book, HOST, asked.running, lambda: asked.time).begin("m", body())
        assert not asked.is_asking
        asked.time = 10.0
        for told in later:
            hub.add(WaitListener(told.append))
        assert len(asked.running.observers) == 1
        first, second = later
        assert first == [990 + LENGTH]
        assert second == [pytest.approx(990 + LENGTH, abs=5.0)]
        wait.end(None)
        assert [told[-1] for told in later] == [None, None]
        assert not asked.is_asking

    async def test_from_a_thread(self) -> None:
        """Whoever comes on another thread is told on the loop of the request."""
        asked, hub, told = Asked(), WaitHub(), asyncio.Event()
        with listening(hub):
            wait = Waits(asked.book, HOST, asked.running).begin("m", body())

        def tell(_: float | None) -> None:
            told.set()

        await asyncio.to_thread(hub.add, WaitListener(tell))
        await asyncio.wait_for(told.wait(), 10)
        assert asked.is_asking
        wait.end(None)


class TestLearning:
    """The lessons of answers."""

    async def test_answers(self) -> None:
        """An answer teaches its load and its pace; the next request is expected to take as long."""
        asked = Asked(None)
        numbers: dict[str, Any] = {
            "load_duration": 5 * SECOND,
            "prompt_eval_count": 100,
            "prompt_eval_duration": 2 * SECOND,
        }
        asked.answered(body("Hello"), 7.0, **numbers)
        with asked.asked(body("Other")):
            asked.running.on_next(())
        assert asked.told == [pytest.approx(2.0), pytest.approx(7.0), None]
        assert asked.changes == 1

    async def test_follows_a_conversation(self) -> None:
        """Messages that the request before had are not read again."""
        asked = Asked(asks=False)
        asked.answered(body("Hello"))
        with asked.asked(body("Hello")):
            assert asked.told == [0.0]

    async def test_loads(self) -> None:
        """A request that loads the model teaches how long that takes, and leaves an empty cache."""
        asked = Asked(None)
        asked.answered(body("Hello"))
        asked.answered(body(""), 9.0, "load")
        with asked.asked(body()):
            asked.running.on_next(())
        assert asked.told == [None, 9.0, None]

    async def test_loaded_already(self) -> None:
        """A request that finds the model loaded keeps it so, and teaches nothing."""
        asked = Asked()
        asked.answered(body("Hello", keep_alive=10))
        asked.time += 5
        asked.answered(body("", keep_alive=100), 0.1, "load")
        asked.time += 50
        with asked.asked(body("Hello")):
            assert asked.told == [0.0]
        assert asked.changes == 0

    async def test_broken_off(self) -> None:
        """An answer that breaks off teaches nothing."""
        asked = Asked(None)
        with asked.asked(body()):
            asked.time += 10
        assert asked.book.known() == {}

    async def test_many_models(self) -> None:
        """The memory is limited, and the models that answered first are forgotten."""
        book = WaitBook({}, list)
        waits = Waits(book, HOST, None)
        for number in range(600):
            waits.begin(f"m{number}", body()).end(ChatChunk(done=True, load_duration=SECOND))
        assert len(book.known()) == 512
        assert (HOST, "m0:latest") not in book.known()
        assert (HOST, "m599:latest") in book.known()
