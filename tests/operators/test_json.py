"""JSON in pieces is read as `json.loads` reads the whole, and each prefix as far as it is decided."""

from __future__ import annotations

import copy
import json
import pickle
import re
import sys
from collections.abc import Iterable
from random import Random
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from rxollama.messages import PartialJson
from rxollama.operators._json import JsonFault, JsonReader

NOTHING = object()
DEPTH = 250

# One of these, followed by closing brackets, completes any prefix of JSON.
_WORDS = ("true", "false", "null")
_CLOSED_TEXTS = ('"', *(escape + '"' for escape in ("n", "u0000", "0000", "000", "00", "0")))
_ENDINGS = (
    *("", "0", '"":0', ":0"),
    *_CLOSED_TEXTS,
    *(closed + ":0" for closed in _CLOSED_TEXTS),
    *(word[start:] for word in _WORDS for start in range(1, len(word))),
)
_UNFINISHED_NUMBER = re.compile(r"(-?[0-9][-+.0-9eE]*|-)\Z")
_UNFINISHED_PAIR = re.compile(r"(?<!\\)((?:\\\\)*)\\u[dD][89abAB][0-9a-fA-F]{2}(\\(u[0-9a-fA-F]{0,3})?)?\Z")


def refuse(constant: str) -> None:
    """Raise `ValueError` for a constant that Python reads and JSON does not have."""
    raise ValueError(constant)


def loads(text: str) -> Any:
    """Return the value of a JSON text, by the standard library."""
    return json.loads(text, parse_constant=refuse)


def brackets(beginning: str) -> tuple[bool, str]:
    """Return whether a prefix ends within a string, and its closing brackets, innermost first."""
    within, escaped, closing = False, False, ""
    for char in beginning:
        if within:
            within = escaped or char != '"'
            escaped = char == "\\" and not escaped
        elif char == '"':
            within = True
        elif char in "[{":
            closing = {"[": "]", "{": "}"}[char] + closing
        elif char in "]}":
            closing = closing[1:]
    return within, closing


def value_of(beginning: str) -> Any:
    """Return the value of a prefix of JSON that needs nothing but closing, by the standard library."""
    within, _ = brackets(beginning)
    kept = _UNFINISHED_PAIR.sub(r"\1", beginning) if within else _UNFINISHED_NUMBER.sub("", beginning)
    for end in range(len(kept), -1, -1):
        within, closing = brackets(kept[:end])
        try:
            return loads(kept[:end] + ('"' if within else "") + closing)
        except ValueError:
            continue
    return NOTHING


def is_beginning(text: str) -> bool:
    """Return whether a text is a prefix of JSON."""
    _, closing = brackets(text)
    for ending in _ENDINGS:
        try:
            loads(text + ending + closing)
        except ValueError:
            continue
        return True
    return False


class Outcome(NamedTuple):
    """The result of reading pieces: the snapshots, and the fault, if any."""

    snapshots: list[PartialJson]
    fault: tuple[str, int, bool] | None

    @property
    def last(self) -> Any:
        """The last value, if there is any."""
        return self.snapshots[-1].value if self.snapshots else NOTHING


def read(pieces: Iterable[str], *, ends: bool = True) -> Outcome:
    """Read pieces, and return a snapshot for each that changes the value."""
    reader = JsonReader()
    snapshots: list[PartialJson] = []
    fault = None
    try:
        for piece in pieces:
            try:
                reader.feed(piece)
            finally:
                if reader.changed:
                    snapshots.append(reader.snapshot())
        if ends:
            try:
                reader.end()
            finally:
                if reader.changed:
                    snapshots.append(reader.snapshot())
    except JsonFault as error:
        fault = (error.reason, error.position, error.early)
    return Outcome(snapshots, fault)


def cut(text: str, random: Random) -> list[str]:
    """Return a text as a few pieces of any size, empty ones included."""
    places = sorted(random.randrange(len(text) + 1) for _ in range(random.choice((0, 1, 3, 9))))
    return [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]


def grows(one: Any, other: Any) -> bool:
    """Return whether a value may have grown into another one."""
    if type(one) is type(other) is str:
        return str(other).startswith(one)
    if type(one) is type(other) is list:
        return len(one) <= len(other) and all(map(grows, one, other))
    if type(one) is type(other) is dict:
        return [*one] == [*other][: len(one)] and all(map(grows, one.values(), other.values()))
    return same(one, other)


def same(one: Any, other: Any) -> bool:
    """Return whether two values and their types are equal: 1, 1.0 and True differ."""
    return repr(one) == repr(other)


_BLANKS = st.sampled_from(["", "", "", " ", "\n", "\t", "\r\n  "])
_NUMBERS = st.from_regex(r"\A-?(0|[1-9][0-9]{0,19})(\.[0-9]{1,5})?([eE][-+]?[0-9]{1,3})?\Z")
_RAW = st.characters(exclude_characters='"\\', exclude_categories=["Cs"], min_codepoint=32)
_ESCAPED = st.sampled_from([*'"\\/bfnrt', "u00e9", "u0000", "uD83D\\uDE00", "ud83d", "uDe00", "ud83d\\ud83d\\ude00"])


def _quoted(parts: list[str]) -> str:
    return '"' + "".join(parts) + '"'


_TEXTS = st.lists(st.text(_RAW, max_size=3) | _ESCAPED.map("\\".__add__), max_size=4).map(_quoted)


@st.composite
def joined(draw: DrawFn, parts: list[str], around: str) -> str:
    """Draw the items of a list or an object with white space between them."""
    inside = ",".join(draw(_BLANKS) + part + draw(_BLANKS) for part in parts) or draw(_BLANKS)
    return around[0] + inside + around[1]


@st.composite
def pairs(draw: DrawFn, values: SearchStrategy[str], *, once: bool) -> list[str]:
    """Draw a member of an object; a key may occur twice."""
    keys = draw(st.lists(_TEXTS, max_size=3, unique_by=loads if once else None))
    return [key + draw(_BLANKS) + ":" + draw(_BLANKS) + draw(values) for key in keys]


@st.composite
def documents(draw: DrawFn, *, once: bool = False) -> str:
    """Draw JSON in any notation."""
    plain = st.sampled_from(_WORDS) | _NUMBERS | _TEXTS

    def nested(values: SearchStrategy[str]) -> SearchStrategy[str]:
        lists = st.lists(values, max_size=3).flatmap(lambda parts: joined(parts, "[]"))
        return lists | pairs(values, once=once).flatmap(lambda parts: joined(parts, "{}"))

    value = draw(st.recursive(plain, nested, max_leaves=8))
    return draw(_BLANKS) + value + draw(_BLANKS)


@st.composite
def broken(draw: DrawFn) -> str:
    """Draw JSON in which a few characters are changed, removed or added."""
    text = draw(documents())
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(text)))
        text = (
            text[:at]
            + draw(st.sampled_from(['"', "\\", "\n", *'{}[],:-+.0eEtn "u']))
            + text[at + draw(st.integers(0, 2)) :]
        )
    return text


class TestValue:
    """The value, and its snapshots."""

    @given(documents(), st.randoms(use_true_random=False))
    def test_whole(self, text: str, random: Random) -> None:
        """However JSON is cut, its value is that of `json.loads`."""
        outcome = read(cut(text, random))

        assert outcome.fault is None
        assert same(loads(text), outcome.last)
        assert outcome.snapshots[-1].complete

    @given(documents())
    def test_every_beginning(self, text: str) -> None:
        """The value of each prefix is that of the closed prefix."""
        for end in range(len(text) + 1):
            expected = value_of(text[:end])
            outcome = read([text[:end]], ends=False)

            assert outcome.fault is None
            assert expected is outcome.last is NOTHING or same(expected, outcome.last)

    @given(documents(once=True))
    def test_character_by_character(self, text: str) -> None:
        """There is a snapshot for each change and for nothing else, and it does not change later."""
        expected: list[Any] = []
        for end in range(len(text) + 1):
            value = value_of(text[:end])
            if value is not NOTHING and not (expected and same(expected[-1], value)):
                expected.append(value)
        if not same(expected[-1:], [loads(text)]):
            expected.append(loads(text))
        *growing, last = read(text).snapshots

        assert [last] == [snapshot for snapshot in [*growing, last] if snapshot.complete]
        # The last bracket or quotation mark only makes the value complete.
        shown = [snapshot.value for snapshot in growing]
        assert same(expected, shown) or same(expected, [*shown, last.value])
        assert same(loads(text), last.value)

    @given(documents(once=True), st.randoms(use_true_random=False))
    def test_nothing_is_taken_back(self, text: str, random: Random) -> None:
        """A value only grows if no key occurs twice."""
        values = [snapshot.value for snapshot in read(cut(text, random)).snapshots]

        assert all(map(grows, values, values[1:]))

    @given(documents(), st.randoms(use_true_random=False))
    def test_path(self, text: str, random: Random) -> None:
        """The path leads to a string, list or object that is the last one in each container around it."""
        for snapshot in read(cut(text, random)).snapshots:
            before, value = snapshot.path, snapshot.value
            assert before == snapshot.path
            assert not (snapshot.complete and snapshot.path)
            for step in snapshot.path:
                assert isinstance(step, str) or step == len(value) - 1
                value = value[step]
            assert snapshot.complete or type(value) in {str, list, dict}

    @given(documents(), st.randoms(use_true_random=False))
    def test_cuts(self, text: str, random: Random) -> None:
        """The last value depends neither on the cuts nor on which snapshots were read before."""
        end = random.randrange(len(text) + 1)
        one, other = read([text[:end]], ends=False), read(cut(text[:end], random), ends=False)
        for snapshot in other.snapshots:
            if random.random() < 0.5:
                assert snapshot.value is snapshot.value

        assert one.last is other.last is NOTHING or same(one.last, other.last)

    def test_a_key_that_comes_twice(self) -> None:
        """The last of equal keys counts, in the place of the first, and older snapshots do not change."""
        snapshots = read(['{"a": [1], "b": 2, ', '"a": "x', '"}']).snapshots

        assert [{"a": [1], "b": 2}, {"a": "x", "b": 2}, {"a": "x", "b": 2}] == [each.value for each in snapshots]
        assert ["a", "b"] == list(snapshots[-1].value)

    def test_what_is_not_shown_yet(self) -> None:
        """A key without a value, an unfinished number or word, and half a surrogate pair are not shown."""
        shown = [
            snapshot.value
            for snapshot in read(
                ['{"a', '": ', "1", "2", ", ", '"b": tr', 'ue, "c": "', "\\ud83d", "\\ude00x"]
            ).snapshots
        ]

        assert [{}, {"a": 12}, {"a": 12, "b": True, "c": ""}, {"a": 12, "b": True, "c": "😀x"}] == shown

    @pytest.mark.parametrize("text", ["12", "-0", "-0.0", "1e5", "0.1", "1E400", "-1e-400"])
    def test_a_number_alone(self, text: str) -> None:
        """A number that is the whole value is complete at the end."""
        outcome = read([text])

        assert outcome.fault is None
        assert same([loads(text)], [snapshot.value for snapshot in outcome.snapshots])

    def test_finished_parts_are_shared(self) -> None:
        """Snapshots share finished parts, and each has its own copy of the open ones."""
        one, other = read(['{"rows": [{"a": 1}', ', {"b": "']).snapshots

        assert one.value["rows"][0] is other.value["rows"][0]
        assert one.value["rows"] is not other.value["rows"]

    def test_keys_are_kept_once(self) -> None:
        """Objects with equal keys share the key strings."""
        first, second = read(['[{"some key": 1}, {"some', ' key": 2}]']).last

        assert next(iter(first)) is next(iter(second))


class TestFaults:
    """The texts that are not JSON, and the position of the fault."""

    @given(broken(), st.randoms(use_true_random=False))
    def test_position(self, text: str, random: Random) -> None:
        """A text that `json.loads` refuses is refused, at the first character with which no JSON continues."""
        try:
            expected = loads(text)
        except ValueError:
            expected = NOTHING
        outcome = read(cut(text, random))

        assert (expected is NOTHING) == (outcome.fault is not None)
        if outcome.fault is None:
            assert same(expected, outcome.last)
            return
        _, position, early = outcome.fault
        assert early == is_beginning(text)
        assert early or is_beginning(text[:position])
        assert early or not is_beginning(text[: position + 1])
        assert outcome == read(text)._replace(snapshots=outcome.snapshots)
        assert outcome.last is read(text).last is NOTHING or same(outcome.last, read(text).last)

    @pytest.mark.parametrize(
        ("text", "position"),
        [
            *(("NaN", 0), ("Infinity", 0), ("-Infinity", 1), ("nan", 1)),
            *(("[1,]", 3), ("[,1]", 1), ("[1 2]", 3), ("[1}", 2), ("]", 0), ("1]", 1), ("{} x", 3)),
            *(('{"a":1,}', 7), ("{1:2}", 1), ('{"a" 1}', 5), ('{"a",', 4), ("{,", 1), ('{"a":}', 5), ('{"a":1]', 6)),
            *(("01", 1), ("-a", 1), ("1.a", 2), ("1e]", 2), ("+1", 0), (".5", 0), ("1.5.", 3), ("--1", 1)),
            *(("tru ", 3), ("truE", 3), ("nulL", 3), ("truee", 4), ("True", 0), ("none", 1)),
            *(
                ('"\n"', 1),
                ('"\x00', 1),
                ('"\x1f', 1),
                ('"\\x', 2),
                ('"\\u12g', 5),
                ('"\\ud83d\\x', 8),
                ('"\\u 123', 3),
            ),
            *(("'a'", 0), ("// a", 0), ("\ufeff1", 0), ("\u00a01", 0), ("\x0b1", 0), ("Sure! {", 0), ("\u0661", 0)),
        ],
    )
    def test_garbage(self, text: str, position: int) -> None:
        """A text that is not JSON is refused at its fault, also character by character."""
        with pytest.raises(ValueError):  # noqa: PT011 - Any of Python's own errors may come.
            loads(text)

        for pieces in ([text], list(text)):
            fault = read(pieces, ends=False).fault
            assert fault is not None
            assert (position, False) == fault[1:]

    @pytest.mark.parametrize(
        "text", ["", " ", "[", "{", '{"a', '{"a"', '{"a":', "[1", "[1,", '"', '"\\', '"\\u1', "-", "1.", "tru"]
    )
    def test_too_early(self, text: str) -> None:
        """A text that ends too early is not called wrong, and is refused only at the end."""
        assert read([text], ends=False).fault is None
        assert ("it ends too early", len(text), True) == read([text]).fault

    def test_reason_shows_nothing(self) -> None:
        """A reason quotes nothing of the text."""
        reader = JsonReader()

        with pytest.raises(JsonFault) as caught:
            reader.feed('{"secret"secret')

        assert ("expected a colon", 9) == (caught.value.reason, caught.value.position)
        assert "secret" not in str(caught.value)

    def test_digits(self) -> None:
        """An integer with more digits than Python reads is refused where it starts; one with as many is read."""
        most = sys.get_int_max_str_digits()

        assert 10 ** (most - 1) == read(["1" + "0" * (most - 1)]).last
        for text in ("[1, -" + "9" * (most + 1) + "]", "1" * (most + 1)):
            for pieces in ([text], list(text)):
                assert ("a number has too many digits", text.rfind(" ") + 1, False) == read(pieces).fault

    def test_digits_of_a_fraction(self) -> None:
        """A number with a point may have any number of digits."""
        text = "0." + "1" * 10_000

        assert float(text) == read(list(text)).last

    @pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
    def test_depth(self, opening: str, closing: str) -> None:
        """A value that is nested too deeply is refused; any other can be compared, copied and encoded."""
        deep = opening * DEPTH + "0" + closing * DEPTH

        assert loads(deep) == read([deep]).last
        assert deep.replace(":", ": ") == json.dumps(copy.deepcopy(read(deep).last))
        assert ("it is nested more than 250 levels deep", len(opening) * DEPTH, False) == read([opening + deep]).fault
        assert read(["[" + "[[]]," * 1000 + "[]]"]).fault is None


class TestFence:
    """The Markdown fence around JSON."""

    @given(documents(), st.sampled_from(["", "json", " JSON \r", "json5"]), st.randoms(use_true_random=False))
    def test_passed_over(self, text: str, info: str, random: Random) -> None:
        """A fence around JSON changes nothing, with or without its end."""
        for end in ("```", "```\n", "``", ""):
            outcome = read(cut(f"\n```{info}\n{text}\n{end}", random))

            assert outcome.fault is None
            assert same(loads(text), outcome.last)

    @pytest.mark.parametrize(
        ("text", "position"),
        [
            *(("``1", 2), ("`1", 1), ("```json {}", 8), ("```json\n```", 8), ("```\n```\n1", 4), ("````\n1", 3)),
            *(("1```", 1), ("```\n1\n``x", 8), ("```\n1\n```x", 9), ("```\n1\n````", 9), ("```\n1\n`` `", 8)),
        ],
    )
    def test_refused(self, text: str, position: int) -> None:
        """Half a fence, or a fence in the wrong place, is refused."""
        for pieces in ([text], list(text)):
            fault = read(pieces).fault
            assert fault is not None
            assert position == fault[1]


class TestWatching:
    """The elements of a list, removed while it grows."""

    @pytest.mark.parametrize(
        ("text", "path"),
        [
            ('[1, {"a": 2}, [3]]', ()),
            ('{"x": [0], "rows": [1, {"a": 2}, [3]], "y": [0]}', ("rows",)),
            ('{"x": {"rows": [0]}, "rows": [1, {"a": 2}, [3]]}', ("rows",)),
            ('{"result": {"rows": [1, {"a": 2}, [3]]}}', ("result", "rows")),
            ('[[0], {"rows": [1, {"a": 2}, [3]]}]', (1, "rows")),
        ],
    )
    def test_found(self, text: str, path: tuple[str | int, ...]) -> None:
        """Each element of the watched list is found once it is whole, and no others are."""
        for pieces in ([text], list(text)):
            reader, found = JsonReader(path), list[Any]()
            for piece in pieces:
                reader.feed(piece)
                found += reader.found or []
                if reader.found:
                    reader.found.clear()
            reader.end()

            assert [1, {"a": 2}, [3]] == found

    @pytest.mark.parametrize("text", ['{"rows": 1}', '{"rows": {"rows": [1]}}', '{"row": [1]}', "[1]", '"rows"'])
    def test_not_found(self, text: str) -> None:
        """Nothing is found if there is no such list."""
        reader = JsonReader(("rows",))
        reader.feed(text)

        assert reader.found is None

    def test_twice(self) -> None:
        """A second list at the watched path is refused."""
        reader = JsonReader(("rows",))

        with pytest.raises(JsonFault, match="a second time") as caught:
            reader.feed('{"rows": [1], "rows": [2]}')

        assert 22 == caught.value.position


class TestPartialJson:
    """`PartialJson` is a value."""

    def test_is_a_value(self) -> None:
        """It can be compared, shown, copied and pickled, but not changed."""
        partial = read(['{"rows": [{"name": "Os']).snapshots[0]
        same_ = PartialJson({"rows": [{"name": "Os"}]}, path=("rows", 0, "name"))

        assert ("rows", 0, "name") == partial.path
        assert same_ == partial == copy.copy(partial) == pickle.loads(pickle.dumps(partial))  # noqa: S301 - Our own.
        assert repr(same_) == repr(partial)
        assert "PartialJson({'a': 1}, complete=True, path=())" == repr(PartialJson({"a": 1}, complete=True))
        assert partial not in (PartialJson(partial.value), PartialJson(path=partial.path), partial.value)
        assert PartialJson(complete=True) != PartialJson()
        with pytest.raises(AttributeError, match="cannot be changed: complete"):
            partial.complete = True
