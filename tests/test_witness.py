"""Who is told how far a request is, and of which requests."""

from __future__ import annotations

import asyncio

import pytest

from rxollama._runtime import background
from rxollama._witness import Request, begin, witnessed_by


class Ear:
    """Note what is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def asked(self) -> None:
        """Note it."""
        self.told.append("asked")

    def connecting(self) -> None:
        """Note it."""
        self.told.append("connecting")

    def sent(self) -> None:
        """Note it."""
        self.told.append("sent")

    def over(self) -> None:
        """Note it."""
        self.told.append("over")


class Deaf(Ear):
    """Fail whatever is told."""

    def sent(self) -> None:
        """Fail."""
        raise KeyError("mine")


def begun(witness: Ear) -> Request:
    """Begin a request of which a witness hears."""
    with witnessed_by(witness):
        request = begin()
    assert request is not None
    return request


def test_nobody() -> None:
    """Outside of a witness' hearing nobody is told, and within one that is closed to it neither."""
    assert begin() is None
    ear = Ear()
    with witnessed_by(ear):
        with witnessed_by(None):
            assert begin() is None
        assert begin() is not None
    assert begin() is None
    assert ear.told == ["asked"]


async def test_each_step_once() -> None:
    """Every step is told once, also where a body is sent twice."""
    ear = Ear()
    request = begun(ear)
    request.connecting()
    request.sent()
    request.sent()
    request.over()
    request.sent()

    assert ear.told == ["asked", "connecting", "sent", "over"]


async def test_never_sent() -> None:
    """A request that was never on its way is not over either."""
    ear = Ear()
    request = begun(ear)
    request.connecting()
    request.over()
    request.sent()

    assert ear.told == ["asked", "connecting"]


def test_a_witness_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """What a witness raises is reported, and goes no further."""
    begun(Deaf()).sent()

    assert [record.message for record in caplog.records] == ["the witness of a request raised"]


async def test_who_inherits() -> None:
    """Tasks and timers that begin within its hearing have the witness, but the one that hands chunks on has not."""
    ear = Ear()
    loop = asyncio.get_running_loop()
    found: asyncio.Queue[tuple[str, bool]] = asyncio.Queue()

    def look(name: str) -> None:
        found.put_nowait((name, begin() is not None))

    async def hand_on(request: Request) -> None:
        look("task")
        request.connecting()
        look("chunk")

    with witnessed_by(ear):
        request = begin()
        assert request is not None
        task = asyncio.create_task(hand_on(request))
        task.add_done_callback(lambda _: look("end"))
        loop.call_later(0.001, look, "timer")
    look("outside")

    assert dict([await found.get() for _ in range(5)]) == {
        "outside": False,
        "task": True,
        "chunk": False,
        "end": True,
        "timer": True,
    }


@pytest.mark.parametrize("heard", [True, False])
def test_the_background_loop(heard: bool) -> None:
    """What is told to another loop's thread takes the witness along."""
    ear = Ear()

    async def look() -> bool:
        return begin() is not None

    with witnessed_by(ear if heard else None):
        future = asyncio.run_coroutine_threadsafe(look(), background())

    assert future.result(10) is heard
