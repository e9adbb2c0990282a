"""How the scripted server plays replies, over a real socket."""

from __future__ import annotations

import http.client
import socket
import time
from typing import Any

import httpx
import pytest
from server_cases import CHAT, RECORDINGS, connect, post, read_all, read_until

from rxollama.testing import Reply, ScriptedOllama


class TestPlaying:
    """The bytes on the wire."""

    @pytest.mark.parametrize("name", RECORDINGS)
    def test_recording(self, server: ScriptedOllama, name: str) -> None:
        """A recording is sent with its status, headers and bytes."""
        recording = RECORDINGS[name]
        server.enqueue(Reply.of(recording, speed=None))

        response = httpx.request(recording.request.method, server.url + recording.request.path)

        ours = {name: value for name, value in response.headers.items() if name not in {"date", "server"}}
        assert response.status_code == recording.status
        assert response.content == recording.body
        assert ours == recording.headers

    def test_one_chunk_per_piece(self, server: ScriptedOllama) -> None:
        """Each piece is one HTTP chunk, and the connection stays open after the last one."""
        server.enqueue(Reply.records([b"one\n", b"three\n"]))

        with connect(server) as client:
            answer = read_until(client, b"0\r\n\r\n")

            head, _, body = answer.partition(b"\r\n\r\n")
            assert b"transfer-encoding: chunked" in head.lower()
            assert body == b"4\r\none\n\r\n6\r\nthree\n\r\n0\r\n\r\n"
            assert server.open_connections == 1

    def test_headers_with_first_record(self, server: ScriptedOllama) -> None:
        """The headers come in one packet with the first record."""
        server.enqueue(Reply.records([b"one\n"]).stalled(1))

        with connect(server) as client:
            assert client.recv(1 << 20).endswith(b"\r\n\r\n4\r\none\n\r\n")

    def test_empty_piece(self, server: ScriptedOllama) -> None:
        """An empty piece sends the headers before the body."""
        server.enqueue(Reply.records([b"", b"one\n"]).stalled(1))

        with connect(server) as client:
            assert read_until(client, b"\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")

    def test_timing(self, server: ScriptedOllama) -> None:
        """Silence, gaps and the end come at their moments, and delays do not add up."""
        server.enqueue(Reply.records([b"a\n"] * 50, gap=0.01, first=0.1))

        assert post(server).content == b"a\n" * 50

        seen = server.requests[0]
        assert seen.first_byte_at is not None
        assert 0.1 <= seen.first_byte_at - seen.received_at < 10
        assert 0.59 <= seen.wait_finished() - seen.received_at < 10

    def test_recorded_end(self) -> None:
        """A recording ends at its moment, at the server's speed."""
        with ScriptedOllama([RECORDINGS["truncated"]], speed=2.0) as server:
            post(server, RECORDINGS["truncated"].request.body)

            seen = server.requests[0]
            assert seen.wait_finished() - seen.received_at >= RECORDINGS["truncated"].end_ns / 2e9

    @pytest.mark.parametrize("sizes", [20_000_000, 64, 100_000])
    def test_large(self, server: ScriptedOllama, sizes: int) -> None:
        """Twenty megabytes arrive in one piece, and two in many."""
        total = 20_000_000 if sizes == 20_000_000 else 2_000_000
        server.enqueue(Reply.records([b"x" * total]).cut(sizes))

        assert len(post(server).content) == total
        assert server.requests[0].sent == total

    @pytest.mark.parametrize("encoding", ["gzip", "deflate"])
    def test_encoded(self, server: ScriptedOllama, encoding: Any) -> None:
        """A compressed body can be read record by record."""
        server.enqueue(Reply.records([b"one\n", b"two\n"]).encoded(encoding).stalled(1))

        with httpx.stream("POST", server.url + "/api/chat", json=CHAT) as response:
            assert next(response.iter_bytes()) == b"one\n"

    def test_http_10(self, server: ScriptedOllama) -> None:
        """An HTTP/1.0 client gets the body up to the end of the connection."""
        server.enqueue(Reply.records([b"one\n"]))

        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
            client.sendall(b"POST /api/chat HTTP/1.0\r\n\r\n")
            assert read_all(client).endswith(b"\r\n\r\none\n")

    def test_connection_reused(self, server: ScriptedOllama) -> None:
        """One connection carries several answers."""
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        for _ in range(3):
            client.request("GET", "/api/version")
            assert client.getresponse().read() == RECORDINGS["version"].body

        assert len({seen.peer_port for seen in server.requests}) == 1
        client.close()
        server.wait_closed()


class TestMisbehaving:
    """Answers that go wrong."""

    def test_truncated(self, server: ScriptedOllama) -> None:
        """A truncated answer is a proper HTTP body."""
        server.enqueue(Reply.records([b"a\n", b"b\n"]).truncated(1), Reply.json([1, 2]).cut(2).truncated(1))

        assert post(server).content == b"a\n"
        assert post(server).content == b"[1"

    def test_reset(self, server: ScriptedOllama) -> None:
        """A reset comes after the given number of bytes."""
        server.enqueue(Reply.records([b"abcd\n"]).reset(3))

        with connect(server) as client:
            assert read_until(client, b"\r\n3\r\nabc\r\n")
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        seen = server.requests[0]
        seen.wait_finished()
        assert (seen.sent, seen.left_at) == (3, None)

    def test_reset_at_once(self, server: ScriptedOllama) -> None:
        """A reset after 0 bytes comes before the headers."""
        server.enqueue(Reply.records([b"abcd\n"]).reset(0))

        with connect(server) as client, pytest.raises(ConnectionResetError):
            client.recv(1)
        assert server.requests[0].first_byte_at is None

    @pytest.mark.parametrize(("after", "body"), [(0, b""), (3, b"3\r\nabc\r\n")])
    def test_dropped(self, server: ScriptedOllama, after: int, body: bytes) -> None:
        """A dropped connection ends without the last chunk."""
        server.enqueue(Reply.records([b"abcd\n"]).dropped(after))

        with connect(server) as client:
            assert read_all(client).partition(b"\r\n\r\n")[2] == body
        server.requests[0].wait_finished()
        server.wait_closed()

    def test_dropped_for_httpx(self, server: ScriptedOllama) -> None:
        """A real client sees a dropped connection as a broken body."""
        server.enqueue(Reply.json([1, 2]).dropped(2))

        with pytest.raises(httpx.RemoteProtocolError):
            post(server)

    @pytest.mark.parametrize("reply", [Reply.raw(b"garbage"), Reply.raw(b"garbage!").truncated(1).cut(7).truncated(1)])
    def test_raw(self, server: ScriptedOllama, reply: Reply) -> None:
        """Raw bytes are sent as they are, and the connection closes."""
        server.enqueue(reply)

        with connect(server) as client:
            assert read_all(client) == b"garbage"

    @pytest.mark.parametrize("after", [0, 1])
    def test_stalled(self, server: ScriptedOllama, after: int) -> None:
        """A stalled answer is silent until the client leaves, which is recorded."""
        server.enqueue(Reply.records([b"one\n", b"two\n"]).stalled(after))

        with connect(server) as client:
            seen = server.wait_for(1)[0]
            if after:
                read_until(client, b"one\n\r\n")
            with pytest.raises(TimeoutError, match="all answers to end"):
                server.wait_idle(timeout=0.05)
            leaving = time.monotonic()

        assert 0 <= seen.wait_left() - leaving < 10
        assert seen.finished_at is None
        server.wait_idle()
        server.wait_closed()

    def test_left_in_silence(self, server: ScriptedOllama) -> None:
        """A client that leaves before the headers is recorded long before these are due."""
        server.enqueue(Reply.records([b"one\n"], first=60.0))

        with connect(server):
            seen = server.wait_for(1)[0]
            leaving = time.monotonic()

        assert 0 <= seen.wait_left() - leaving < 10
        assert seen.first_byte_at is None

    def test_left_unread(self, server: ScriptedOllama) -> None:
        """A client that leaves an unread answer is recorded while a write waits."""
        server.enqueue(Reply.records([b"x" * 50_000_000]))

        with connect(server) as client:
            seen = server.wait_for(1)[0]
            client.recv(1)

        seen.wait_left()
        server.wait_idle()
        assert seen.finished_at is None

    def test_left_between_writes(self, server: ScriptedOllama) -> None:
        """A client that leaves during a flood of small pieces ends it."""
        server.enqueue(Reply.records([b"x" * 40_000] * 1000))

        with connect(server) as client:
            seen = server.wait_for(1)[0]
            client.recv(1)

        seen.wait_left()
        server.wait_idle()
        assert seen.sent < 40_000_000

    def test_backpressure(self, server: ScriptedOllama) -> None:
        """The longest write shows whether a client stopped reading."""
        server.enqueue(Reply.records([b"x" * 50_000_000]), Reply.answer("one two three"))

        with connect(server) as client:
            # The write has begun.
            client.recv(1)
            with pytest.raises(TimeoutError):
                server.wait_idle(timeout=0.3)
            read_until(client, b"0\r\n\r\n")
        post(server)

        held, free = server.requests
        held.wait_finished()
        free.wait_finished()
        assert held.longest_write_wait >= 0.3
        assert free.longest_write_wait < held.longest_write_wait
