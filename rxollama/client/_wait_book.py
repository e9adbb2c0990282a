"""The waits for first tokens that are known, by host and model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias, TypeVar

from rxollama.client._learned_wait import LearnedWait
from rxollama.client._sent_request import SentRequest
from rxollama.messages import ChatChunk, metrics_of

__all__ = ("Key", "WaitBook")

T = TypeVar("T")

Key: TypeAlias = tuple[str, str]
"""The base URL of the host, empty if only the transport knows it, and the model's name with its tag."""

_LIMIT = 512
_NOTHING = LearnedWait()


class _Recent(NamedTuple):
    """The latest answer of a model: its request, and until when the model stays loaded after it."""

    sent: SentRequest | None
    until: float


class WaitBook:
    """
    The waits that answers taught, by host and model, and the models that answered of late.

    Values are replaced as a whole, so threads need no lock, which a forked child could inherit locked. Two answers of
    one model that end at the same moment may count as one.

    Args:
        known: What is known already.
        on_change: Called when something was learned.
    """

    def __init__(self, known: Mapping[Key, LearnedWait], on_change: Callable[[], object]) -> None:
        self._known = {**known}
        self._recent: dict[Key, _Recent] = {}
        self._on_change = on_change

    def known(self) -> dict[Key, LearnedWait]:
        """Return a copy of what is known."""
        return self._known.copy()

    def knows_load(self, key: Key) -> bool:
        """Return whether it is known how long a model takes to load."""
        return self._known.get(key, _NOTHING).load is not None

    def is_likely_loaded(self, key: Key, now: float) -> bool:
        """Return whether the latest answer of a model is no longer ago than it stays loaded."""
        recent = self._recent.get(key)
        return recent is not None and now <= recent.until

    def seconds(self, key: Key, sent: SentRequest, *, is_loaded: bool) -> float | None:
        """Return how long the first token of a request takes, or None if it is not known."""
        recent = self._recent.get(key)
        size = sent.size_after(None if recent is None else recent.sent)
        return self._known.get(key, _NOTHING).seconds(size, is_loaded=is_loaded)

    def learn(self, key: Key, sent: SentRequest, last: ChatChunk, now: float) -> None:
        """
        Learn from an answer.

        Args:
            key: The host and the model.
            sent: The request.
            last: The last chunk of the answer.
            now: The moment, by the clock of `is_likely_loaded`.
        """
        if last.done_reason == "unload":
            self._recent.pop(key, None)
            return
        recent, learned, metrics = self._recent.get(key), self._known.get(key, _NOTHING), metrics_of(last)
        before = None if recent is None else recent.sent
        if last.done_reason == "load":
            after = learned.after_load(metrics.wall_duration)
            # A model that was loaded just now has an empty cache.
            latest = before if after == learned else None
        else:
            after, latest = learned.after(metrics, sent.size_after(before)), sent
        _put(self._recent, key, _Recent(latest, now + sent.keep_alive))
        if after != learned:
            _put(self._known, key, after)
            self._on_change()


def _put(entries: dict[Key, T], key: Key, value: T) -> None:
    """Set an entry as the latest, and remove the oldest if there are too many."""
    entries.pop(key, None)
    entries[key] = value
    if len(entries) > _LIMIT:
        # A copy: another thread may add an entry.
        oldest, *_ = list(entries)
        entries.pop(oldest, None)
