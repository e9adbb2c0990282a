"""
The wait for a first token, learned from answers: pure arithmetic, without a clock.

The law. The server loads the model, unless it is loaded, and then reads the part of the prompt that its cache does not
hold:

    wait = load + new bytes * (tokens / bytes) * (seconds / tokens read)

The load is an average in which each cold load counts 30 percent. The two rates are weighted by size: each is a quotient
of two sums, and both sums are scaled down once they exceed a window. So one long prompt counts as much as many short
ones, and short ones cannot push it out. Averages of the rates themselves would be ruled by short prompts, whose time is
mostly overhead.

What is not in it. A queue cannot be foreseen, and the server does not show it. Images are not text, so an answer to
images teaches no tokens per byte, and their bytes do not count. A load is one that took half a second: looking up a
loaded model takes less.

What is not believed. Numbers that are negative or beyond any prompt and any patience teach nothing. Neither does an
answer whose parts take longer than the client waited for the first token, which is the check on their sum. An older
server does not say how much came from its cache. Then the bytes that the prompt shares with the one before count as
cached; without one before, the pace is learned from a cold start only.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from rxollama.messages import Metrics

__all__ = ("LONGEST", "LearnedWait", "SentSize")

LONGEST = 86400.0
"""The longest wait that is believed, in seconds: a day."""
_MOST = 1e9
_COLD_SECONDS = 0.5
_LOAD_WEIGHT = 0.3
_TOKENS_WINDOW = 4096.0
_BYTES_WINDOW = 16384.0
# The clocks of the server and of the client may differ by this much.
_TOLERANCE = 1.05
_TOLERANCE_SECONDS = 0.05
_NANOSECONDS = 1e9

_Seconds = Annotated[float, msgspec.Meta(ge=0, le=LONGEST)]
_Amount = Annotated[float, msgspec.Meta(ge=0, le=_MOST)]


class SentSize(msgspec.Struct, frozen=True):
    """
    The size of a request, in bytes of text.

    Args:
        length: All of it.
        known: The part that the server's cache may hold. None if nothing is known of the request before.
        has_images: Whether there are images beside the text.
    """

    length: int
    known: int | None = None
    has_images: bool = False


class LearnedWait(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    The wait for one model on one host, as answers taught it.

    Args:
        load: The seconds of a cold load; None if there was none.
        read_tokens: The tokens that were read, not cached, within the window.
        read_seconds: The seconds that they took.
        prompt_tokens: The tokens of prompts within the window, including cached ones.
        prompt_bytes: The bytes of the requests that they came from.
    """

    load: _Seconds | None = None
    read_tokens: _Amount = 0.0
    read_seconds: _Amount = 0.0
    prompt_tokens: _Amount = 0.0
    prompt_bytes: _Amount = 0.0

    def seconds(self, size: SentSize, *, is_loaded: bool) -> float | None:
        """
        Return the wait for the first token of a request, or None if it is not known.

        Args:
            size: The size of the request.
            is_loaded: Whether the model is loaded, and with it the cache.
        """
        if not is_loaded and self.load is None:
            return None
        load = 0.0 if is_loaded else self.load or 0.0
        if not (self.read_tokens and self.prompt_bytes):
            return None if is_loaded else load
        length = size.length - (size.known or 0) if is_loaded else size.length
        tokens = max(0, length) * (self.prompt_tokens / self.prompt_bytes)
        return min(LONGEST, load + tokens * (self.read_seconds / self.read_tokens))

    def after(self, metrics: Metrics, size: SentSize) -> LearnedWait:
        """
        Return what is known after one more answer.

        Args:
            metrics: The metrics of the answer.
            size: The size of its request.
        """
        load, read = _seconds(metrics.load_duration), _seconds(metrics.prompt_eval_duration)
        first = metrics.time_to_first_token or metrics.wall_duration
        if load is None or read is None or not _adds_up(load + read, first):
            return self
        is_cold = load >= _COLD_SECONDS
        tokens = metrics.prompt_eval_count if 0 <= metrics.prompt_eval_count <= _MOST else 0
        new = _tokens_read(metrics, tokens, size, is_cold=is_cold)
        read_tokens, read_seconds = _add((self.read_tokens, self.read_seconds), (new, read), _TOKENS_WINDOW)
        sums = (self.prompt_bytes, self.prompt_tokens)
        if not size.has_images:
            sums = _add(sums, (size.length, tokens), _BYTES_WINDOW)
        return LearnedWait(
            load=self._load_after(load) if is_cold else self.load,
            read_tokens=read_tokens,
            read_seconds=read_seconds,
            prompt_bytes=sums[0],
            prompt_tokens=sums[1],
        )

    def after_load(self, nanoseconds: int | None) -> LearnedWait:
        """Return what is known after a request that only loaded the model took this long."""
        seconds = _seconds(nanoseconds or 0)
        if seconds is None or seconds < _COLD_SECONDS:
            return self
        return msgspec.structs.replace(self, load=self._load_after(seconds))

    def _load_after(self, seconds: float) -> float:
        return seconds if self.load is None else self.load + _LOAD_WEIGHT * (seconds - self.load)


def _seconds(nanoseconds: int) -> float | None:
    """Return a duration in seconds, or None if it cannot be believed."""
    # JSON has numbers that no float holds, so it is compared before it is divided.
    return nanoseconds / _NANOSECONDS if 0 <= nanoseconds <= LONGEST * _NANOSECONDS else None


def _adds_up(parts: float, first: int | None) -> bool:
    return first is None or parts <= first / _NANOSECONDS * _TOLERANCE + _TOLERANCE_SECONDS


def _tokens_read(metrics: Metrics, tokens: int, size: SentSize, *, is_cold: bool) -> float:
    """Return how many tokens did not come from the cache; 0 if that is not known."""
    cached = metrics.prompt_eval_cached_count
    if cached is not None:
        return max(0, tokens - cached) if cached >= 0 else 0
    if is_cold:
        return tokens
    if size.known is None or size.length <= 0:
        return 0
    return tokens * max(0.0, 1 - size.known / size.length)


def _add(sums: tuple[float, float], more: tuple[float, float], window: float) -> tuple[float, float]:
    """Add to two sums, unless there is only one number, and scale them so that the first is within the window."""
    if not (more[0] > 0 and more[1] > 0):
        return sums
    first, second = sums[0] + more[0], sums[1] + more[1]
    scale = min(1.0, window / first)
    return first * scale, min(_MOST, second * scale)
