"""Building and changing replies."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any, Literal

import msgspec
import orjson
import pytest

from rxollama.testing import Piece, Recording, Reply

RECORDINGS = Path(__file__).parent.parent / "recordings"


def body(reply: Reply) -> bytes:
    """Return the bytes that a reply sends."""
    return b"".join(piece.data for piece in reply.pieces)


def waits(reply: Reply) -> list[float]:
    """Return the pauses of a reply."""
    return [piece.wait for piece in reply.pieces]


def messages(reply: Reply) -> list[dict[str, Any]]:
    """Return the messages of a chat answer."""
    return [orjson.loads(piece.data)["message"] for piece in reply.pieces]


class TestOf:
    """A recording as a reply."""

    def test_timing(self) -> None:
        """A reply has the recording's bytes, status, headers and moments."""
        recording = Recording.load(RECORDINGS / "slow.json")

        reply = Reply.of(recording)

        assert body(reply) == recording.body
        assert reply.status == 200
        assert dict(reply.headers) == recording.headers
        assert sum(waits(reply)) == pytest.approx(recording.reads[-1][0] / 1e9)
        assert sum(waits(reply)) + reply.end_wait == pytest.approx(recording.end_ns / 1e9)
        assert reply.pieces[0].wait == pytest.approx(recording.head_ns / 1e9)

    @pytest.mark.parametrize(("speed", "length"), [(10.0, 0.2210752091), (None, 0), (float("inf"), 0)])
    def test_speed(self, speed: float | None, length: float) -> None:
        """The speed divides all moments. None and infinity leave no pause."""
        reply = Reply.of(Recording.load(RECORDINGS / "slow.json"), speed)

        assert sum(waits(reply)) == pytest.approx(length)

    @pytest.mark.parametrize("speed", [0.0, -1.0, float("nan")])
    def test_no_speed(self, speed: float) -> None:
        """A speed that is not above 0 is refused."""
        with pytest.raises(ValueError, match="above 0"):
            Reply.of(Recording.load(RECORDINGS / "slow.json"), speed)

    def test_headers_ahead(self) -> None:
        """Headers that came before the body come before it again."""
        recording = Recording.load(RECORDINGS / "version.json")
        early = msgspec.structs.replace(recording, head_ns=1_000_000, reads=((3_000_000, b"x"),))

        assert Reply.of(early).pieces == (Piece(b"", 0.001), Piece(b"x", 0.002))

    @pytest.mark.parametrize(("ends", "ending"), [("cut", "dropped"), ("reset", "reset")])
    def test_endings(self, ends: Literal["cut", "reset"], ending: str) -> None:
        """A recorded break is played as a break."""
        recording = Recording.load(RECORDINGS / "version.json")

        assert Reply.of(msgspec.structs.replace(recording, ends=ends)).ending == ending

    def test_no_body(self) -> None:
        """A recording without a body has no pieces."""
        reply = Reply.of(Recording.load(RECORDINGS / "delete.json"))

        assert reply.pieces == ()
        assert reply.end_wait == pytest.approx(0.002374264)


class TestAnswer:
    """A chat answer."""

    def test_order(self) -> None:
        """Thinking comes first, then content, then each call, then the record that is done."""
        calls: list[dict[str, Any]] = [{"name": "add", "arguments": {"a": 1}, "id": "call_1"}, {"name": "now"}]

        reply = Reply.answer("It is 3.", thinking=["One ", "two"], tool_calls=calls)

        assert messages(reply) == [
            {"role": "assistant", "content": "", "thinking": "One "},
            {"role": "assistant", "content": "", "thinking": "two"},
            {"role": "assistant", "content": "It"},
            {"role": "assistant", "content": " is"},
            {"role": "assistant", "content": " 3."},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": "call_1", "function": {"index": 0, "name": "add", "arguments": {"a": 1}}}],
            },
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"function": {"index": 1, "name": "now", "arguments": {}}}],
            },
            {"role": "assistant", "content": ""},
        ]

    @pytest.mark.parametrize("text", ["", " ", "one", " one  two\n\nthree ", "a\n"])
    def test_words(self, text: str) -> None:
        """A text is split into words without losing a space."""
        said = [message["content"] for message in messages(Reply.answer(text))]

        assert "".join(said) == text

    def test_done(self) -> None:
        """The last record is done, and its metrics are consistent."""
        last = orjson.loads(Reply.answer("one two", model="plain", gap=0.5, first=2.0).pieces[-1].data)

        assert last == {
            "model": "plain",
            "created_at": "2026-01-01T00:00:01Z",
            "message": {"role": "assistant", "content": ""},
            "done": True,
            "done_reason": "stop",
            "total_duration": 1_027_000_000,
            "load_duration": 1_500_000,
            "prompt_eval_count": 12,
            "prompt_eval_duration": 25_500_000,
            "eval_count": 2,
            "eval_duration": 1_000_000_000,
        }

    def test_final_fields(self) -> None:
        """Fields of the last record can be set and left out."""
        reply = Reply.answer(done_reason="length", eval_count=0, prompt_eval_count=None, load_duration=None)

        last = orjson.loads(reply.pieces[-1].data)

        assert last["done_reason"] == "length"
        assert last["eval_count"] == 0
        assert last["total_duration"] == last["prompt_eval_duration"]
        assert not {"prompt_eval_count", "load_duration", "eval_duration"} & set(last)

    def test_timing(self) -> None:
        """The silence before the headers and the gaps after them are those of the script."""
        assert waits(Reply.answer("one two", gap=0.5, first=2.0)) == [2.0, 0.5, 0.5]

    def test_value(self) -> None:
        """The same script gives equal values."""
        assert Reply.answer("one two") == Reply.answer("one two")
        assert hash(Reply.answer("one two")) == hash(Reply.answer("one two"))


class TestBuilders:
    """The other builders."""

    def test_records(self) -> None:
        """Objects become lines, and bytes stay as they are."""
        reply = Reply.records([{"a": 1}, b"<html>"], gap=0.5)

        assert reply.pieces == (Piece(b'{"a":1}\n', 0.0), Piece(b"<html>", 0.5))
        assert reply.headers == (("content-type", "application/x-ndjson"),)

    def test_json(self) -> None:
        """A JSON value is sent whole, with its type and length."""
        reply = Reply.json({"a": 1}, status=201)

        assert reply.status == 201
        assert body(reply) == b'{"a":1}'
        assert dict(reply.headers) == {
            "content-type": "application/json; charset=utf-8",
            "content-length": "7",
        }

    @pytest.mark.parametrize(
        ("given", "sent", "kind"),
        [
            ({"error": "no"}, b'{"error":"no"}', "application/json; charset=utf-8"),
            ("no", b"no", "text/plain"),
            (b"\xff", b"\xff", "text/plain"),
            ("", b"", None),
        ],
    )
    def test_error(self, given: str | bytes | dict[str, str], sent: bytes, kind: str | None) -> None:
        """An error has the given body, and a type if the body is not empty."""
        reply = Reply.error(503, given, {"retry-after": "1"})

        assert reply.status == 503
        assert body(reply) == sent
        assert dict(reply.headers).get("content-type") == kind
        assert dict(reply.headers)["content-length"] == str(len(sent))
        assert dict(reply.headers)["retry-after"] == "1"

    def test_error_type(self) -> None:
        """The type of an error's body can be set."""
        reply = Reply.error(502, "<html>", content_type="text/html")

        assert dict(reply.headers)["content-type"] == "text/html"

    def test_plain(self) -> None:
        """A text is sent with its type and length, and an empty one without a type."""
        page = Reply.plain("<p>é", content_type="text/html", headers={"x-a": "1"})
        moved = Reply.plain("", 302, headers={"location": "/"})

        assert (page.status, body(page)) == (200, "<p>é".encode())
        assert dict(page.headers) == {"content-type": "text/html", "content-length": "5", "x-a": "1"}
        assert (moved.status, moved.pieces) == (302, ())
        assert dict(moved.headers) == {"content-length": "0", "location": "/"}

    def test_raw(self) -> None:
        """Raw bytes have no status and end the connection."""
        reply = Reply.raw(b"garbage")

        assert (reply.status, body(reply), reply.ending) == (None, b"garbage", "dropped")


class TestModifiers:
    """The methods that change a reply."""

    @pytest.mark.parametrize("sizes", [1, 3, 1000, [3, 5], [1000], []])
    def test_cut_keeps_bytes(self, sizes: int | list[int]) -> None:
        """Cutting keeps all bytes."""
        reply = Reply.answer("one two")

        assert body(reply.cut(sizes)) == body(reply)

    def test_cut_sizes(self) -> None:
        """The pieces have the given sizes, and the other bytes are one more piece."""
        reply = Reply.records([b"abcd", b"efgh", b"ij"])

        assert [piece.data for piece in reply.cut([3, 5]).pieces] == [b"abc", b"defgh", b"ij"]
        assert [piece.data for piece in reply.cut(4).pieces] == [b"abcd", b"efgh", b"ij"]
        assert [piece.data for piece in reply.cut([9, 9, 9]).pieces] == [b"abcdefghi", b"j"]

    def test_cut_moments(self) -> None:
        """A piece is sent at the moment of its last byte."""
        reply = Reply.records([b"abcd", b"efgh", b"ij"], gap=1.0, first=5.0)

        assert waits(reply.cut([3, 2, 5])) == [5.0, 1.0, 1.0]
        assert waits(reply.cut(2)) == [5.0, 0.0, 1.0, 0.0, 1.0]

    @pytest.mark.parametrize("sizes", [0, -1, [2, 0]])
    def test_cut_nothing(self, sizes: int | list[int]) -> None:
        """A size below 1 is refused."""
        with pytest.raises(ValueError, match="at least one byte"):
            Reply.records([b"abcd"]).cut(sizes)

    def test_cut_empty(self) -> None:
        """Cutting an empty body gives no pieces."""
        assert Reply.error(500, "").cut(1).pieces == ()

    def test_slow(self) -> None:
        """The pause between pieces changes. The silence before them does not."""
        assert waits(Reply.records([b"a", b"b", b"c"], first=2.0).slow(0.5)) == [2.0, 0.5, 0.5]
        assert Reply.error(500, "").slow(0.5).pieces == ()

    def test_truncated(self) -> None:
        """A truncated reply ends properly after some pieces."""
        reply = Reply.records([b"a", b"b", b"c"]).stalled(3).truncated(2)

        assert (body(reply), reply.ending) == (b"ab", "complete")

    def test_truncated_length(self) -> None:
        """A truncated reply has its own length, so that its end is proper."""
        reply = Reply.json({"a": 1}).cut(3).truncated(1)

        assert dict(reply.headers)["content-length"] == "3"

    @pytest.mark.parametrize(("after", "sent"), [(0, b""), (3, b"abc"), (4, b"abcd"), (6, b"abcdef"), (99, b"abcdef")])
    def test_broken(self, after: int, sent: bytes) -> None:
        """A break comes after a number of bytes, wherever the pieces end."""
        reply = Reply.records([b"abcd", b"ef"])

        assert (body(reply.reset(after)), reply.reset(after).ending) == (sent, "reset")
        assert (body(reply.dropped(after)), reply.dropped(after).ending) == (sent, "dropped")

    def test_broken_length(self) -> None:
        """A break leaves the length as it was."""
        assert dict(Reply.json({"a": 1}).dropped(2).headers)["content-length"] == "7"

    def test_stalled(self) -> None:
        """A stall comes after a number of pieces."""
        reply = Reply.records([b"a", b"b"]).stalled(1)

        assert (body(reply), reply.ending) == (b"a", "stalled")

    def test_with_error(self) -> None:
        """An error record replaces the rest, with or without its line end."""
        reply = Reply.records([b"a\n", b"b\n"])

        assert body(reply.with_error("no")) == b'a\nb\n{"error":"no"}\n'
        assert body(reply.with_error("no", after=1)) == b'a\n{"error":"no"}\n'
        assert body(reply.with_error("no", 0, newline=False)) == b'{"error":"no"}'

    def test_encoded(self) -> None:
        """Each compressed piece can be read when it arrives, and the whole is unchanged."""
        reply = Reply.records([b"one\n", b"two\n"], gap=1.0)

        packed = reply.encoded("gzip")

        assert dict(packed.headers)["content-encoding"] == "gzip"
        assert waits(packed) == waits(reply)
        assert zlib.decompressobj(wbits=31).decompress(packed.pieces[0].data) == b"one\n"
        assert gzip.decompress(body(packed)) == b"one\ntwo\n"
        assert zlib.decompress(body(reply.encoded("deflate"))) == b"one\ntwo\n"

    def test_encoded_stall(self) -> None:
        """Compressing changes neither the ending nor the pieces of an empty body."""
        assert Reply.records([b"a"]).stalled(1).encoded("gzip").ending == "stalled"
        assert gzip.decompress(body(Reply.records([]).encoded("gzip"))) == b""

    def test_encoded_length(self) -> None:
        """The length is that of the compressed body."""
        packed = Reply.json({"a": 1}).encoded("gzip")

        assert dict(packed.headers)["content-length"] == str(len(body(packed)))

    def test_with_headers(self) -> None:
        """A header replaces one of the same name in any case."""
        reply = Reply.records([]).with_headers({"Content-Type": "text/plain", "x-trace": "1"})

        assert reply.headers == (("Content-Type", "text/plain"), ("x-trace", "1"))
