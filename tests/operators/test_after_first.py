"""Answers that begin over after something visible: `retry(after_first=)` and `fallback(after_first=)`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal

import pytest
import reactivex
from guards import CALL, DONE, EMPTY, HEL, HM, LO, RESULT, Stage, chunks_of, error_of, transcript
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from reactivex import Observable
from reactivex.testing import ReactiveTest, Recorded
from reactivex.testing.subscription import Subscription
from strategies import standing

from rxollama.errors import ConnectionLostError, InvalidValueError, NotFoundError, RestartedError, TruncatedError
from rxollama.messages import ChatChunk, ChatResponse, Message, Restart
from rxollama.operators import (
    accumulate,
    ask,
    coalesce,
    collect,
    content,
    debounce,
    events,
    extract_thinking,
    fallback,
    hedge,
    log,
    parse,
    partial_json,
    retry,
    share,
    timeouts,
)

on_next, on_error, on_completed = ReactiveTest.on_next, ReactiveTest.on_error, ReactiveTest.on_completed

PARTIAL = ChatResponse(message=Message("assistant", "Hel"))
MINE = KeyError("mine")
ANSWER = [on_next(5, EMPTY), on_next(10, HEL), on_next(20, LO), on_next(30, DONE), on_completed(40)]
AGAIN: dict[str, Any] = {"backoff": 20, "max_backoff": 20, "jitter": 0, "after_first": "restart"}


def lost() -> ConnectionLostError:
    """Return an error in the middle of an answer."""
    return ConnectionLostError("lost", partial=PARTIAL)


def over(chunk: ChatChunk, attempt: int = 2, reason: str = "ConnectionLostError: lost") -> ChatChunk:
    """Return a chunk as a restart."""
    return replace(chunk, restart=Restart(reason, attempt))


def fails(*chunks: ChatChunk, error: Exception | None = None) -> list[Recorded[Any]]:
    """Return the notifications of a source that sends chunks and fails."""
    sent = [on_next(place + 1, chunk) for place, chunk in enumerate(chunks)]
    return [*sent, on_error(len(chunks) + 1, error or lost())]


Apply = Callable[[Stage, list[list[Recorded[Any]]]], Observable[ChatChunk]]


def retried(stage: Stage, scripts: list[list[Recorded[Any]]]) -> Observable[ChatChunk]:
    """Return a source that is tried again, without a wait that counts."""
    operator = retry(len(scripts), backoff=1, jitter=0, after_first="restart")
    return stage.in_turn(*scripts).pipe(operator)


def replaced(stage: Stage, scripts: list[list[Recorded[Any]]]) -> Observable[ChatChunk]:
    """Return a source that others follow."""
    sources: list[Observable[ChatChunk]] = [stage.source(*script) for script in scripts]
    return sources[0].pipe(fallback(*sources[1:], after_first="restart"))


both = pytest.mark.parametrize("apply", [retried, replaced])


def test_retry_begins_over() -> None:
    """The first chunk of the new attempt is a restart; what was delivered stands until its answer begins."""
    stage = Stage()
    source = stage.in_turn(fails(EMPTY, HEL), ANSWER).pipe(retry(**AGAIN))

    assert stage.play(source) == [
        *[on_next(202, EMPTY), on_next(202, HEL), on_next(233, over(EMPTY)), on_next(233, HEL)],
        *[on_next(243, LO), on_next(253, DONE), on_completed(263)],
    ]
    assert stage.subscriptions == [[Subscription(200, 203)], [Subscription(223, 263)]]


def test_fallback_begins_over() -> None:
    """The other source begins the answer over."""
    stage = Stage()
    other = stage.source(*ANSWER)
    source = stage.source(*fails(HM)).pipe(fallback(other, after_first="restart"))

    assert stage.play(source) == [
        *[on_next(201, HM), on_next(212, over(EMPTY)), on_next(212, HEL)],
        *[on_next(222, LO), on_next(232, DONE), on_completed(242)],
    ]


@both
@pytest.mark.parametrize("chunk", [HM, HEL, CALL, DONE])
def test_whatever_was_visible(apply: Apply, chunk: ChatChunk) -> None:
    """An answer begins over after thinking, content, a tool call and the end of a message."""
    stage = Stage()

    assert chunks_of(stage.play(apply(stage, [fails(chunk), ANSWER]))) == [chunk, over(EMPTY), HEL, LO, DONE]


@both
def test_nothing_visible(apply: Apply) -> None:
    """As long as nothing was visible there is nothing to begin over."""
    stage = Stage()

    assert chunks_of(stage.play(apply(stage, [fails(EMPTY), ANSWER]))) == [EMPTY, HEL, LO, DONE]


@pytest.mark.parametrize("operator", [retry(backoff=1), fallback(reactivex.of(HEL)), retry(after_first="raise")])
def test_raises_by_default(operator: Callable[..., Any]) -> None:
    """By default an error after the first token is passed on."""
    stage = Stage()
    error = lost()
    played = stage.play(stage.source(*fails(HEL, error=error)).pipe(operator))

    assert played == [on_next(201, HEL), on_error(202, error)]


@both
def test_fails_before_it_begins_again(apply: Apply) -> None:
    """If no other attempt begins an answer, what was delivered stands, and the error has it as `partial`."""
    stage = Stage()
    last = ConnectionLostError("still lost", partial=ChatResponse())
    played = stage.play(apply(stage, [fails(HEL), fails(EMPTY), fails(EMPTY, error=last)]))

    assert chunks_of(played) == [HEL]
    assert error_of(played) is last
    assert last.partial is PARTIAL
    name = "attempt" if apply is retried else "choice"
    assert last.__notes__ == [f"{name} {place} failed: ConnectionLostError: lost" for place in (1, 2)]


@both
def test_foreign_errors(apply: Apply) -> None:
    """An error without a `partial` ends as it is, and what another one had does not count for it."""
    first = ConnectionLostError("first", partial=PARTIAL)
    second, last = TruncatedError("second"), ConnectionLostError("last", partial=PARTIAL)
    stage = Stage()

    played = stage.play(apply(stage, [fails(HEL, error=first), fails(LO, error=second), fails(EMPTY, error=last)]))

    assert chunks_of(played) == [HEL, over(LO, reason="ConnectionLostError: first")]
    assert error_of(played) is last
    assert last.partial is None


def test_an_error_of_another_kind() -> None:
    """An error that is none of the library's may be repeated as well, and has no `partial`."""
    stage = Stage()
    last = ConnectionLostError("last", partial=PARTIAL)
    operator = retry(backoff=1, jitter=0, after_first="restart", when=lambda _: True)
    played = stage.play(stage.in_turn(fails(HEL, error=MINE), fails(error=last)).pipe(operator))
    stage = Stage()
    ended = stage.play(stage.in_turn(fails(HEL), fails(error=MINE)).pipe(retry(2, backoff=1, after_first="restart")))

    assert (chunks_of(played), last.partial) == ([HEL], None)
    assert error_of(ended) is MINE


@both
def test_attempts_are_counted_over_both_phases(apply: Apply) -> None:
    """Attempts before and after the first token share one number, and the reason is that of the latest."""
    stage = Stage()
    slow = TruncatedError("slow")
    played = stage.play(apply(stage, [fails(), fails(HEL), fails(EMPTY, error=slow), fails(LO), ANSWER]))

    assert chunks_of(played) == [
        *[HEL, over(LO, 4, "TruncatedError: slow"), over(EMPTY, 5), HEL, LO, DONE],
    ]


def test_attempts_run_out() -> None:
    """The last attempt's error is passed on, with what it delivered."""
    stage = Stage()
    last = ConnectionLostError("last", partial=ChatResponse(message=LO.message))
    played = stage.play(stage.in_turn(fails(HEL), fails(LO, error=last)).pipe(retry(2, **AGAIN)))

    assert played == [on_next(201, HEL), on_next(223, over(LO)), on_error(224, last)]
    assert last.partial == ChatResponse(message=LO.message)


def test_an_error_that_cannot_be_helped() -> None:
    """An error that another attempt cannot help is passed on."""
    stage = Stage()
    error = NotFoundError("no model", status=404)
    played = stage.play(stage.source(*fails(HEL, error=error)).pipe(retry(**AGAIN)))

    assert played == [on_next(201, HEL), on_error(202, error)]


@both
@pytest.mark.parametrize(
    ("script", "begun"), [([on_completed(3)], ChatChunk()), ([on_next(1, EMPTY), on_completed(3)], EMPTY)]
)
def test_completes_empty(apply: Apply, script: list[Recorded[Any]], begun: ChatChunk) -> None:
    """An attempt that completes without anything visible is the answer, which is empty."""
    stage = Stage()
    played = stage.play(apply(stage, [fails(HEL), script]))

    assert chunks_of(played) == [HEL, over(begun)]
    assert transcript(played)[-1][1] == "end"


def test_disposed_within_a_wait() -> None:
    """Dispose cancels the wait, and there is no further attempt."""
    stage = Stage()
    source = stage.source(*fails(HEL)).pipe(retry(**AGAIN, scheduler=stage.clock))

    assert stage.play(source, disposed=210) == [on_next(201, HEL)]
    assert stage.subscriptions == [[Subscription(200, 202)]]
    assert stage.clock.outstanding == 0


@both
def test_disposed_within_an_attempt(apply: Apply) -> None:
    """Dispose disposes the attempt that runs."""
    stage = Stage()
    played = stage.play(apply(stage, [fails(HEL), [on_next(1, EMPTY), on_next(50, HEL)]]), disposed=220)

    assert played == [on_next(201, HEL)]
    assert stage.subscriptions[-1][-1].unsubscribe == 220


@both
def test_never(apply: Apply) -> None:
    """An attempt that sends nothing leaves what was delivered."""
    stage = Stage()

    assert stage.play(apply(stage, [fails(HEL), []])) == [on_next(201, HEL)]
    assert stage.subscriptions[-1][-1].unsubscribe == 1000


@both
def test_a_conversation_begins_over(apply: Apply) -> None:
    """All rounds of a conversation begin over, and the response is that of the last attempt."""
    stage = Stage()
    rounds = [CALL, DONE, RESULT, LO]
    sent = [on_next(place + 1, chunk) for place, chunk in enumerate([CALL, DONE, RESULT, HEL, DONE])]
    source = apply(stage, [fails(*rounds), [*sent, on_completed(9)]])
    (_, response), _ = transcript(stage.play(source.pipe(collect())))

    assert isinstance(response, ChatResponse)
    assert [message.content for message in response.messages] == ["", "42", "Hel"]


@both
@pytest.mark.parametrize("scope", ["answer", "message"])
def test_a_restart_of_the_source_passes_through(apply: Apply, scope: Literal["answer", "message"]) -> None:
    """A restart within the source is one outside, and the outer restart covers it."""
    stage = Stage()
    inner = replace(LO, restart=Restart("inner", 2, scope))
    played = stage.play(apply(stage, [fails(HEL, inner), [on_next(1, inner), on_completed(2)]]))

    assert chunks_of(played) == [HEL, inner, over(LO)]


@pytest.mark.parametrize("after_first", ["continue", "", None, True])
@pytest.mark.parametrize("build", [retry, functools.partial(fallback, reactivex.of(HEL))])
def test_wrong_values(build: Callable[..., Any], after_first: Any) -> None:
    """A wrong `after_first` is refused at the call."""
    with pytest.raises(InvalidValueError, match="after_first: expected 'raise' or 'restart'"):
        build(after_first=after_first)


# An answer that is broken at every token, behind every operator.

TOKENS = [
    *(ChatChunk(model="m", message=Message("assistant", thinking=f"t{place} ")) for place in range(50)),
    *(ChatChunk(model="m", message=Message("assistant", f"c{place} ")) for place in range(149)),
    ChatChunk(model="m", message=Message("assistant"), done=True, done_reason="stop", eval_count=199),
]
OTHERS = [
    *(ChatChunk(model="m", message=Message("assistant", thinking=f"T{place} ")) for place in range(20)),
    *(ChatChunk(model="m", message=Message("assistant", f"C{place} ")) for place in range(20)),
    ChatChunk(model="m", message=Message("assistant"), done=True, done_reason="stop", eval_count=40),
]


def broken(place: int, answer: list[ChatChunk] = TOKENS) -> Observable[ChatChunk]:
    """Return an answer that breaks behind its first tokens, and then is complete."""
    first = reactivex.concat(reactivex.from_iterable(TOKENS[:place]), reactivex.throw(lost()))
    return first.pipe(fallback(reactivex.from_iterable(answer), after_first="restart"))


def seen(source: Observable[Any]) -> list[Any]:
    """Return all items of a source that does not fail."""
    items: list[Any] = []
    errors: list[Exception] = []
    source.subscribe(items.append, errors.append)
    assert errors == []
    return items


class Lines:
    """A logger that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def info(self, event: str, **fields: Any) -> None:
        """Keep a line."""
        self.lines.append({"event": event} | fields)

    warning = error = info


@pytest.mark.parametrize("answer", [TOKENS, OTHERS])
def test_broken_at_every_token(answer: list[ChatChunk]) -> None:
    """The response, the snapshots, the log and a late subscriber are right, and no view holds text of two attempts."""
    [whole] = seen(reactivex.from_iterable(answer).pipe(collect()))
    for place in range(len(TOKENS)):
        lines = Lines()
        shared = broken(place, answer).pipe(log(lines), share())
        snapshots = seen(shared.pipe(accumulate()))

        assert snapshots[-1] == whole
        assert seen(shared.pipe(collect())) == [whole]
        for snapshot in snapshots[:: 1 + place % 7]:
            text = snapshot.message.thinking + snapshot.message.content
            assert text.islower() or text.isupper() or not text
        end = lines.lines[-1]
        assert (end["event"], end["content_length"]) == ("chat_finished", len(whole.message.content))
        assert (end["chunk_count"], end["thinking_length"]) == (len(answer), len(whole.message.thinking))


def test_texts_broken_at_every_token() -> None:
    """The texts come once if the new attempt says the same, and end at the difference if it does not."""
    told, others = ("".join(chunk.message.content for chunk in answer) for answer in (TOKENS, OTHERS))
    for place in range(len(TOKENS)):
        assert "".join(seen(broken(place).pipe(content()))) == told
        emitted = "".join(chunk.message.content for chunk in TOKENS[:place])
        items: list[str] = []
        errors: list[Exception] = []
        broken(place, OTHERS).pipe(content()).subscribe(items.append, errors.append)

        assert "".join(items) == (emitted or others)
        assert [type(error) for error in errors] == ([RestartedError] if emitted else [])


PASSING: dict[str, Callable[[], Callable[..., Any]]] = {
    "share": share,
    "timeouts": lambda: timeouts(first_chunk=900, gap=900),
    "hedge": lambda: hedge(reactivex.never(), after=900),
    "log": lambda: log(Lines()),
    "extract_thinking": extract_thinking,
    "coalesce": lambda: coalesce(7),
    "debounce": lambda: debounce(4),
    "retry": lambda: retry(after_first="restart"),
    "fallback": lambda: fallback(reactivex.never()),
}


@pytest.mark.parametrize("name", PASSING)
@given(place=st.integers(1, 7), gap=st.integers(1, 5))
def test_operators_on_the_way(name: str, place: int, gap: int) -> None:
    """Behind each operator from a chat to a chat, an answer that begins over is the one that stands."""
    stage = Stage()
    said = [HM, EMPTY, HEL, LO, CALL, HEL, LO, DONE]
    first = [on_next(gap * (at + 1), chunk) for at, chunk in enumerate(said[:place])]
    again = [on_next(gap * (at + 1), chunk) for at, chunk in enumerate(said)]
    source = stage.source(*first, on_error(gap * place + 1, lost()))
    other = stage.source(*again, on_completed(gap * len(said) + 1))
    chat = source.pipe(fallback(other, after_first="restart"), PASSING[name](), collect())
    (_, response), _ = transcript(stage.play(chat))
    [expected] = seen(reactivex.from_iterable(said).pipe(collect()))

    assert response == expected


def test_answers_before_stay() -> None:
    """Behind `ask` an answer that begins over drops nothing of the answers before it, and `content` goes on."""
    answers = {"p": [HEL, LO, DONE], "q": [HEL, over(HEL), LO, DONE], "r": [CALL, DONE, HEL, over(LO)]}

    def send(prompt: str) -> Observable[ChatChunk]:
        return reactivex.from_iterable(answers[prompt])

    asked, whole = (reactivex.of("p", prompt).pipe(ask(send, "queue")) for prompt in "qr")

    [response] = seen(asked.pipe(collect()))
    assert [message.content for message in response.messages] == ["Hello", "Hello"]
    assert "".join(seen(asked.pipe(content()))) == "HelloHello"
    [response] = seen(whole.pipe(collect()))
    assert [message.content for message in response.messages] == ["lo"]


def test_values_that_begin_over() -> None:
    """JSON is read from the beginning of the attempt that stands."""
    first, again = (ChatChunk(message=Message("assistant", text)) for text in ('{"a": 1, "b', '{"a": 2}'))
    chunks = [first, over(again), DONE]

    assert seen(reactivex.from_iterable(chunks).pipe(parse(dict[str, int]))) == [{"a": 2}]
    assert [so_far.value for so_far in seen(reactivex.from_iterable(chunks).pipe(partial_json()))] == [
        {"a": 1},
        {"a": 2},
    ]
    unfinished = [first, over(replace(again, message=Message("assistant", "[")))]
    errors: list[Exception] = []
    reactivex.from_iterable(unfinished).pipe(parse(list[int])).subscribe(on_error=errors.append)
    assert "position 1" in str(errors[0])


def test_held_back_text_is_dropped() -> None:
    """Text that may become a tag is dropped with its attempt, and the mark is on the first of several chunks."""
    chunks = [
        ChatChunk(message=Message("assistant", "<thi")),
        over(ChatChunk(message=Message("assistant", "So <think>Hm"))),
        ChatChunk(message=Message("assistant", "</think>Yes")),
    ]
    came = seen(reactivex.from_iterable(chunks).pipe(extract_thinking()))

    assert [chunk.restart is not None for chunk in came] == [False, True, False, False]
    assert standing(came)[0].message.content == "So "
    [response] = seen(reactivex.from_iterable(came).pipe(collect()))
    assert (response.message.content, response.message.thinking) == ("So Yes", "Hm")


def test_events_begin_over() -> None:
    """An open text is ended, then the restart is told, then the texts start again."""
    names = [type(event).__name__ for event in seen(reactivex.of(HEL, over(HM), LO, DONE).pipe(events()))]

    assert names == [
        *["ContentStarted", "ContentDelta", "ContentEnded", "Restarted"],
        *["ThinkingStarted", "ThinkingDelta", "ThinkingEnded"],
        *["ContentStarted", "ContentDelta", "ContentEnded", "Finished"],
    ]
