"""Recorded responses, decoded at every cut."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_cases import RECORDINGS, cut, decode, decoder_of, every_cut, slices

from rxollama._wire import status_error
from rxollama._wire._records import _is_list
from rxollama._wire._server_errors import is_object
from rxollama.errors import ReportedError, TruncatedError
from rxollama.messages import ChatChunk
from rxollama.testing import Recording

_ANSWERED = [name for name, recording in RECORDINGS.items() if recording.status == 200]
_REFUSED = [name for name, recording in RECORDINGS.items() if recording.status != 200]
_CHATS = [name for name in _ANSWERED if "content" in RECORDINGS[name].expect]
_PROGRESSES = ["create", "pull", "pull-missing", "push"]
_VALUES = ["embed", "show", "version"]
_LARGE = "long"
_SMALL = [name for name in _ANSWERED if len(RECORDINGS[name].body) <= 8_000]
# A cut at every byte of these would take seconds each.
_MIDDLING = [name for name in _ANSWERED if name not in _SMALL and name != _LARGE]

_NUMBERS = (
    "total_duration",
    "load_duration",
    "prompt_eval_count",
    "prompt_eval_duration",
    "eval_count",
    "eval_duration",
)
# Errors that quote llama-server's JSON, and the innermost text of each.
_QUOTED = {
    "boom": "scripted failure",
    "context": "the request exceeds the available context size. "
    "try increasing the context size or enable context shift",
}


def _expected_failure(recording: Recording) -> tuple[type[Exception], str] | None:
    expect = recording.expect
    if "error" in expect:
        return ReportedError, expect["error"]
    return (TruncatedError, "") if expect.get("done") is False else None


@pytest.mark.parametrize("name", _ANSWERED)
def test_recorded_answer_has_its_records_and_its_failure(name: str) -> None:
    """A recorded response gives as many records as it has, and its failure if it has one."""
    recording = RECORDINGS[name]
    records, failure = decode(decoder_of(recording)(), [recording.body])
    # An error record is not returned as a record. A call without a result returns one None.
    handed_out = recording.expect["records"] - ("error" in recording.expect)

    assert _expected_failure(recording) == (failure and (failure[0], failure[2].get("detail", "")))
    assert (handed_out or 1) == len(records)


@pytest.mark.parametrize("name", _CHATS)
def test_recorded_chat_says_what_was_said(name: str) -> None:
    """The sum of a recorded chat has its texts, its calls in order, its done reason and its numbers."""
    recording = RECORDINGS[name]
    expect = recording.expect
    total = sum(decode(decoder_of(recording)(), [recording.body]).records, ChatChunk())
    calls = [{"name": call.name, "arguments": call.arguments} for call in total.message.tool_calls]

    assert expect["content"] == total.message.content
    assert expect["thinking"] == total.message.thinking
    assert expect["tool_calls"] == calls
    assert expect["done"] == total.done
    assert expect.get("done_reason", "") == total.done_reason
    assert [expect.get(number, 0) for number in _NUMBERS] == [getattr(total, number) for number in _NUMBERS]
    assert expect.get("tokens_per_second") == (total.metrics and total.metrics.tokens_per_second)


@pytest.mark.parametrize("name", _PROGRESSES)
def test_recorded_progress_says_what_the_lines_say(name: str) -> None:
    """The records of a recorded pull, push or create have the fields of their lines."""
    recording = RECORDINGS[name]
    lines = [msgspec.json.decode(line) for line in recording.body.splitlines() if line]
    records = decode(decoder_of(recording)(), [recording.body]).records
    said = [{key: value for key, value in msgspec.to_builtins(record).items() if value} for record in records]

    assert [{k: v for k, v in line.items() if v} for line in lines if "error" not in line] == said


@pytest.mark.parametrize("name", _VALUES)
def test_recorded_value_holds_what_the_body_holds(name: str) -> None:
    """A recorded body of one value is read with all its fields."""
    recording = RECORDINGS[name]
    body = msgspec.json.decode(recording.body)
    [value] = decode(decoder_of(recording)(), [recording.body]).records

    assert body == (_like(value, body) if name != "version" else {"version": value})


@pytest.mark.parametrize("name", ["tags", "ps"])
def test_recorded_list_holds_what_the_body_holds(name: str) -> None:
    """A recorded list of models is read with all fields of each model."""
    recording = RECORDINGS[name]
    models = msgspec.json.decode(recording.body)["models"]
    [entries] = decode(decoder_of(recording)(), [recording.body]).records

    assert models == _like(entries, models)


@pytest.mark.parametrize("name", _SMALL)
def test_recorded_answer_is_the_same_at_every_cut(name: str) -> None:
    """A recorded response that is cut in two at any byte gives the same."""
    recording = RECORDINGS[name]
    decoder = decoder_of(recording)
    whole = decode(decoder(), [recording.body])

    assert all(whole == decode(decoder(), pieces) for pieces in every_cut(recording.body))


@pytest.mark.parametrize("name", _MIDDLING)
@pytest.mark.parametrize("stride", [100, 499])
def test_longer_answer_is_the_same_at_every_cut(name: str, stride: int) -> None:
    """A longer response that is cut at regular distances, from any byte on, gives the same."""
    recording = RECORDINGS[name]
    decoder = decoder_of(recording)
    whole = decode(decoder(), [recording.body])
    places = [range(start, len(recording.body), stride) for start in range(stride)]

    assert all(whole == decode(decoder(), cut(recording.body, some)) for some in places)


@pytest.mark.parametrize("name", _SMALL + _MIDDLING)
def test_recorded_answer_is_the_same_byte_by_byte(name: str) -> None:
    """A recorded response that arrives byte by byte gives the same."""
    recording = RECORDINGS[name]
    decoder = decoder_of(recording)

    assert decode(decoder(), [recording.body]) == decode(decoder(), slices(recording.body, 1))


@pytest.mark.parametrize("size", [1, 7, 97, 127, 128, 1000, 4096, 16_384, 32_768])
def test_long_answer_is_the_same_in_pieces_of_any_size(size: int) -> None:
    """A long response in pieces of one size, smaller or larger than a line, gives the same."""
    recording = RECORDINGS[_LARGE]
    decoder = decoder_of(recording)

    assert decode(decoder(), [recording.body]) == decode(decoder(), slices(recording.body, size))


@given(places=st.lists(st.integers(0, len(RECORDINGS[_LARGE].body)), max_size=40))
@settings(max_examples=25, deadline=None)
def test_long_answer_is_the_same_at_any_cuts(places: list[int]) -> None:
    """A long response that is cut at any places gives the same."""
    recording = RECORDINGS[_LARGE]
    decoder = decoder_of(recording)

    assert decode(decoder(), [recording.body]) == decode(decoder(), cut(recording.body, places))


@pytest.mark.parametrize("name", _REFUSED)
def test_recorded_refusal_is_told_with_its_status_and_words(name: str) -> None:
    """The error of a recorded refusal has its status, its innermost text and its body."""
    recording = RECORDINGS[name]
    error = status_error(recording.status, recording.headers, recording.body)

    assert recording.expect["status"] == error.status
    assert _QUOTED.get(name, recording.expect["error"]) == error.detail
    assert recording.body.decode() == error.body
    assert error.detail in str(error)


def _like(value: Any, pattern: Any) -> Any:
    """Return the part of a value that a pattern has as well."""
    if is_object(pattern):
        read = value.__getitem__ if is_object(value) else partial(getattr, value)
        return {key: _like(read(key), pattern[key]) for key in pattern}
    if _is_list(pattern):
        return [_like(item, like) for item, like in zip(value, pattern, strict=True)]
    return value
