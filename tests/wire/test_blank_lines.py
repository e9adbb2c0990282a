"""Blank lines and carriage returns: they change nothing, however the bytes are cut, and cost little."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from scripted_answers import record
from wire_cases import cut, cuts, decode

from rxollama._wire import CHAT, GENERATE, PROGRESS, Kind, LineDecoder

_ANY_MACHINE = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
_TEXT = b'{"model":"m","created_at":"t","response":"Hi","done":false}\n'
_LINES: list[tuple[Kind[Any], list[bytes]]] = [
    (CHAT, [record("a"), record("", "b"), record('"error"'), record("c", unknown=1), record("d\n\n")]),
    (CHAT, [record("", done=True), record("a"), b'{"error":"out of memory"}\n', b"<html>\n"]),
    (GENERATE, [_TEXT, _TEXT, _TEXT.replace(b"false", b"true")]),
    (PROGRESS, [b'{"status":"pulling"}\n', b'{"status":"verifying"}\n', b'{"status":"success"}\n']),
]
_BLANKS = st.lists(st.sampled_from([b"\n", b"\r\n", b" \n", b"\t \r\n", b"\x0b\n", b"\n" * 9]), max_size=3)


@given(st.data())
@_ANY_MACHINE
def test_they_change_nothing(data: st.DataObject) -> None:
    """Records and failures are the same with blank lines anywhere between lines, and with space around a line."""
    kind, lines = data.draw(st.sampled_from(_LINES))
    drawn = data.draw(st.lists(st.sampled_from(lines), max_size=8))
    body = b"".join(drawn)
    before, after = st.sampled_from([b"", b" "]), st.sampled_from([b"\n", b"\r\n", b" \n"])
    spaced = b"".join(
        b"".join([*data.draw(_BLANKS), data.draw(before), line.removesuffix(b"\n"), data.draw(after)]) for line in drawn
    )
    spaced += b"".join(data.draw(_BLANKS))

    assert decode(LineDecoder(kind), [body]) == decode(LineDecoder(kind), cut(spaced, data.draw(cuts())))


@pytest.mark.parametrize("blank", [b"\n", b"\r\n", b" \n", b"\t\n\r\n"], ids=repr)
@pytest.mark.parametrize("before", [b"", record("a"), record("a") * 3, record("a", unknown=1)], ids=len)
@pytest.mark.parametrize("after", [b"", record("a"), record("", done=True)], ids=len)
def test_thousands_are_one_step(blank: bytes, before: bytes, after: bytes) -> None:
    """However many blank lines a read has, it is read in the same number of steps."""

    def steps(count: int) -> int:
        read: list[bytes] = []

        def read_plain(lines: bytes) -> Any:
            read.append(lines)
            return CHAT.read_plain and CHAT.read_plain(lines)

        LineDecoder(replace(CHAT, read_plain=read_plain)).feed(before + blank * count + after)
        return len(read)

    assert steps(5000) == steps(3) <= 8


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\n \n \n", b"\r\n"], ids=repr)
@pytest.mark.parametrize("count", [1, 2, 50])
def test_read_at_once(end: bytes, count: int) -> None:
    """After its first read a stream with blank lines or carriage returns is read in one step per read."""
    read: list[bytes] = []

    def read_plain(lines: bytes) -> Any:
        read.append(lines)
        return CHAT.read_plain and CHAT.read_plain(lines)

    line = record("a").strip() + end
    decoder = LineDecoder(replace(CHAT, read_plain=read_plain))
    decoder.feed(line * 2)
    read.clear()
    chunks = [*decoder.feed(line * count)]

    assert len(read) == 1
    assert [chunk.message.content for chunk in chunks] == ["a"] * count
