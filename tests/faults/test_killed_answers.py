"""A server that is killed at every token of a recorded answer, while every kind of view looks on."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import pytest
import structlog
from recorded import recorded

from rxollama import ChatChunk, ChatResponse, Host, Ollama, Pool, Stream
from rxollama import operators as op
from rxollama.testing import Reply, ScriptedOllama, SeenRequest


class Words(NamedTuple):
    """The thinking and content of an answer, or of its beginning."""

    thinking: str
    content: str

    def starts(self, other: Words) -> bool:
        """Return whether another answer starts like this."""
        if self.content:
            return self.thinking == other.thinking and other.content.startswith(self.content)
        return other.thinking.startswith(self.thinking)


def words_of(response: ChatResponse | ChatChunk) -> Words:
    """Return the words of a response."""
    return Words(response.message.thinking, response.message.content)


def answer(name: str, count: int) -> list[dict[str, Any]]:
    """Return the first records of a recorded answer, and its last one."""
    chunks = recorded(name).chunks
    return [chunk.to_dict() for chunk in (*chunks[: count - 1], chunks[-1])]


def louder(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return another answer of the same length: each letter is a capital one."""
    return [
        {**record, "message": {key: text if key == "role" else text.upper() for key, text in record["message"].items()}}
        for record in records
    ]


LONG, THOUGHT = answer("long", 200), answer("sky-thinking", 149)


def whole(records: list[dict[str, Any]]) -> Words:
    """Return the words of an answer."""
    messages = [record["message"] for record in records]
    return Words(*("".join(message.get(key, "") for message in messages) for key in ("thinking", "content")))


def killed(records: list[dict[str, Any]], after: int) -> Reply:
    """Return an answer whose server is killed after some records, which the network may lose or not."""
    reply = Reply.records(records)
    sent = sum(len(piece.data) for piece in reply.pieces[:after])
    return reply.reset(sent) if after % 2 else reply.dropped(sent)


class Killed:
    """
    The replies of servers that are killed once in each answer.

    The model of a request is the place of the kill. The second attempt is louder, so that a view that holds text of two
    attempts shows. A request that ends in a part of the answer gets the rest of it.

    Args:
        records: The first attempt of each answer.
    """

    def __init__(self, records: list[dict[str, Any]]) -> None:
        self._records = records
        self._attempts = Counter[str]()
        self.continued = Counter[str]()
        """How much of each answer a request brought along."""

    def reply(self, request: SeenRequest) -> Reply:
        """Return the reply to a request."""
        place, last = request.json["model"], request.json["messages"][-1]
        self._attempts[place] += 1
        if self._attempts[place] == 1:
            return killed(self._records, int(place))
        if last["role"] == "assistant":
            self.continued[place] = len(last["content"])
            return Reply.records(louder(_rest(self._records, len(last["content"]))))
        return Reply.records(louder(self._records))


def _rest(records: list[dict[str, Any]], length: int) -> list[dict[str, Any]]:
    """Return the records after some characters of content, which end where a record does."""
    for place, record in enumerate(records):
        if not length and record["message"].get("content", ""):
            return records[place:]
        length -= len(record["message"].get("content", ""))
    return records[-1:]


Chat = Callable[[Ollama, str], Stream[ChatChunk]]


def retried(ollama: Ollama, model: str) -> Stream[ChatChunk]:
    """Return a chat that `retry` begins over."""
    return ollama.chat(model, "Go on.").pipe(op.retry(2, backoff=0, after_first="restart"))


def fallen_back(ollama: Ollama, model: str) -> Stream[ChatChunk]:
    """Return a chat that `fallback` begins over."""
    chat = ollama.chat(model, "Go on.")
    return chat.pipe(op.fallback(chat, after_first="restart"))


def restarted(ollama: Ollama, model: str) -> Stream[ChatChunk]:
    """Return a chat that the client begins over."""
    return ollama.chat(model, "Go on.", after_break="restart")


def continued(ollama: Ollama, model: str) -> Stream[ChatChunk]:
    """Return a chat that the client lets the server continue."""
    return ollama.chat(model, "Go on.", after_break="continue")


def plain(ollama: Ollama, model: str) -> Stream[ChatChunk]:
    """Return a chat that leaves a break to the transport."""
    return ollama.chat(model, "Go on.")


@pytest.mark.parametrize(
    ("chat", "records"),
    [(retried, LONG), (retried, THOUGHT), (fallen_back, LONG), (restarted, LONG), (restarted, THOUGHT)],
    ids=["retry", "retry-thinking", "fallback", "client", "client-thinking"],
)
async def test_begun_over(server: ScriptedOllama, chat: Chat, records: list[dict[str, Any]]) -> None:
    """Whatever looks on shows one attempt, and in the end the second one, wherever the first was killed."""
    server.always(Killed(records).reply)
    first, second = whole(records), whole(louder(records))
    async with Ollama(server.url) as ollama:
        await asyncio.gather(*(look_on(chat(ollama, str(place)), first, second) for place in range(len(records))))


@pytest.mark.parametrize("records", [LONG, THOUGHT], ids=["long", "thinking"])
async def test_continued(server: ScriptedOllama, records: list[dict[str, Any]]) -> None:
    """An answer that goes on is what came before the kill and what came after it, wherever the server was killed."""
    killed_once = Killed(records)
    server.always(killed_once.reply)
    async with Ollama(server.url) as ollama:
        places = [str(place) for place in range(len(records))]
        await asyncio.gather(
            *(look_on_continued(continued(ollama, place), place, killed_once, records) for place in places)
        )
    assert killed_once.continued


@pytest.mark.parametrize("after_break", ["restart", "continue"])
async def test_pool(after_break: Literal["restart", "continue"]) -> None:
    """Another host of a pool takes over, wherever the first one was killed."""
    killed_once = Killed(LONG)
    with ScriptedOllama() as one, ScriptedOllama() as other:
        for server in (one, other):
            server.always(killed_once.reply)
            server.always(Reply.json({"models": []}), path="/api/ps")
        hosts = [Host(server.url, models=[str(place) for place in range(len(LONG))]) for server in (one, other)]
        async with Pool(*hosts, after_break=after_break) as pool, Ollama(transport=pool) as ollama:
            for place in range(len(LONG)):
                chat = plain(ollama, str(place))
                if after_break == "restart":
                    await look_on(chat, whole(LONG), whole(louder(LONG)))
                else:
                    await look_on_continued(chat, str(place), killed_once, LONG)


async def look_on_continued(chat: Stream[ChatChunk], place: str, server: Killed, records: list[dict[str, Any]]) -> None:
    """Look at an answer that a server may continue, and check that each view holds what the two attempts are."""
    response = await look_on(chat, whole(records), None)
    length = server.continued[place]
    first, second = whole(records), whole(louder(records))
    thinking = first.thinking if length else second.thinking
    assert words_of(response) == Words(thinking, first.content[:length] + second.content[length:])


async def look_on(chat: Stream[ChatChunk], first: Words, second: Words | None) -> ChatResponse:
    """
    Look at an answer in every way, and check that no view ever holds text of two attempts.

    Args:
        chat: The chat.
        first: The first attempt, as it would have been.
        second: The second one; None if it may also go on from the first.

    Returns:
        The response.
    """
    lines = structlog.testing.LogCapture()
    logger = structlog.wrap_logger(None, processors=[lines])
    shared = chat.pipe(op.log(logger), op.share())
    late: list[asyncio.Future[ChatResponse]] = []
    snapshots: list[Words] = []
    restarts = 0

    def on_chunk(chunk: ChatChunk) -> None:
        nonlocal restarts
        restarts += chunk.restart is not None
        if chunk.restart is not None or not late:
            late.append(asyncio.ensure_future(collected()))

    async def collected() -> ChatResponse:
        return await shared.pipe(op.collect())

    async def paced() -> ChatResponse:
        return await shared.pipe(op.coalesce(0.001), op.collect())

    def on_snapshot(seen: ChatResponse) -> None:
        snapshots.append(words_of(seen))

    views = [
        shared.subscribe(on_chunk, on_error=_ignore),
        shared.pipe(op.accumulate()).subscribe(on_snapshot, on_error=_ignore),
    ]
    response, *others = await asyncio.gather(collected(), paced())
    others += [await each for each in late] + [await collected()]
    words = words_of(response)
    assert words == (second or words)
    assert [words_of(other) for other in others] == [words] * len(others)
    assert snapshots[-1] == words
    assert all(seen.starts(words) or seen.starts(first) for seen in snapshots)
    assert [line["event"] for line in lines.entries].count("chat_restarted") == restarts
    [end] = [line for line in lines.entries if line["event"] == "chat_finished"]
    assert (end["thinking_length"], end["content_length"]) == (len(words.thinking), len(words.content))
    for view in views:
        view.dispose()
    return response


def _ignore(_: Exception) -> None:
    """Leave an error to the subscriber that awaits."""
