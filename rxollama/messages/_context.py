"""The context window: how much of it an answer uses, and how many tokens a text has at least."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rxollama.messages._metrics import Metrics
from rxollama.messages._value import Value

__all__ = ("ContextUse", "context_use_of", "fewest_tokens")


class ContextUse(Value, frozen=True, kw_only=True, gc=False):
    """
    The use of the context window after an answer.

    The window holds the prompt and the answer. The numbers are those of the last round.

    Args:
        window: The size of the window in tokens; None if it is not known.
        prompt_tokens: The tokens of the prompt; 0 if the server does not say.
        answer_tokens: The tokens of the answer, with its thinking.

    .. versionadded:: 0.1
    """

    window: int | None = None
    prompt_tokens: int = 0
    answer_tokens: int = 0

    @property
    def share(self) -> float | None:
        """The share of the window in use after the answer, from 0 to 1; None if a number is missing."""
        if not (self.window and self.prompt_tokens):
            return None
        # A server that drops old tokens while it answers counts more tokens than the window holds.
        return min(1.0, (self.prompt_tokens + self.answer_tokens) / self.window)


def context_use_of(metrics: Metrics) -> ContextUse | None:
    """
    Return the use of the context window.

    Args:
        metrics: The numbers of an answer. Those of the last round count, and the last window that is known.

    Returns:
        The use; None if nothing is known.

    .. versionadded:: 0.1
    """
    last = metrics.rounds[-1] if metrics.rounds else metrics
    use = ContextUse(window=metrics.context_length, prompt_tokens=last.prompt_eval_count, answer_tokens=last.eval_count)
    return None if use == _UNKNOWN else use


_UNKNOWN = ContextUse()

# The law: no tokenizer makes fewer tokens of a real text than this. English prose has 4 to 5 characters per token, code
# 3 to 4, and Chinese 1.3 to 1.8. The limits below are larger, so that the result errs to the low side only. Tokenizers
# have single tokens for long runs of spaces or dashes, so such a run counts as one character. A run of one letter
# counts as a quarter. A byte per token is the other sound limit, but a limit for the longest possible text.
_LETTERS_PER_TOKEN = 6.0
_WIDE_PER_TOKEN = 2.5
_RUN = re.compile(r"(\w)\1{7,}|\s{2,}|([^\w\s])\2+")
_WIDE = re.compile("[\u2e80-\uffff\U00020000-\U0003ffff]")
_LETTERS_PER_REPEATED = 4


def fewest_tokens(texts: Iterable[str], *, enough: float = float("inf")) -> int:
    """
    Return a number of tokens that texts have at least, whatever the tokenizer.

    Args:
        texts: The texts.
        enough: A number of tokens after which no more texts are read.

    Returns:
        The number. It is too low for nearly every text, and too high for none.

    .. versionadded:: 0.1
    """
    tokens = 0.0
    for text in texts:
        short = _RUN.sub(_shorten, text)
        wide = len(_WIDE.findall(short))
        tokens += (len(short) - wide) / _LETTERS_PER_TOKEN + wide / _WIDE_PER_TOKEN
        if tokens > enough:
            break
    return int(tokens)


def _shorten(run: re.Match[str]) -> str:
    text = run[0]
    return text[: len(text) // _LETTERS_PER_REPEATED] if run[1] else text[:1]
