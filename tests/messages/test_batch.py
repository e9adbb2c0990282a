"""Batches: whoever adds one at once holds what it holds if the items come one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import chunks

from rxollama.messages import (
    Backlog,
    Batch,
    ChatChunk,
    ChunkBatch,
    Latest,
    Message,
    Queue,
    ResponseBuilder,
    StreamTotal,
    TextBatch,
)
from rxollama.messages._chunk import ChunkSum


class Record(NamedTuple):
    """A record of the server."""

    model: str
    created_at: str


def chunk_batch(*texts: str) -> ChunkBatch:
    """Return chunks: of "?a b" thinking and content, of "?a" thinking, and of all others content."""
    thinkings = [text[1:].partition(" ")[0] if text.startswith("?") else "" for text in texts]
    contents = [text.partition(" ")[2] if text.startswith("?") else text for text in texts]
    records = [Record(f"m{place % 2}", f"{place}") for place in range(len(texts))]
    return ChunkBatch(records, contents, thinkings)


_TEXTS = st.sampled_from(["", "", "a", "b", "?c", "?d", "?e f"])
_BATCHES = st.lists(_TEXTS, min_size=1, max_size=6).map(lambda texts: chunk_batch(*texts))
_ADDED = st.lists(_BATCHES | _BATCHES | chunks(done=False) | chunks(role="assistant"), max_size=5)


def _add(to: Any, each: Any) -> None:
    (to.extend if isinstance(each, Batch) else to.add)(each)


def _items_of(each: Any) -> list[Any]:
    return [*each] if isinstance(each, ChunkBatch) else [each]


def _backlog(added: list[Any]) -> object:
    backlog: Backlog[Any] = Backlog()
    for each in added:
        _add(backlog, each)
    return backlog.has_finished, backlog.look(), backlog.take()


def _backlog_of_some(added: list[Any]) -> object:
    backlog: Backlog[Any] = Backlog()
    taken: list[Any] = []
    for each in added:
        _add(backlog, each)
        # What waits may be taken between two reads.
        is_odd = not isinstance(each, Batch) and each.message.tool_calls
        taken += backlog.take() if is_odd else []
    return taken + backlog.take()


def _latest(added: list[Any]) -> object:
    latest: Latest[Any] = Latest()
    for each in added:
        _add(latest, each)
    return latest.take()


def _queue(added: list[Any]) -> object:
    queue: Queue[Any] = Queue()
    for each in added:
        _add(queue, each)
    return queue.take()


def _total(added: list[Any]) -> object:
    total: StreamTotal[Any] = StreamTotal()
    for each in added:
        _add(total, each)
    return total.value if total else None


def _response(added: list[Any]) -> object:
    builder = ResponseBuilder()
    for each in added:
        builder.extend(each if isinstance(each, ChunkBatch) else [each])
    return builder.snapshot()


def _snapshots(added: list[Any]) -> object:
    builder = ResponseBuilder()
    snapshots: list[Any] = []
    last: Any = None
    for each in added:
        if isinstance(each, ChunkBatch):
            batch = builder.snapshots(each)
            last = batch.last
            assert len(batch) == len(each)
            snapshots += batch
        else:
            builder.add(each)
            last = builder.snapshot()
            snapshots.append(last)
    return snapshots, last


@pytest.mark.parametrize("held", [_backlog, _backlog_of_some, _latest, _queue, _total, _response, _snapshots])
def test_one_by_one(held: Callable[[list[Any]], object]) -> None:
    """Sums, queues, responses and snapshots are what they are one by one, between chunks of all kinds."""

    @given(_ADDED)
    @settings(max_examples=60)
    def same(added: list[Any]) -> None:
        assert held(added) == held([item for each in added for item in _items_of(each)])

    same()


@given(_ADDED, _BATCHES)
def test_fits(added: list[Any], batch: ChunkBatch) -> None:
    """A batch fits only if none of its items would finish one that waits; a batch that begins with text, exactly if."""
    backlog, other = Backlog[Any](), Backlog[Any]()
    for each in added:
        _add(backlog, each)
        _add(other, each)
    backlog.take_finished()
    other.take_finished()
    fits = backlog.fits(batch)
    for item in batch:
        other.add(item)

    assert not (fits and other.has_finished)
    assert fits or other.has_finished or not any(next(batch.texts()))


class TestTexts:
    """Batches of texts."""

    def test_empty_texts_are_not_items(self) -> None:
        """Texts that are empty are not items: an operator of texts does not emit them."""
        batch = TextBatch("ab", ["", "a", "", "b", ""])

        assert (2, ["a", "b"], "b", ("ab",)) == (len(batch), [*batch], batch.last, batch.sums())

    def test_backlog(self) -> None:
        """A backlog adds their sum."""
        backlog = Backlog[str]()
        backlog.add("x")
        backlog.extend(TextBatch("ab", ["a", "b"]))

        assert ["xab"] == backlog.take()

    def test_total(self) -> None:
        """The total of a stream of texts adds their sum, and that of snapshots keeps the last."""
        texts, numbers = StreamTotal[str](), StreamTotal[int]()
        texts.add("x")
        texts.extend(TextBatch("ab", ["a", "b"]))
        numbers.extend(Batch(2, lambda: [1, 2]))

        assert ("xab", 2) == (texts.value, numbers.value)

    def test_chunks_total(self) -> None:
        """A batch of something else does not add up to a sum of chunks."""
        batch: Batch[Any] = TextBatch("a", ["a"])

        assert batch.has_one_kind
        assert not batch.add_to(ChunkSum())

    def test_latest(self) -> None:
        """Whatever waits as the latest item makes room for a batch."""
        latest = Latest[str]()
        latest.add("x")

        assert latest.fits(TextBatch("ab", ["a", "b"]))


class TestParts:
    """Parts of a batch of chunks."""

    BATCH = ("", "a", "?b", "?c d", "e")

    @pytest.mark.parametrize("built", [False, True])
    @pytest.mark.parametrize("place", range(6))
    def test_head_and_rest(self, place: int, *, built: bool) -> None:
        """The first items, and the batch of all others, are all items, built once."""
        items = [*chunk_batch(*self.BATCH)]
        batch = chunk_batch(*self.BATCH)
        before = [*batch] if built else []

        head = batch.head(place)
        rest = [*batch.rest(place)] if place < len(items) else []

        assert items == [*head, *rest]
        assert all(one is other for one, other in zip(before, [*head, *rest], strict=False))

    def test_rest_of_nothing_read(self) -> None:
        """The batch without its first 0 items is itself."""
        batch = chunk_batch("a")

        assert batch.rest(0) is batch

    def test_texts(self) -> None:
        """A batch holds its texts joined, and delta by delta."""
        batch = chunk_batch(*self.BATCH)

        assert ("ade", "bc", "m0", 5) == (batch.content, batch.thinking, batch.model, len(batch))
        assert (["a", "d", "e"], ["b", "c"]) == ([*batch.content_batch], [*batch.thinking_batch])
        assert [False, True, True] == [chunk_batch(*texts).has_one_kind for texts in (self.BATCH, ("a",), ("", "?a"))]


def test_items_are_built_when_first_asked_for() -> None:
    """Items are built once, when they are first asked for; a last item that is there already needs none."""
    built: list[int] = []

    def build() -> Sequence[int]:
        built.append(1)
        return [1, 2]

    batch = Batch(2, build, last=2)
    assert (2, 2, []) == (len(batch), batch.last, built)
    assert ([1, 2], [1, 2], [1, 2], [1]) == ([*batch], batch.items, batch.sums(), built)
    assert 2 == Batch(2, build).last


def test_chunks_of_a_batch() -> None:
    """Each chunk has the texts, the model and the time of its record, and is the assistant's."""
    message = Message("assistant", "b", "a")

    assert [ChatChunk(model="m0", created_at="0", message=message)] == [*chunk_batch("?a b")]
