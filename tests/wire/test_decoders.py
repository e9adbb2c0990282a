"""The decoders: any cut of the bytes gives the same records, also before a bad record."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from wire_cases import DECODERS, RECORDINGS, chat, cut, cuts, decode, every_cut, failure_of, slices

from rxollama._wire import CHAT, GENERATE, MAX_LINE, PROGRESS, BodyDecoder, Kind, LineDecoder, read_body, read_nothing
from rxollama.errors import ProtocolError, ReportedError, StreamError, TruncatedError
from rxollama.messages import ChatChunk, ModelCard, Progress

_HI = b'{"message":{"role":"assistant","content":"Hi"},"done":false}\n'
_THERE = '{"message":{"role":"assistant","content":" thére"},"done":false}\n'.encode()
_DONE = b'{"message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","eval_count":2}\n'
_ERROR = b'{"error":"out of memory"}\n'
_ANSWER = _HI + _THERE + _DONE

_KINDS: list[Kind[Any]] = [CHAT, GENERATE, PROGRESS]


def _contents(chunks: Iterable[ChatChunk]) -> list[str]:
    return [chunk.message.content for chunk in chunks]


class TestFraming:
    """The boundaries of records."""

    def test_one_line_for_each_read(self) -> None:
        """One line per read gives one record per read."""
        decoder = LineDecoder(CHAT)

        assert [["Hi"], [" thére"], [""]] == [_contents(decoder.feed(line)) for line in (_HI, _THERE, _DONE)]

    def test_one_byte_for_each_read(self) -> None:
        """Reads of one byte give each record when its newline arrives."""
        decoder = LineDecoder(CHAT)
        handed_out = [len(decoder.feed(byte)) for byte in slices(_ANSWER, 1)]

        assert [len(_HI), len(_HI + _THERE), len(_ANSWER)] == [at for at, count in enumerate(handed_out, 1) if count]

    def test_all_lines_in_one_read(self) -> None:
        """One read of all lines gives all records."""
        assert ["Hi", " thére", ""] == _contents(LineDecoder(CHAT).feed(_ANSWER))

    def test_slices_that_ignore_lines(self) -> None:
        """Slices of 32 KiB, as a cloud proxy sends them, give each record once."""
        body = _HI * 2000 + _DONE
        records = decode(LineDecoder(CHAT), slices(body, 32 * 1024)).records

        assert ["Hi"] * 2000 + [""] == _contents(records)

    def test_empty_reads(self) -> None:
        """Empty reads change nothing."""
        pieces = [b"", _HI[:9], b"", _HI[9:], b"", _DONE, b""]

        assert decode(LineDecoder(CHAT), [_HI + _DONE]) == decode(LineDecoder(CHAT), pieces)

    def test_character_cut_in_two(self) -> None:
        """A character whose bytes arrive in two reads is not damaged."""
        at = _THERE.index("é".encode()) + 1
        decoder = LineDecoder(CHAT)

        assert [] == decoder.feed(_THERE[:at])
        assert [" thére"] == _contents(decoder.feed(_THERE[at:]))

    @pytest.mark.parametrize("character", ["\u0085", "\u2028", "\u2029", "\u00a0"])
    def test_line_separators_of_unicode(self, character: str) -> None:
        """Only the newline byte separates records; other line separators are text."""
        line = f'{{"message":{{"content":"a{character}b"}},"done":true}}\n'.encode()

        assert [f"a{character}b"] == _contents(chat(line))

    def test_carriage_returns_and_blank_lines(self) -> None:
        """Carriage returns before newlines, and blank lines, are ignored."""
        body = b"\n\r\n" + _HI.replace(b"\n", b"\r\n") + b"   \n\t\r\n" + _DONE + b"\n"

        assert ["Hi", ""] == _contents(chat(body))

    def test_missing_last_newline(self) -> None:
        """A last record without a newline is returned at the end of the body."""
        decoder = LineDecoder(CHAT)

        assert (["Hi"], False) == (_contents(decoder.feed(_HI + _DONE.rstrip())), decoder.over)
        assert ([""], True) == (_contents(decoder.flush()), decoder.over)
        assert decoder.failure is None

    def test_what_follows_the_end(self) -> None:
        """What follows the record that ends a stream is ignored, in the same read and in later ones."""
        assert chat(_HI + _DONE) == chat(_HI + _DONE + _ERROR + b"<html>" + b"x" * 1000)

    def test_memory_of_small_pieces(self) -> None:
        """A line takes little more memory than its bytes, however small the pieces are in which it arrives."""
        decoder, size = LineDecoder(CHAT), 400_000
        tracemalloc.start()
        try:
            for place in range(size // 2):
                decoder.feed(b"%02d" % (place % 100))
            taken, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert taken < 2 * size

    def test_line_of_nine_megabytes(self) -> None:
        """A line of 9 MB is accepted by default, and small reads of it take linear time."""
        text = "long " * 1_800_000
        line = b'{"message":{"content":"%b"},"done":true}\n' % text.encode()
        records, failure = decode(LineDecoder(CHAT), slices(line, 128))

        assert failure is None
        assert text == records[0].message.content
        assert len(line) < MAX_LINE


class TestFaults:
    """Streams that end early."""

    @pytest.mark.parametrize("newline", [b"\n", b""])
    def test_error_record_after_chunks(self, newline: bytes) -> None:
        """An error record sets the failure, with or without its newline, and the chunks before it are returned."""
        body = _HI * 3 + _ERROR.rstrip() + newline
        records, failure = decode(LineDecoder(CHAT), [body])

        assert ["Hi"] * 3 == _contents(records)
        assert failure is not None
        assert ReportedError is failure[0]
        assert {"detail": "out of memory", "body": '{"error":"out of memory"}'}.items() <= failure[2].items()

    @pytest.mark.parametrize("kind", _KINDS)
    @pytest.mark.parametrize("body", [b"", b"\n", b"\r\n \n"])
    def test_empty_stream(self, kind: Kind[Any], body: bytes) -> None:
        """A stream without records is truncated."""
        assert isinstance(failure_of(LineDecoder(kind), body), TruncatedError)

    def test_end_without_done(self) -> None:
        """A stream without its last record is truncated, and its records are returned."""
        records, failure = decode(LineDecoder(CHAT), [_HI + _THERE])

        assert ["Hi", " thére"] == _contents(records)
        assert failure is not None
        assert TruncatedError is failure[0]

    @pytest.mark.parametrize("at", range(1, len(_DONE) - 1))
    def test_end_within_a_record(self, at: int) -> None:
        """A stream that ends at any byte within a record is truncated, and its records are returned."""
        records, failure = decode(LineDecoder(CHAT), [_HI + _DONE[:at]])

        assert ["Hi"] == _contents(records)
        assert failure is not None
        assert TruncatedError is failure[0]

    @pytest.mark.parametrize("number", [b"-", b"-1", b"1.", b"1.5", b"1e", b"1e-", b"1E+", b"1e9"])
    def test_end_within_a_number(self, number: bytes) -> None:
        """A stream that ends within a number is truncated, even if its beginning is not a number."""
        assert isinstance(failure_of(LineDecoder(CHAT), b'{"done":false,"total_duration":' + number), TruncatedError)

    @pytest.mark.parametrize(
        "line",
        [
            b"Ollama is running",
            b"<!DOCTYPE html><html></html>",
            b"data: {}",
            b"[1,2",
            b'"text',
            b"tru",
            b"12",
            b"{nonsense}",
            b'{"message":{}} {"message":{}}',
            b'{"message":{}}}',
            b'{"done":Nan',
            b"\xff\xfe",
            b"\x00",
        ],
    )
    @pytest.mark.parametrize("newline", [b"\n", b""])
    def test_line_that_is_no_record(self, line: bytes, newline: bytes) -> None:
        """A line that is not a JSON object sets the failure, with or without its newline."""
        records, failure = decode(LineDecoder(CHAT), [_HI + line + newline])

        assert ["Hi"] == _contents(records)
        assert failure is not None
        assert ProtocolError is failure[0]

    def test_pretty_printed_record(self) -> None:
        """A record that spans lines fails at its first line, at every cut."""
        body = _HI + b'{\n "message": {"content": "x"},\n "done": true\n}\n'
        whole = decode(LineDecoder(CHAT), [body])

        assert whole.failure is not None
        assert ProtocolError is whole.failure[0]
        assert all(whole == decode(LineDecoder(CHAT), pieces) for pieces in every_cut(body))

    @pytest.mark.parametrize("kind", [CHAT, GENERATE])
    def test_as_many_records_as_lines(self, kind: Kind[Any]) -> None:
        """Two records on one line and one over two lines fail, though the counts of lines and records agree."""
        usual = b'{"message":{"content":"x"},"response":"x"}'
        twice, torn = usual + usual, b'{"message":\n{"content":"x"},"response":"x"}'
        outcomes = [
            decode(LineDecoder(kind), pieces)
            for body in (b"\n".join((usual, twice, torn, b"")), b"\n".join((usual, torn, twice, b"")))
            for pieces in ([body], body.splitlines(keepends=True))
        ]

        assert [1] * 4 == [len(outcome.records) for outcome in outcomes]
        assert all(outcome.failure is not None and ProtocolError is outcome.failure[0] for outcome in outcomes)

    @pytest.mark.parametrize("fault", [_ERROR, b"garbage\n", b'{"other":1}\n', b'{"done":"?"}\n', _HI + b"x" * 200])
    def test_fault_at_every_cut(self, fault: bytes) -> None:
        """A fault after good records is the same, with the same records before it, at every cut."""
        body = _HI + b"\r\n" + _THERE + fault + _HI
        whole = decode(LineDecoder(CHAT, max_line=120), [body])

        assert whole.failure is not None
        assert all(whole == decode(LineDecoder(CHAT, max_line=120), pieces) for pieces in every_cut(body))

    def test_deep_nesting(self) -> None:
        """A line that is nested too deeply sets the failure."""
        line = b'{"message":{"content":"x","deep":' + b"[" * 100_000

        assert isinstance(failure_of(LineDecoder(CHAT), line + b"\n"), ProtocolError)
        assert isinstance(failure_of(LineDecoder(CHAT), line), ProtocolError)

    @pytest.mark.parametrize("tail", [b"", b"\n", b'\n{"message"'])
    def test_line_over_the_limit(self, tail: bytes) -> None:
        """A line over the limit sets the failure as soon as that is known, after the records before it."""
        decoder = LineDecoder(CHAT, max_line=len(_HI) - 1)

        assert ["Hi"] == _contents(decoder.feed(_HI + _HI.rstrip() + b" " + tail))
        assert isinstance(decoder.failure, ProtocolError)
        assert "max_line" in str(decoder.failure)
        assert [] == decoder.feed(_DONE)
        assert [] == decoder.flush()

    def test_line_at_the_limit(self) -> None:
        """A line exactly as long as the limit, without its newline, is accepted."""
        decoder = LineDecoder(CHAT, max_line=len(_HI) - 1)

        assert ["Hi", "Hi"] == _contents(decoder.feed(_HI * 2))
        assert decoder.failure is None

    def test_long_line_that_comes_slowly(self) -> None:
        """A line over the limit sets the failure before its end arrives."""
        decoder = LineDecoder(CHAT, max_line=10)

        assert [] == decoder.feed(b"x" * 10)
        assert decoder.failure is None
        assert [] == decoder.feed(b"x")
        assert isinstance(decoder.failure, ProtocolError)


class TestBody:
    """Bodies that are one value."""

    def test_body_in_pieces(self) -> None:
        """A body in pieces is returned once, at its end."""
        decoder = BodyDecoder(read_body(ModelCard))

        assert [] == decoder.feed(b'{"template":"a')
        assert [] == decoder.feed(b'b"}')
        assert [ModelCard(template="ab")] == decoder.flush()
        assert decoder.over
        assert [] == decoder.flush()
        assert decoder.failure is None

    def test_body_cut_short(self) -> None:
        """A body that is the beginning of an object is truncated."""
        assert isinstance(failure_of(BodyDecoder(read_body(ModelCard)), b'{"template":"a'), TruncatedError)

    @pytest.mark.parametrize("body", [b"", b"  \n", b"<html>", b"[]", b"null", b'"text"', b"{}", b'{"data":[]}'])
    def test_body_that_is_no_value(self, body: bytes) -> None:
        """A body that is not an object, or lacks all keys, sets the failure."""
        assert isinstance(failure_of(BodyDecoder(read_body(ModelCard)), body), ProtocolError)

    def test_body_over_the_limit(self) -> None:
        """A body over the limit sets the failure as soon as that is known, and the rest is not kept."""
        decoder = BodyDecoder(read_nothing, max_line=4)

        assert [] == decoder.feed(b"12345")
        failure = decoder.failure
        assert isinstance(failure, ProtocolError)
        assert [] == decoder.feed(b"6")
        assert [] == decoder.flush()
        assert failure is decoder.failure


_WORDS = (
    *(b"{", b"}", b"[", b"]", b":", b",", b'"', b"\\", b"\n", b"\r\n", b" ", b"\xff", b"\xc3", b"\xa9", b"\x00"),
    *(b"null", b"true", b"-", b"1e999", b"NaN", b"9" * 25, b'"\\ud83d"', b"<html>", b"\xef\xbb\xbf"),
    *(b'"error"', b'"message"', b'"done"', b'"content"', b'"(client)"', b'"status":"success"', b'"response":""'),
    *(_HI, _THERE, _DONE, _ERROR, _HI[:20], _DONE[30:], b'{"response":"a"}\n', b'{"status":"pulling"}\n'),
)


def _bodies() -> SearchStrategy[bytes]:
    """Draw bodies: random bytes, tokens of the wire in any order, and recordings with a few bytes changed."""
    return st.binary(max_size=60) | st.lists(st.sampled_from(_WORDS), max_size=14).map(b"".join) | _mutated()


@st.composite
def _mutated(draw: st.DrawFn) -> bytes:
    body = bytearray(draw(st.sampled_from([recording.body[:1000] for recording in RECORDINGS.values()])))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(body)))
        body[at : at + draw(st.integers(0, 12))] = draw(st.sampled_from(_WORDS) | st.binary(max_size=3))
    return bytes(body)


@given(body=_bodies(), places=cuts(), kind=st.sampled_from(_KINDS), max_line=st.sampled_from([5, 40, 150, MAX_LINE]))
@settings(max_examples=400, deadline=None)
def test_any_bytes_come_to_the_same_at_any_cuts(body: bytes, places: list[int], kind: Kind[Any], max_line: int) -> None:
    """Any bytes give the same records and failure at every cut, and raise nothing."""
    whole = decode(LineDecoder(kind, max_line=max_line), [body])

    assert whole == decode(LineDecoder(kind, max_line=max_line), cut(body, places))
    assert whole == decode(LineDecoder(kind, max_line=max_line), slices(body, 1))
    assert whole.failure is None or issubclass(whole.failure[0], StreamError)


@given(body=_bodies(), places=cuts(), path=st.sampled_from(sorted(DECODERS)))
@settings(max_examples=200, deadline=None)
def test_any_body_comes_to_the_same_at_any_cuts(body: bytes, places: list[int], path: str) -> None:
    """Any bytes as the response of any endpoint give the same at every cut, and raise nothing."""
    assert decode(DECODERS[path](), [body]) == decode(DECODERS[path](), cut(body, places))


def test_progress_ends_with_success() -> None:
    """A progress ends with `success`, and what follows is ignored."""
    decoder = LineDecoder(PROGRESS)
    records = decoder.feed(b'{"status":"pulling manifest"}\n{"status":"success"}\n{"status":"more"}\n')

    assert [Progress(status="pulling manifest"), Progress(status="success")] == records
    assert decoder.over
    assert decoder.failure is None
