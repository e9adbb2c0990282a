"""Answers that are JSON become values: as they grow, element by element, or as a whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from random import Random
from traceback import extract_tb, format_exception
from typing import Any, Literal, TypedDict

import msgspec
import pydantic
import pytest
import reactivex
from hypothesis import given
from hypothesis import strategies as st
from marbles import play
from reactivex import Observable, abc
from reactivex.disposable import Disposable
from reactivex.notification import OnError
from reactivex.scheduler import VirtualTimeScheduler
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest
from reactivex.testing.subscription import Subscription
from strategies import conversations, json_values

from rxollama import run
from rxollama._runtime import Operator
from rxollama.errors import InvalidValueError, RestartedError, StructuredOutputError
from rxollama.messages import ChatChunk, Function, Message, PartialJson, ToolCall
from rxollama.operators import accumulate, collect, elements, parse, partial_json

on_next, on_error, on_completed = ReactiveTest.on_next, ReactiveTest.on_error, ReactiveTest.on_completed

LOST = ConnectionError("lost")
CUT = "the answer was cut off at num_predict or the context limit: raise it"
ANYTHING: Any = Any
CALL = ToolCall(Function("get_weather", {"city": "Oslo"}))


class Row(msgspec.Struct, frozen=True):
    """A row, as msgspec has it."""

    name: str
    price: float = 0.0


@dataclass
class Plain:
    """A row, as a dataclass."""

    name: str
    price: float


class Named(TypedDict):
    """A row, as a dict."""

    name: str
    price: float


class Model(pydantic.BaseModel):
    """A row, as pydantic has it."""

    name: str
    price: float


class Mood(Enum):
    """One of a few words."""

    GOOD = "good"
    BAD = "bad"


class Positive(msgspec.Struct):
    """A row that checks itself."""

    price: int

    def __post_init__(self) -> None:
        """Refuse a negative price."""
        if self.price < 0:
            raise ValueError("a secret price")


@dataclass
class PlainPositive:
    """The same as a dataclass, with the other error that msgspec takes for a misfit."""

    price: int

    def __post_init__(self) -> None:
        """Refuse a negative price."""
        if self.price < 0:
            raise TypeError("a secret price")


class PositiveModel(pydantic.BaseModel):
    """The same as a model of pydantic."""

    price: int

    @pydantic.field_validator("price")
    @classmethod
    def check_price(cls, price: int) -> int:
        """Refuse a negative price."""
        if price < 0:
            raise ValueError("a secret price")
        return price


class Failing(msgspec.Struct):
    """A type whose own code raises."""

    name: str

    def __post_init__(self) -> None:
        """Raise an error that is not about the value."""
        raise KeyError("mine")


class Table(msgspec.Struct):
    """Several rows."""

    rows: list[Row]


OPERATORS: list[Callable[[], Operator[ChatChunk, Any]]] = [
    lambda: parse(dict[str, Any]),
    partial_json,
    lambda: elements(int),
]


def says(
    content: str = "", *, thinking: str = "", calls: tuple[ToolCall, ...] = (), role: str = "assistant"
) -> ChatChunk:
    """Return a chunk of an answer."""
    return ChatChunk(model="m", message=Message(role, content, thinking, tool_calls=calls))


def done(reason: str = "stop", content: str = "", calls: tuple[ToolCall, ...] = ()) -> ChatChunk:
    """Return the last chunk of an answer."""
    message = Message("assistant", content, tool_calls=calls)
    return ChatChunk(model="m", message=message, done=True, done_reason=reason)


def returns(content: str = "3 °C") -> ChatChunk:
    """Return a chunk with the result of a tool."""
    return ChatChunk(message=Message.tool(content, name="get_weather"), done=True)


def received(chunks: Iterable[ChatChunk], operator: Operator[ChatChunk, Any]) -> tuple[list[Any], Exception | None]:
    """Return what an operator emits for chunks that arrive at once, and the error."""
    found: list[Any] = []
    ended: list[Exception | None] = []
    source = reactivex.from_iterable(chunks).pipe(operator)
    source.subscribe(found.append, ended.append, lambda: ended.append(None))
    [error] = ended
    return found, error


def refused(chunks: Iterable[ChatChunk], operator: Operator[ChatChunk, Any]) -> StructuredOutputError:
    """Return the `StructuredOutputError` of chunks that arrive at once."""
    _, error = received(chunks, operator)
    assert isinstance(error, StructuredOutputError)
    return error


def pieces(text: str, random: Random) -> list[ChatChunk]:
    """Return chunks with the pieces of a text."""
    places = sorted(random.randrange(len(text) + 1) for _ in range(random.choice((0, 1, 3, 9))))
    return [says(text[start:end]) for start, end in zip([0, *places], [*places, len(text)], strict=True)]


class TestParse:
    """`parse()` emits the value, or the reason why there is none."""

    def test_completes(self) -> None:
        """The value is emitted before the completion."""
        played = play(
            parse(Row),
            on_next(10, says(thinking="Hm")),
            on_next(20, says('{"name": "Os')),
            on_next(30, says('lo", "price": 1}')),
            on_next(40, done()),
            on_completed(50),
        )

        assert [on_next(250, Row("Oslo", 1.0)), on_completed(250)] == played.messages
        assert [Subscription(200, 250)] == played.subscriptions

    def test_errors(self) -> None:
        """The source's error is passed on, whatever the answer is so far."""
        for content in ('{"name": "Os', '{"name": "Oslo"}', "Sorry"):
            played = play(parse(Row), on_next(10, says(content)), on_error(20, LOST))

            assert [on_error(220, LOST)] == played.messages
            assert [Subscription(200, 220)] == played.subscriptions

    def test_disposed(self) -> None:
        """Nothing is emitted after dispose, and the source is disposed."""
        played = play(parse(Row), on_next(10, says('{"name": "Oslo"}')), on_completed(20), disposed=215)

        assert [] == played.messages
        assert [Subscription(200, 215)] == played.subscriptions

    @pytest.mark.parametrize(
        ("kind", "text", "value"),
        [
            (Row, '{"name": "Oslo", "price": 1.5}', Row("Oslo", 1.5)),
            (Plain, '{"name": "Oslo", "price": 1.5}', Plain("Oslo", 1.5)),
            (Named, '{"name": "Oslo", "price": 1.5}', {"name": "Oslo", "price": 1.5}),
            (Model, '{"name": "Oslo", "price": 1.5}', Model(name="Oslo", price=1.5)),
            (list[Row], '[{"name": "Oslo"}]', [Row("Oslo")]),
            (Row | None, "null", None),
            (dict[int, Plain], '{"1": {"name": "a", "price": 2}}', {1: Plain("a", 2)}),
            (Mood, '"good"', Mood.GOOD),
            (Literal["yes", "no"], '"no"', "no"),
            (int, "42", 42),
            (bool, " true\n", True),
            (str, '"\\ud83d\\ude00"', "😀"),
            (Table, '```json\n{"rows": [{"name": "Oslo"}]}\n```', Table([Row("Oslo")])),
        ],
    )
    def test_types(self, kind: Any, text: str, value: object) -> None:
        """Any type that JSON can be read into is accepted, with white space and a fence or without."""
        assert ([value], None) == received([*map(says, text), done()], parse(kind))

    def test_the_value_is_its_own(self) -> None:
        """Each subscriber gets its own value."""
        source = reactivex.of(says("[[]]"), done()).pipe(parse(list[list[int]]))
        first: list[list[list[int]]] = []
        source.subscribe(lambda value: value[0].append(1))
        source.subscribe(first.append)

        assert [[[]]] == first

    def test_whole_though_cut_off(self) -> None:
        """A whole value is emitted, even if white space after it was cut off."""
        assert ([{"a": 1}], None) == received([says('{"a": 1}\n\n\n'), done("length")], parse(dict[str, int]))

    def test_misfit(self) -> None:
        """An error has the answer, the path, the reason, and the response."""
        text = '{"rows": [{"name": "Oslo"}, {"name": "Rome", "price": "secret"}]}'
        error = refused([says(text), done()], parse(Table))

        assert (text, "$.rows[1].price", "Expected `float`, got `str`") == (error.text, error.path, error.reason)
        assert not error.truncated
        assert "m" == error.model
        assert error.partial is not None
        assert (text, True) == (error.partial.message.content, error.partial.done)
        expected = "the answer does not fit its type at $.rows[1].price: Expected `float`, got `str` (model 'm')"
        assert expected == str(error)

    @pytest.mark.parametrize(
        ("kind", "text", "path", "shown"),
        [
            (Mood, '"secret"', "$", "at $ "),
            (dict[str, Model], '{"secret": {"price": 1, "name": 2}}', "$[...].name", "at $"),
            (list[Model], '[{"price": 1}]', "$[0].name", "at $[0].name: Field required "),
        ],
    )
    def test_misfit_shows_no_words(self, kind: Any, text: str, path: str, shown: str) -> None:
        """The message of a misfit quotes nothing of the answer."""
        error = refused([says(text), done()], parse(kind))

        assert path == error.path
        assert shown in str(error)
        assert "secret" not in str(error)

    @pytest.mark.parametrize("kind", [Positive, PlainPositive, PositiveModel])
    def test_cause(self, kind: Any) -> None:
        """A type's own check that refuses a value is the cause, and its traceback ends with the check's own line."""
        for operator in (parse(list[kind]), elements(kind)):
            error = refused([says('[{"price": -1}]'), done()], operator)

            assert repr(error.__cause__) in {"ValueError('a secret price')", "TypeError('a secret price')"}
            assert error.__cause__ is not None
            assert "raise" in (extract_tb(error.__cause__.__traceback__)[-1].line or "")
            assert "secret" not in str(error)
            assert error.__traceback__ is None

    @pytest.mark.parametrize(
        ("kind", "text"),
        [
            (Row, '{"name": 5}'),
            (Model, '{"name": 5}'),
            (Path, "5"),
            (Positive, '{"price": "x"}'),
            (Row, "Sorry"),
            (Row, ""),
        ],
    )
    def test_no_internal_causes(self, kind: Any, text: str) -> None:
        """An error without a check of the user's own has no cause, no context and no internal traceback."""
        error = refused([says(text), done()], parse(kind))

        assert (None, None, None) == (error.__cause__, error.__context__, error.__traceback__)

    def test_traceback(self) -> None:
        """A script shows its own line and that of the check, and no internal exception."""

        # Not `reactivex.of`, which completes within an `except` of its own.
        def subscribe(observer: abc.ObserverBase[ChatChunk], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            observer.on_next(says('{"price": -1}'))
            observer.on_completed()
            return Disposable()

        with pytest.raises(StructuredOutputError) as caught:
            run(Observable(subscribe).pipe(parse(Positive)))
        shown = "".join(format_exception(caught.value))

        assert shown.count("Traceback (most recent call last)") == 2
        assert 'raise ValueError("a secret price")\nValueError: a secret price\n' in shown
        assert "Misfit" not in shown
        assert "ValidationError" not in shown
        assert "During handling" not in shown

    @pytest.mark.parametrize("operator", [parse(list[Failing]), elements(Failing)])
    def test_failing_type(self, operator: Operator[ChatChunk, Any]) -> None:
        """Any other exception of a type's own code is the error of the stream."""
        source: Subject[ChatChunk] = Subject()
        ended: list[Exception] = []
        source.pipe(operator).subscribe(on_error=ended.append)
        source.on_next(says('[{"name": "a"}]'))
        source.on_completed()

        assert ["KeyError('mine')"] == [*map(repr, ended)]

    @pytest.mark.parametrize("key", ["secret", "prices[secret]", "[secret]", "prices]secret", "", "..."])
    def test_misfit_with_the_models_own_key(self, key: str) -> None:
        """A path through a key that the type does not name is not shown."""

        class Bag(pydantic.BaseModel):
            prices: dict[str, int]

        error = refused([says(json.dumps({"prices": {key: "a"}})), done()], parse(Bag))

        assert f"$.prices.{key}" == error.path
        assert str(error).startswith("the answer does not fit its type at $: Input should be ")

    @pytest.mark.parametrize("wrong", [object, 5, "Row", complex])
    def test_wrong_type(self, wrong: Any) -> None:
        """A type that cannot be read from JSON is refused at the call."""
        for operator in (parse, elements):
            with pytest.raises(InvalidValueError) as caught:
                operator(wrong)

            assert "kind" == caught.value.field


_LOADED = "the server only loaded or unloaded the model"
_ONLY_THOUGHT = "there is thinking, but no answer: allow more tokens (num_predict)"


class TestReasons:
    """Each operator gives the reason why there is no answer when the source completes."""

    @pytest.mark.parametrize("operator", OPERATORS)
    @pytest.mark.parametrize(
        ("chunks", "reason"),
        [
            ([], "the answer is empty"),
            ([says(" \n"), done()], "the answer is empty"),
            ([done()], "the answer is empty"),
            ([done("load")], _LOADED),
            ([done("unload")], _LOADED),
            ([says(thinking="Hm"), done()], "there is thinking, but no answer"),
            ([says(thinking="Hm"), done("thinking_only")], _ONLY_THOUGHT),
            ([says(thinking="Hm"), done("length")], CUT),
            ([says("["), done("length")], CUT),
            ([says("["), done()], "the answer ends too early to be JSON (at position 1)"),
            ([says("[")], "the answer ends too early to be JSON (at position 1)"),
            ([says("Sorry."), done()], "the answer is not JSON: expected a value (at position 0)"),
            ([says("Sorry."), done("length")], f"the answer is not JSON: expected a value (at position 0); {CUT}"),
            ([says("{},"), done()], "the answer is not JSON: expected nothing more (at position 2)"),
            ([says("[1]"), says(calls=(CALL,)), done()], "the answer ends with tool calls"),
            ([says("[1]"), done(), says("[1"), done()], "the answer ends too early to be JSON (at position 2)"),
        ],
    )
    def test_reason(self, operator: Any, chunks: list[ChatChunk], reason: str) -> None:
        """The error has the reason and the answer."""
        error = refused(chunks, operator())

        assert error.reason.startswith(reason)
        assert str(error).startswith(error.reason)
        assert "$" == error.path
        assert error.truncated == (chunks[-1:] in ([done("length")], [done("thinking_only")]))
        assert error.partial is not None
        assert error.text == error.partial.message.content
        assert "Sorry" not in str(error)


class TestMessages:
    """The answer is the last message of the assistant."""

    ROUNDS = (says("Let me see."), says(calls=(CALL,)), done(), returns("[5]"))

    @pytest.mark.parametrize("operator", OPERATORS)
    def test_tools(self, operator: Any) -> None:
        """Text beside tool calls, and tool results, are not the answer."""
        alone = received([says("{}"), done()], operator())
        error = received([*self.ROUNDS, says("{}"), done()], operator())

        assert str(alone) == str(error)

    def test_grows_anew(self) -> None:
        """Each message is a new value."""
        found, error = received([says('{"a": '), *self.ROUNDS, says("["), says("1]"), done()], partial_json())

        assert error is None
        assert [{}, [], [1]] == [snapshot.value for snapshot in found]

    def test_elements_anew(self) -> None:
        """Elements of an earlier message stay emitted, and another list may follow."""
        chunks = [says("[1, 2]"), says(calls=(CALL,)), done(), returns(), says('[3, "4"]'), done()]
        found, error = received(chunks, elements(int))

        assert [1, 2, 3] == found
        assert isinstance(error, StructuredOutputError)
        assert ("$[1]", '[3, "4"]') == (error.path, error.text)

    @pytest.mark.parametrize(
        ("chunks", "value"),
        [
            ([says("[1]"), done(), returns()], [1]),
            ([says("[1]"), done(), ChatChunk()], [1]),
            ([says("[1]"), done(), ChatChunk(model="m"), returns()], [1]),
            (
                [says("[1]"), ChatChunk(message=Message.tool("", name="f"), tool_progress="50 %"), says("", role="")],
                [1],
            ),
            ([says("[0]"), returns(), says("[1]", role="")], [1]),
            ([says("[0]"), says("[1]", role="model")], [1]),
            ([says("[", role=""), says("1]")], [1]),
            ([done(content="[1]")], [1]),
        ],
    )
    def test_speakers(self, chunks: list[ChatChunk], value: list[int]) -> None:
        """Another role ends a message, and an empty chunk does not begin one."""
        assert ([value], None) == received(chunks, parse(list[int]))

    @given(conversations(), st.sampled_from(["", "[1", "[1]", '{"a": 1}', "12"]))
    def test_agrees_with_the_response(self, spoken: list[list[ChatChunk]], text: str) -> None:
        """A conversation gives the same as the last message of its response."""
        chunks = [*(chunk for message in spoken for chunk in message)]
        chunks.insert(max(0, len(chunks) - 1), says(text))
        [response], _ = received(chunks, collect())
        reason = response.done_reason
        alone = ChatChunk(model=response.model, message=response.message, done=response.done, done_reason=reason)
        for operator in (parse(list[int] | dict[str, int] | int), elements(int)):
            found, error = received(chunks, operator)
            expected, expected_error = received([alone], operator)

            # Elements cannot be taken back, and are those of the last attempt or no attempt at all.
            if isinstance(error, RestartedError):
                continue
            assert str(expected_error) == str(error)
            assert expected == found[len(found) - len(expected) :]


class TestPartialJson:
    """`partial_json()` emits the value as it grows."""

    def test_completes(self) -> None:
        """A snapshot is emitted for each chunk that changes the value, and for no other."""
        played = play(
            partial_json(),
            on_next(10, says(thinking="Hm")),
            on_next(20, says(' {"rows"')),
            on_next(30, says(': [{"na')),
            on_next(40, says('me": "Os')),
            on_next(50, says('lo"')),
            on_next(60, says("}]")),
            on_next(70, says("}")),
            on_next(80, done()),
            on_completed(90),
        )

        assert [
            on_next(220, PartialJson({})),
            on_next(230, PartialJson({"rows": [{}]}, path=("rows", 0))),
            on_next(240, PartialJson({"rows": [{"name": "Os"}]}, path=("rows", 0, "name"))),
            on_next(250, PartialJson({"rows": [{"name": "Oslo"}]}, path=("rows", 0))),
            on_next(270, PartialJson({"rows": [{"name": "Oslo"}]}, complete=True)),
            on_completed(290),
        ] == played.messages
        assert [Subscription(200, 290)] == played.subscriptions

    def test_number_at_the_end(self) -> None:
        """A number that stands alone is emitted at the end."""
        played = play(partial_json(), on_next(10, says("1")), on_next(20, done(content="2")), on_completed(30))

        assert [on_next(230, PartialJson(12, complete=True)), on_completed(230)] == played.messages

    def test_errors(self) -> None:
        """The source's error follows the last snapshot."""
        played = play(partial_json(), on_next(10, says('["a')), on_next(15, says("b")), on_error(20, LOST))

        assert [
            on_next(210, PartialJson(["a"], path=(0,))),
            on_next(215, PartialJson(["ab"], path=(0,))),
            on_error(220, LOST),
        ] == played.messages
        assert [Subscription(200, 220)] == played.subscriptions

    def test_disposed(self) -> None:
        """Nothing is emitted after dispose, and the source is disposed."""
        played = play(partial_json(), on_next(10, says("[")), on_next(20, says("1,")), disposed=215)

        assert [on_next(210, PartialJson([]))] == played.messages
        assert [Subscription(200, 215)] == played.subscriptions

    def test_fault(self) -> None:
        """The JSON before a fault is shown, nothing after it is, and the error comes at the end."""
        found, error = received([says('["a", "b" "c'), says('", "d"]'), done()], partial_json())

        assert [PartialJson(["a", "b"])] == found
        assert isinstance(error, StructuredOutputError)
        assert "expected a comma or the end of the list (at position 10)" in error.reason
        assert '["a", "b" "c", "d"]' == error.text

    @given(json_values(), st.booleans(), st.randoms(use_true_random=False))
    def test_last_is_the_whole(self, value: Any, ascii_: bool, random: Random) -> None:
        """However an answer is cut, the last snapshot has the whole value, and none changes later."""
        text = json.dumps(value, ensure_ascii=ascii_)
        seen: list[str] = []
        operator = partial_json()
        source = reactivex.from_iterable([*pieces(text, random), done()])
        kept: list[PartialJson] = []
        source.pipe(operator).subscribe(lambda partial: seen.append(repr(partial)))
        source.pipe(operator).subscribe(kept.append)

        assert seen == [*map(repr, kept)]
        assert repr(PartialJson(json.loads(text), complete=True)) == seen[-1]


class TestElements:
    """`elements()` emits each element as soon as it is whole."""

    def test_completes(self) -> None:
        """An element is emitted with the chunk that ends it."""
        played = play(
            elements(Row, "rows"),
            on_next(10, says('{"note": [1], "rows": [{"name"')),
            on_next(20, says(': "a"}, {"name": "b"}, {')),
            on_next(30, says('"name": "c"}')),
            on_next(40, says('], "more": [2]}')),
            on_next(50, done()),
            on_completed(60),
        )

        rows = [on_next(220, Row("a")), on_next(220, Row("b")), on_next(230, Row("c"))]
        assert [*rows, on_completed(260)] == played.messages
        assert [Subscription(200, 260)] == played.subscriptions

    def test_errors(self) -> None:
        """The source's error follows the elements that were whole."""
        played = play(elements(int), on_next(10, says("[1, 2")), on_error(20, LOST))

        assert [on_next(210, 1), on_error(220, LOST)] == played.messages
        assert [Subscription(200, 220)] == played.subscriptions

    def test_disposed(self) -> None:
        """Nothing is emitted after dispose, and the source is disposed."""
        played = play(elements(int), on_next(10, says("[1,")), on_next(20, says("2,")), disposed=215)

        assert [on_next(210, 1)] == played.messages
        assert [Subscription(200, 215)] == played.subscriptions

    def test_misfit(self) -> None:
        """An element that does not fit ends the stream at once, after those before, and disposes the source."""
        text = '{"rows": [{"name": "a"}, {"name": "b", "price": 1}, {"name": "c", "price": "x"}, {"name": "d"}'
        played = play(elements(Row, "rows"), on_next(10, says(text)), on_next(20, says("]}")), on_completed(30))
        one, other, failed = played.messages
        assert isinstance(failed.value, OnError)
        error = failed.value.exception

        assert [on_next(210, Row("a")), on_next(210, Row("b", 1.0))] == [one, other]
        assert 210 == failed.time
        assert isinstance(error, StructuredOutputError)
        assert ("$.rows[2].price", "Expected `float`, got `str`", text) == (error.path, error.reason, error.text)
        assert "the answer does not fit its type at $.rows[2].price: Expected `float`, got `str`" in str(error)
        assert [Subscription(200, 210)] == played.subscriptions

    def test_misfit_of_a_source_that_goes_on(self) -> None:
        """Items that the source sends after that are ignored."""
        found: list[Any] = []

        def subscribe(observer: abc.ObserverBase[ChatChunk], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            for chunk in (says('[1, "a", 2'), says(', "b", 3]'), done()):
                observer.on_next(chunk)
            observer.on_completed()
            return Disposable()

        Observable(subscribe).pipe(elements(int)).subscribe(found.append, found.append, lambda: found.append(None))
        one, error = found

        assert 1 == one
        assert ("$[1]", '[1, "a", 2') == (error.path, error.text)

    @pytest.mark.parametrize("path", ["rows", ("result", "rows"), ("result", 0)])
    def test_no_list(self, path: Any) -> None:
        """An answer without the list is refused with the path of the list."""
        found, error = received([says('{"result": {}}'), done()], elements(int, path))

        assert [] == found
        assert isinstance(error, StructuredOutputError)
        assert {"rows": "$.rows", ("result", "rows"): "$.result.rows", ("result", 0): "$.result[0]"}[path] == error.path
        assert f"there is no list at {error.path}" == error.reason

    def test_empty_list(self) -> None:
        """An empty list gives no elements and no error."""
        assert ([], None) == received([says('{"rows": []}'), done()], elements(int, ["rows"]))

    def test_cut_off(self) -> None:
        """The whole elements of an answer that was cut off are emitted, before the error."""
        found, error = received([says('[{"name": "a"}, {"name": "b'), done("length")], elements(Row))

        assert [Row("a")] == found
        assert isinstance(error, StructuredOutputError)
        assert (True, CUT) == (error.truncated, error.reason)

    @pytest.mark.parametrize("wrong", [1, None, b"rows", ("rows", None), (-1,), (True,), {"rows": 1}, iter(["rows"])])
    def test_wrong_path(self, wrong: Any) -> None:
        """An invalid path is refused at the call."""
        with pytest.raises(InvalidValueError) as caught:
            elements(int, wrong)

        assert "path" == caught.value.field

    @given(st.lists(json_values(), max_size=5), st.sampled_from([(), ("rows",), ("a", 1)]), st.randoms())
    def test_agrees_with_parse(self, values: list[Any], path: tuple[str | int, ...], random: Random) -> None:
        """However an answer is cut, its elements are those of the list that `parse()` emits."""
        whole: Any = values
        for step in reversed(path):
            whole = {step: whole} if isinstance(step, str) else [None, whole]
        chunks = [*pieces(json.dumps(whole), random), done()]
        [parsed], _ = received(chunks, parse(ANYTHING))
        for step in path:
            parsed = parsed[step]

        assert (parsed, None) == received(chunks, elements(ANYTHING, path))

    def test_elements_are_not_kept(self) -> None:
        """Each emitted element is the subscriber's own."""
        found, _ = received([says("[[1], [2]"), says("]"), done()], elements(list[int]))
        found[0].append(5)

        assert [[1, 5], [2]] == found


class TestSubscribers:
    """The contract of every operator."""

    @pytest.mark.parametrize("operator", OPERATORS)
    def test_never(self, operator: Any) -> None:
        """Nothing is emitted if the source never sends, and the source stays subscribed until dispose."""
        played = play(operator())

        assert [] == played.messages
        assert [Subscription(200, 1000)] == played.subscriptions

    @pytest.mark.parametrize("operator", OPERATORS)
    def test_each_subscription_starts_afresh(self, operator: Any) -> None:
        """A pipeline that is subscribed twice emits the same twice."""
        made = operator()
        chunks = [says("[1"), says(", 2]"), done()]

        assert str(received(chunks, made)) == str(received(chunks, made))

    @pytest.mark.parametrize("operator", OPERATORS)
    def test_scheduler_is_passed_on(self, operator: Any) -> None:
        """The source is subscribed with the subscriber's scheduler."""
        seen: list[abc.SchedulerBase | None] = []

        def subscribe(_: abc.ObserverBase[ChatChunk], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            seen.append(scheduler)
            return Disposable()

        scheduler = VirtualTimeScheduler()
        Observable(subscribe).pipe(operator()).subscribe(scheduler=scheduler)

        assert [scheduler] == seen

    @pytest.mark.parametrize("operator", OPERATORS[1:])
    def test_failing_subscriber(self, operator: Any) -> None:
        """An exception of a subscriber reaches the producer unchanged."""
        source: Subject[ChatChunk] = Subject()

        def fail(_: object) -> None:
            raise KeyError("mine")

        source.pipe(operator()).subscribe(fail)

        with pytest.raises(KeyError, match="mine"):
            source.on_next(says("[1,"))

    @pytest.mark.parametrize("operator", [parse(int), partial_json()])
    def test_subscriber_failing_at_the_end(self, operator: Operator[ChatChunk, Any]) -> None:
        """A subscriber that fails on a last item gets its own error instead of the end; the producer gets none."""
        source: Subject[ChatChunk] = Subject()
        mine = KeyError("mine")
        ended: list[Exception | None] = []

        def fail(_: object) -> None:
            raise mine

        source.pipe(operator).subscribe(fail, ended.append, lambda: ended.append(None))
        source.on_next(says("12"))
        source.on_completed()

        assert [mine] == ended

    def test_with_a_paced_response(self) -> None:
        """Chunks that are added up before give fewer snapshots and the same last one."""
        chunks = [says('{"a"'), says(': "b'), says('c"}'), done()]
        responses, _ = received(chunks, accumulate())
        total = sum(chunks[1:], chunks[0])
        [*_, last], _ = received(chunks, partial_json())

        assert [last] == received([total], partial_json())[0]
        assert json.loads(responses[-1].message.content) == last.value
