"""A conversation that notices that older messages do not fit into the context window."""

from __future__ import annotations

import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conversation_cases import CALL, get_time
from heard import Heard
from reactivex import operators as rx

from rxollama import Conversation, Ollama, run
from rxollama import operators as op
from rxollama.errors import ContextTruncatedError, ContextTruncatedWarning, InvalidValueError
from rxollama.messages import ContextUse, Message
from rxollama.testing import Reply, ScriptedOllama

CTX: Any = {"options": {"num_ctx": 4096}}
ADVICE = (
    "set num_ctx in options= to a larger window, set max_tokens= to leave out whole turns, or begin a new conversation"
)
# 1,000 tokens at least, and 1,500 as the server counts.
THOUSAND = "abcde " * 1000


def answer(count: int, content: str = "Yes.", *, cached: int | None = None, **final: Any) -> Reply:
    """Return an answer to a prompt of this many tokens."""
    numbers: dict[str, Any] = {"eval_count": 2, "prompt_eval_cached_count": cached, **final}
    return Reply.answer([content], model="m", prompt_eval_count=count or None, **numbers)


@contextmanager
def caught() -> Generator[list[str]]:
    """Yield the texts of the warnings, once they have been issued."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield texts
    assert all(warning.category is ContextTruncatedWarning for warning in found)
    texts.extend(str(warning.message) for warning in found)


def dropped(tokens: int, expected: int) -> str:
    """Return the warning of messages that were left out."""
    return (
        f"the server left out older messages: the prompt had {tokens} tokens, and with all messages it would have had "
        f"about {expected}; {ADVICE} (model 'm')"
    )


def too_long(tokens: int) -> str:
    """Return the warning of a prompt that will not fit."""
    return f"the prompt will have about {tokens} tokens, and the context window has only 4096; {ADVICE} (model 'm')"


def talk(conversation: Conversation, *prompts: str) -> list[str]:
    """Send prompts, and return the warnings."""
    with caught() as texts:
        for prompt in prompts:
            run(conversation.send(prompt))
    return texts


class TestDropped:
    """Older messages that the server left out."""

    def test_fewer_tokens(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """A count that falls from one turn to the next is a warning, if it includes cached tokens."""
        server.enqueue(answer(3000, cached=0), answer(2900, cached=100))
        assert talk(Conversation(ollama, "m"), "One", "Two") == [dropped(2900, 3001)]

    def test_did_not_fit(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """An older server is believed if the prompt could not have fit."""
        server.enqueue(answer(3096, "abcdef" * 500), answer(3000))
        conversation = Conversation(ollama, "m", **CTX)
        assert talk(conversation, "One") == []

        # The estimate before the request says so already, and there is one warning for each turn.
        assert talk(conversation, "a" + "bcdef " * 501) == [too_long(4097)]

    @pytest.mark.parametrize(("tokens", "expected"), [(3000, []), (3001, []), (2999, [dropped(2999, 3001)])])
    def test_threshold(self, ollama: Ollama, server: ScriptedOllama, tokens: int, expected: list[str]) -> None:
        """An equal count is not a fall."""
        server.enqueue(answer(3000, cached=0), answer(tokens, cached=0))
        assert talk(Conversation(ollama, "m"), "One", "Two") == expected

    def test_each_turn(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Once messages are left out, they are missing in every turn, though the counts of the turns then rise."""
        server.enqueue(*(answer(count, cached=0) for count in (3000, 2000, 2100)))
        texts = talk(Conversation(ollama, "m"), "One", "Two", "Three")
        assert texts == [dropped(2000, 3001), dropped(2100, 3002)]

    def test_raised(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """With "raise", the answer is whole and in the history, and then comes the error."""
        server.enqueue(answer(3000, cached=0), answer(2900, cached=0))
        conversation = Conversation(ollama, "m", on_truncated="raise")
        run(conversation.send("One"))
        heard = Heard(conversation.send("Two")).wait()

        assert heard.items[-1].done
        error = heard.failure
        assert isinstance(error, ContextTruncatedError)
        assert error.partial is not None
        assert error.partial.done
        assert error.partial.message.content == "Yes."
        assert (error.model, error.endpoint) == ("m", "POST /api/chat")
        assert len(conversation.turns) == 2

    @pytest.mark.parametrize("options", [{"on_truncated": "ignore"}, {"truncate": False}])
    def test_not_watched(self, ollama: Ollama, server: ScriptedOllama, options: Any) -> None:
        """Nothing is said if the caller asks for that, or if the server may not cut."""
        server.enqueue(answer(3000, cached=0), answer(2900, cached=0), answer(4000, cached=0), answer(10))
        assert talk(Conversation(ollama, "m", **CTX, **options), "One", "Two", "Three", THOUSAND) == []


class TestNoAlarm:
    """Counts that fall for another reason."""

    @pytest.mark.parametrize("counts", [(3000, 2900), (3000, 12), (3000, 0), (0, 3000), (3000, 0, 2900)])
    def test_only_the_uncached_part(self, ollama: Ollama, server: ScriptedOllama, counts: tuple[int, ...]) -> None:
        """A server that does not count cached tokens, or no tokens if all are cached."""
        server.enqueue(*map(answer, counts))
        assert talk(Conversation(ollama, "m", **CTX), *("One",) * len(counts)) == []

    def test_trimmed_on_purpose(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """The conversation's own limits left out turns."""
        server.enqueue(*(answer(count, cached=0) for count in (1000, 2000, 1500, 1400)))
        conversation = Conversation(ollama, "m", max_messages=3)
        assert talk(conversation, "One", "Two", "Three", "Four") == []

    def test_undone(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Another prompt after `undo` has another history."""
        server.enqueue(*(answer(count, cached=0) for count in (1000, 3000, 1100)))
        conversation = Conversation(ollama, "m")
        assert talk(conversation, "One", "Two") == []
        conversation.undo()
        assert talk(conversation, "Three") == []

    def test_another_model(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Another model, as after `fallback`, counts other tokens."""
        other = Reply.answer("Yes.", model="n", prompt_eval_count=2900, prompt_eval_cached_count=0)
        server.enqueue(answer(3000, cached=0), other)
        assert talk(Conversation(ollama, "m"), "One", "Two") == []

    @pytest.mark.parametrize(("tokens", "expected"), [(2901, []), (2900, []), (2899, [dropped(2899, 3001)])])
    @pytest.mark.parametrize("turn", [0, 1])
    def test_thinking(
        self, ollama: Ollama, server: ScriptedOllama, turn: int, tokens: int, expected: list[str]
    ) -> None:
        """The server strips thinking: the fall must exceed its bytes."""
        thought = [Message.user("Zero"), Message.assistant("Yes.", thinking="x" * 100)] if turn == 0 else []
        thinking = "x" * 100 if turn else ""
        first = Reply.answer(["Yes."], thinking=[thinking], model="m", prompt_eval_count=3000, eval_count=2)
        server.enqueue(first, answer(tokens, cached=0))
        assert talk(Conversation(ollama, "m", messages=thought), "One", "Two") == expected

    @pytest.mark.parametrize(("count", "texts"), [(2800, []), (2799, [dropped(2799, 2900)])])
    @pytest.mark.parametrize("options", [{"format": "json"}, {"max_thinking": 1000}])
    def test_second_pass(
        self, ollama: Ollama, server: ScriptedOllama, count: int, texts: list[str], options: Any
    ) -> None:
        """A structured answer of a thinking model is counted with its thinking, and one after a closed thought."""
        first = Reply.answer(["{}"], thinking=["x" * 100], model="m", prompt_eval_count=3000, eval_count=2)
        server.enqueue(first, answer(count, cached=0))
        assert talk(Conversation(ollama, "m", **options), "One", "Two") == texts

    def test_rounds_of_tools(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Only the first rounds of turns are compared."""
        calls = Reply.answer(tool_calls=[CALL], model="m", prompt_eval_count=1000, prompt_eval_cached_count=0)
        server.enqueue(calls, answer(3000, cached=0), answer(1100, cached=0), answer(1050, cached=0))
        conversation = Conversation(ollama, "m", tools=[get_time])
        assert talk(conversation, "One", "Two") == []
        assert talk(conversation, "Three") == [dropped(1050, 1101)]

    def test_rounds_through_an_operator(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """An operator may send a round of several to another model, so such a turn is not compared."""
        calls = Reply.answer(tool_calls=[CALL], model="m", prompt_eval_count=900, prompt_eval_cached_count=0)
        server.enqueue(answer(1000, cached=0), calls, answer(1200, cached=0), answer(950, cached=0))
        conversation = Conversation(ollama, "m", tools=[get_time], through=op.retry())
        assert talk(conversation, "One", "Two") == []

    def test_unfinished(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """An answer that was left early has no count."""
        server.enqueue(answer(3000, cached=0), answer(10, "One two three", cached=0), answer(3100, cached=0))
        conversation = Conversation(ollama, "m", keep_unfinished=True)
        with caught() as texts:
            run(conversation.send("One"))
            run(conversation.send("Two").pipe(rx.take(1)))
            run(conversation.send("Three"))
        assert texts == []

    def test_fork(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """A fork knows what was learned, and learns on its own."""
        server.enqueue(*(answer(count, cached=0) for count in (1000, 3000, 1100)))
        conversation = Conversation(ollama, "m")
        assert talk(conversation, "One") == []
        fork = conversation.fork()
        assert talk(fork, "Two") == []
        assert talk(conversation, "Three") == []

    def test_loaded(self, ollama: Ollama, server: ScriptedOllama, tmp_path: Path) -> None:
        """A conversation from a file keeps the option, and has learned nothing."""
        path = tmp_path / "talk.jsonl"
        server.enqueue(*(answer(count, cached=0) for count in (3000, 100, 90)))
        conversation = Conversation(ollama, "m", on_truncated="raise", **CTX)
        run(conversation.send("One"))
        conversation.save(path)
        loaded = Conversation.load(path, ollama)
        assert talk(loaded, THOUSAND) == []
        with pytest.raises(ContextTruncatedError):
            run(loaded.send("Three"))
        assert Conversation.load(path, ollama, on_truncated="ignore").turns == conversation.turns


class TestBefore:
    """A prompt that will not fit, before it is sent."""

    @pytest.mark.parametrize(("letters", "texts"), [(6000, []), (6006, [too_long(4097)])])
    def test_threshold(self, ollama: Ollama, server: ScriptedOllama, letters: int, texts: list[str]) -> None:
        """The last count and the fewest tokens of what is new are compared with the window."""
        server.enqueue(answer(3096), answer(3000, cached=None))
        conversation = Conversation(ollama, "m", **CTX)
        assert talk(conversation, "One") == []
        assert talk(conversation, ("bcdefg" * 1001)[: letters - 4]) == texts

    def test_learned_ratio(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """The tokens per byte of the last prompt are those of the next, if the text was long enough."""
        server.enqueue(answer(1500), answer(4000))
        conversation = Conversation(ollama, "m", **CTX)
        # 6,000 bytes were 1,500 tokens, and 10,404 bytes more are 2,601.
        assert talk(conversation, THOUSAND) == []
        assert talk(conversation, "abcde " * 1733 + "ab") == [too_long(4101)]

    @pytest.mark.parametrize(("evaluated", "texts"), [(250, [too_long(4101)]), (100, [])])
    def test_lowest_ratio(self, ollama: Ollama, server: ScriptedOllama, evaluated: int, texts: list[str]) -> None:
        """The answer has a ratio too, and the lowest counts."""
        server.enqueue(answer(1500, "word " * 200, eval_count=evaluated), answer(4000))
        conversation = Conversation(ollama, "m", **CTX)
        assert talk(conversation, THOUSAND) == []
        assert talk(conversation, "abcde " * 1567 + "ab") == texts

    def test_ratio_of_what_is_new(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """A long system prompt of the model is in the first count only."""
        server.enqueue(answer(3000), answer(3250), answer(4000), answer(4090))
        conversation = Conversation(ollama, "m", **CTX)
        assert talk(conversation, THOUSAND[:4400], THOUSAND[:996]) == []
        # The last 1,000 bytes were 250 tokens.
        assert talk(conversation, THOUSAND[:3300]) == []
        assert talk(conversation, THOUSAND[:3400]) == [too_long(4000 + 772)]

    def test_raised(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """With "raise", nothing is sent."""
        server.enqueue(answer(3096))
        conversation = Conversation(ollama, "m", on_truncated="raise", **CTX)
        run(conversation.send("One"))
        error = Heard(conversation.send(THOUSAND + "abcdef")).failure

        assert isinstance(error, ContextTruncatedError)
        assert str(error) == too_long(4097).removesuffix(" (model 'm')") + " (model 'm', POST /api/chat)"
        assert error.partial is None
        assert len(server.requests) == 1
        assert len(conversation.turns) == 1

    def test_trimmed_on_purpose(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """A prompt of which turns are left out is estimated by the ratio alone."""
        server.enqueue(answer(1500), answer(2500))
        conversation = Conversation(ollama, "m", max_messages=1, **CTX)
        assert talk(conversation, THOUSAND, "abcde " * 2700) == []
        server.enqueue(answer(2500))
        assert talk(conversation, "abcde " * 4400) == [too_long(4400)]

    def test_window_of_the_server(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """The window is also known from `/api/ps`, if that was asked."""
        long = "word " * 3000
        server.always(Reply.json({"models": [{"model": "m:latest", "context_length": 4096}]}), "/api/ps")
        server.enqueue(answer(2050), answer(2100), answer(2100), path="/api/chat")
        conversation = Conversation(ollama, "m")
        [cut] = talk(conversation, long)
        assert cut.startswith("the prompt was longer than the context window of 4096 tokens")
        assert talk(conversation, "Two") == []
        assert talk(conversation, long) == [too_long(2100 + 2500)]

    @pytest.mark.parametrize("num_ctx", [0, -1, None])
    def test_no_size(self, ollama: Ollama, server: ScriptedOllama, num_ctx: Any) -> None:
        """A `num_ctx` that is not a size leaves the window to the server, so it is not known."""
        server.enqueue(answer(100), answer(100), answer(100))
        conversation = Conversation(ollama, "m", extra={"num_ctx": num_ctx})
        assert talk(conversation, "One", THOUSAND) == []
        assert run(ollama.chat("m", "Hi", extra={"num_ctx": num_ctx}).pipe(op.collect())).context == ContextUse(
            prompt_tokens=100, answer_tokens=2
        )

    def test_lone_surrogate(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """A text that cannot be sent is refused as ever."""
        server.enqueue(answer(100))
        conversation = Conversation(ollama, "m", **CTX)
        assert talk(conversation, "One") == []
        error = Heard(conversation.send("\ud800")).failure
        assert isinstance(error, InvalidValueError)

    def test_nothing_learned(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Without a window or a count there is no guess."""
        server.enqueue(answer(100), answer(0), answer(100), answer(100))
        assert talk(Conversation(ollama, "m"), "One") == []
        conversation = Conversation(ollama, "m", **CTX)
        assert talk(conversation, "One", THOUSAND[:5000]) == []
        assert talk(Conversation(ollama, "m", **CTX), "abcdef" * 3000) == []
