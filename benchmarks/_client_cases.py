"""Mutated answers over a real connection: the way they are sent, and the expected and actual results."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from random import Random
from typing import Any, Literal, NamedTuple, TypeAlias, cast

import msgspec
from _decoding import Outcome, are_equal, cut_randomly, decode, decoder_factory
from _mutations import mutate, mutate_http
from _sources import InMemory
from _ways import WAYS, stream_of
from reactivex import Observable

from rxollama import ChatChunk, Ollama, RxOllamaError, Stream
from rxollama._wire import status_error  # Private, because the expected error is that of the decoder for refusals.
from rxollama.errors import ProtocolError
from rxollama.testing import Piece, Reply, ScriptedOllama, SeenRequest

__all__ = ("CALLS", "CasePlayer", "ClientCase", "draw_case", "play_in_memory")

Transfer: TypeAlias = Literal["complete", "gzip", "dropped", "reset", "bad gzip", "no http"]
_TRANSFERS: tuple[Transfer, ...] = (
    "complete",
    "complete",
    "gzip",
    "dropped",
    "dropped",
    "reset",
    "bad gzip",
    "no http",
    "no http",
)
_ENCODINGS = ("gzip", "deflate", "br", "zstd", "gzip, gzip", "x-unknown", "identity, gzip")
_PATIENCE = 10.0
_LOST = "ConnectionLostError"
_CHATS = frozenset({"/api/chat", "/api/generate"})

CALLS: dict[str, Callable[[Ollama, str], Observable[Any]]] = {
    "/api/chat": lambda client, model: client.chat(model, "x"),
    "/api/generate": lambda client, model: client.generate(model, "x"),
    "/api/pull": lambda client, model: client.pull(model),
    "/api/push": lambda client, model: client.push(model),
    "/api/create": lambda client, model: client.create(model, from_="x", template="", system="", quantize=""),
    "/api/embed": lambda client, model: client.embed(model, "x"),
    "/api/show": lambda client, model: client.show(model),
    "/api/delete": lambda client, model: client.delete(model),
}
"""The calls whose request names a model, so that the server knows its reply."""


class ClientCase(NamedTuple):
    """A body, and the way it is sent. The same seed gives the same cuts and the same ending."""

    path: str
    status: int
    body: bytes
    transfer: Transfer
    seed: str

    def reply(self) -> Reply:
        """Return the reply of the server."""
        random = Random(self.seed)
        if self.transfer == "no http":
            return Reply.raw(self.body)
        pieces = tuple(Piece(piece) for piece in cut_randomly(self.body, random) if piece)
        reply = Reply(status=self.status, headers=(("content-type", "application/x-ndjson"),), pieces=pieces)
        if self.transfer == "gzip":
            return reply.encoded("gzip")
        if self.transfer == "bad gzip":
            return reply.with_headers({"content-encoding": random.choice(_ENCODINGS)})
        after = self._after()
        if self.transfer == "dropped":
            return reply.dropped(after)
        return reply.reset(after) if self.transfer == "reset" else reply

    @property
    def ends(self) -> bool:
        """Whether the body ends properly."""
        return self.transfer in {"complete", "gzip"}

    @property
    def way(self) -> str:
        """The way of receiving the answer, or an empty str for a callback that keeps every record."""
        exact = self.ends or self.transfer == "dropped"
        if not exact or self.path not in _CHATS or self.status >= HTTPStatus.MULTIPLE_CHOICES:
            return ""
        return Random(self.seed + "/way").choice(["", *WAYS])

    def expected(self) -> Outcome:
        """Return the expected records and failure, by decoding what is sent."""
        body = self.body if self.ends else self.body[: self._after()]
        if self.status >= HTTPStatus.MULTIPLE_CHOICES:
            return Outcome([], type(status_error(self.status, {}, body)).__name__)
        if self.transfer == "gzip":
            # No client asks for it.
            return Outcome([], ProtocolError.__name__)
        decoder = decoder_factory(self.path)()
        outcome = decode(decoder, [body], ends=self.ends)
        return Outcome(_named(outcome.records), outcome.failure if decoder.over else _LOST)

    def error_in(self, received: Outcome) -> str:
        """Return a description of an unexpected result, or an empty str."""
        if received.failure == "ConnectionFailedError":
            return f"expected an error of an established connection, got {received.message}"
        if self.transfer in {"bad gzip", "no http"}:
            return ""
        expected = self.expected()
        known = Outcome(received.records, received.failure)
        if are_equal(known, expected):
            return ""
        is_error_status = self.status >= HTTPStatus.MULTIPLE_CHOICES
        if not self.ends and is_error_status and not received.records and received.failure == _LOST:
            return ""
        if self.transfer == "reset" and received.failure in {_LOST, expected.failure}:
            # A reset may overtake bytes that were sent before it.
            first = Outcome(expected.records[: len(received.records)], "")
            same = are_equal(Outcome(received.records, ""), first)
            return "" if same else f"{len(received.records)} records, others than sent"
        wanted = f"{len(expected.records)} records and {expected.failure or 'completion'}"
        got = f"{len(received.records)} records and {received.failure or 'completion'} ({received.message})"
        return f"expected {wanted}, got {got}"

    def _after(self) -> int:
        return Random(self.seed + "/after").randrange(len(self.body) + 1)


def draw_case(case: ClientCase, others: list[bytes]) -> ClientCase:
    """Return a case with a random way of sending its body."""
    random = Random(case.seed + "/transfer")
    body, transfer = case.body, random.choice(_TRANSFERS)
    if transfer == "no http":
        body = mutate_http(body[:5000], random, others)
    elif transfer == "bad gzip":
        whole = b"".join(piece.data for piece in Reply(pieces=(Piece(body),)).encoded("gzip").pieces)
        body = random.choice((body, mutate(whole, random, others)))
    return case._replace(body=body, transfer=transfer)


class CasePlayer:
    """
    A server and its clients, for playing cases.

    Args:
        server: The server. It is used for nothing else.
        client: The client.
        other: The client for bytes that are not HTTP. Their rest on a connection may corrupt the next answer there.
    """

    def __init__(self, server: ScriptedOllama, client: Ollama, other: Ollama) -> None:
        self._client = client
        self._other = other
        self._replies: dict[str, Reply] = {}
        self._count = 0
        server.always(self._reply, path=None)

    def _reply(self, seen: SeenRequest) -> Reply:
        return self._replies[seen.json["model"]]

    async def play(self, case: ClientCase) -> tuple[Outcome, str]:
        """Play a case, and return its result and a description of an error, or an empty str."""
        self._count += 1
        model = f"case-{self._count}"
        self._replies[model] = case.reply()
        records: list[Any] = []
        ends: list[Exception | None] = []
        over = asyncio.Event()

        def end(error: Exception | None = None) -> None:
            ends.append(error)
            over.set()

        client = self._other if case.transfer == "no http" else self._client
        if case.way:
            try:
                return await _play_way(case, CALLS[case.path](client, model))
            finally:
                del self._replies[model]
        subscription = CALLS[case.path](client, model).subscribe(
            lambda record: records.append(_as_sent(record)), end, end
        )
        try:
            async with asyncio.timeout(_PATIENCE):
                await over.wait()
        except TimeoutError:
            subscription.dispose()
            return Outcome(records, "hang"), f"it did not end within {_PATIENCE:g} s"
        finally:
            del self._replies[model]
        error = ends[0]
        received = Outcome(records, type(error).__name__ if error else "", str(error or ""))
        if error is not None and not isinstance(error, RxOllamaError):
            return received, f"it ended in {error!r}"
        if len(ends) > 1:
            return received, f"it ended {len(ends)} times"
        try:
            return received, case.error_in(received)
        except Exception as raised:  # noqa: BLE001 - Any error is a finding.
            return received, f"the decoder raised {raised!r}"


async def play_in_memory(case: ClientCase) -> str:
    """Receive a body that is in memory in the case's way, and return a description of an error, or an empty str."""
    blocks = cut_randomly(case.body, Random(case.seed))
    _, error = await _play_way(case, CALLS[case.path](Ollama(transport=InMemory(blocks)), "m"))
    return error


async def _play_way(case: ClientCase, chat: Observable[Any]) -> tuple[Outcome, str]:
    expected = case.expected()
    way = WAYS[case.way]
    try:
        async with asyncio.timeout(_PATIENCE):
            wanted = await way(stream_of(expected.records, expected.failure))
            got = await way(cast("Stream[ChatChunk]", chat))
    except TimeoutError:
        return Outcome([], "hang"), f"{case.way}: it did not end within {_PATIENCE:g} s"
    error = "" if wanted == got else f"{case.way}: one by one {wanted}, from a chat {got}"
    return expected, error


def _named(records: list[Any]) -> list[Any]:
    """Return the records of an answer, with the client's word for one that has neither content nor a call."""
    last = records[-1] if records else None
    if not isinstance(last, ChatChunk) or not last.done:
        return records
    messages = [record.message for record in records]
    if any(message.content or message.tool_calls or message.images for message in messages):
        return records
    has_thinking = any(message.thinking for message in messages)
    if last.done_reason not in ({"", "stop", "length"} if has_thinking else {"", "stop"}):
        return records
    word = "thinking_only" if has_thinking else "empty"
    return [*records[:-1], msgspec.structs.replace(last, done_reason=word)]


def _as_sent(record: Any) -> Any:
    """Return a record without the times that the client added to the last chunk."""
    return msgspec.structs.replace(record, client=None) if isinstance(record, ChatChunk) else record
