"""Spoiled answers over a real connection: how they are sent, what must come of them, and what does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from random import Random
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec
from _decoding import Outcome, alike, decoded, decoder_of, pieces_of
from _mutate import mutated, spoiled_http
from reactivex import Observable

from rxollama import ChatChunk, Ollama, RxOllamaError
from rxollama._wire import status_error
from rxollama.testing import Piece, Reply, ScriptedOllama, SeenRequest

__all__ = ("PLAYED", "Case", "Stage", "drawn")

How: TypeAlias = Literal["complete", "gzip", "dropped", "reset", "bad gzip", "no http"]
_HOWS: tuple[How, ...] = (
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

PLAYED: dict[str, Callable[[Ollama, str], Observable[Any]]] = {
    "/api/chat": lambda client, model: client.chat(model, "x"),
    "/api/generate": lambda client, model: client.generate(model, "x"),
    "/api/pull": lambda client, model: client.pull(model),
    "/api/push": lambda client, model: client.push(model),
    "/api/create": lambda client, model: client.create(model, from_="x", template="", system="", quantize=""),
    "/api/embed": lambda client, model: client.embed(model, "x"),
    "/api/show": lambda client, model: client.show(model),
    "/api/delete": lambda client, model: client.delete(model),
}
"""The calls whose request names a model, by which it is known what to answer."""


class Case(NamedTuple):
    """Say what is sent: a body, cut somewhere, and how the connection ends; the same again for the same seed."""

    path: str
    status: int
    body: bytes
    how: How
    seed: str

    def reply(self) -> Reply:
        """Build what the server plays."""
        random = Random(self.seed)
        if self.how == "no http":
            return Reply.raw(self.body)
        pieces = tuple(Piece(piece) for piece in pieces_of(self.body, random) if piece)
        reply = Reply(status=self.status, headers=(("content-type", "application/x-ndjson"),), pieces=pieces)
        if self.how == "gzip":
            return reply.encoded("gzip")
        if self.how == "bad gzip":
            return reply.with_headers({"content-encoding": random.choice(_ENCODINGS)})
        after = self._after()
        if self.how == "dropped":
            return reply.dropped(after)
        return reply.reset(after) if self.how == "reset" else reply

    def wrong(self, heard: Outcome) -> str:
        """Tell what is wrong with what was heard, or an empty text."""
        if heard.failure == "ConnectionFailedError":
            return f"there was a connection, and it is told that there was none: {heard.words}"
        if self.how in {"bad gzip", "no http"}:
            return ""
        ends = self.how in {"complete", "gzip"}
        wanted = self._wanted(self.body if ends else self.body[: self._after()], ends=ends)
        known = Outcome(heard.records, heard.failure)
        if alike(known, wanted):
            return ""
        if not ends and self.status >= HTTPStatus.MULTIPLE_CHOICES and not heard.records and heard.failure == _LOST:
            return ""
        if self.how == "reset" and heard.failure in {_LOST, wanted.failure}:
            # A reset may overtake what was sent before it.
            first = Outcome(wanted.records[: len(heard.records)], "")
            return "" if alike(Outcome(heard.records, ""), first) else f"{len(heard.records)} records, others than sent"
        told = " and ".join((f"{len(wanted.records)} records", wanted.failure or "completion"))
        return f"wanted {told}; heard {len(heard.records)} records and {heard.failure or 'completion'} ({heard.words})"

    def _after(self) -> int:
        return Random(self.seed + "/after").randrange(len(self.body) + 1)

    def _wanted(self, body: bytes, *, ends: bool) -> Outcome:
        if self.status >= HTTPStatus.MULTIPLE_CHOICES:
            return Outcome([], type(status_error(self.status, {}, body)).__name__)
        decoder = decoder_of(self.path)()
        outcome = decoded(decoder, [body], ends=ends)
        return Outcome(outcome.records, outcome.failure if decoder.over else _LOST)


def drawn(path: str, status: int, body: bytes, others: list[bytes], seed: str) -> Case:
    """Draw how a body is sent."""
    random = Random(seed + "/how")
    how = random.choice(_HOWS)
    if how == "no http":
        return Case(path, status, spoiled_http(body[:5000], random, others), how, seed)
    if how == "bad gzip":
        whole = b"".join(piece.data for piece in Reply(pieces=(Piece(body),)).encoded("gzip").pieces)
        body = random.choice((body, mutated(whole, random, others)))
    return Case(path, status, body, how, seed)


class Stage:
    """
    Play cases from a server to a client.

    Args:
        server: The server, which serves nothing else.
        client: The client.
        other: The client for what is no HTTP: what is left of it on a connection may spoil the next answer there.
    """

    def __init__(self, server: ScriptedOllama, client: Ollama, other: Ollama) -> None:
        self._client = client
        self._other = other
        self._replies: dict[str, Reply] = {}
        self._count = 0
        server.always(self._reply, path=None)

    def _reply(self, seen: SeenRequest) -> Reply:
        return self._replies[seen.json["model"]]

    async def play(self, case: Case) -> tuple[Outcome, str]:
        """Play a case; return what was heard, and what is wrong with it or an empty text."""
        self._count += 1
        model = f"case-{self._count}"
        self._replies[model] = case.reply()
        records: list[Any] = []
        ends: list[Exception | None] = []
        over = asyncio.Event()

        def end(error: Exception | None = None) -> None:
            ends.append(error)
            over.set()

        client = self._other if case.how == "no http" else self._client
        subscription = PLAYED[case.path](client, model).subscribe(
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
        heard = Outcome(records, type(error).__name__ if error else "", str(error or ""))
        if error is not None and not isinstance(error, RxOllamaError):
            return heard, f"it ended in {error!r}"
        if len(ends) > 1:
            return heard, f"it ended {len(ends)} times"
        try:
            return heard, case.wrong(heard)
        except Exception as raised:  # noqa: BLE001 - It is what is looked for.
            return heard, f"the decoder raised {raised!r}"


def _as_sent(record: Any) -> Any:
    """Take out of the last chunk what the client has put into it."""
    return msgspec.structs.replace(record, client=None) if isinstance(record, ChatChunk) else record
