"""How the scripted server chooses replies, records requests, starts and stops."""

from __future__ import annotations

import asyncio
import gc
import itertools
import socket
import threading
import time
from typing import Any

import httpx
import orjson
import pytest
from server_cases import CHAT, RECORDINGS, connect, post, read_all, read_until

from rxollama.testing import Reply, ScriptedOllama, SeenRequest


class TestChoosing:
    """The choice of a reply."""

    def test_queue(self, server: ScriptedOllama) -> None:
        """Queued replies come first and in order. Those for a path are for that path only."""
        server.always(Reply.json("always"))
        server.enqueue(Reply.json(1), Reply.json(2), path="/api/chat")
        server.enqueue(Reply.json("any"))

        assert httpx.get(server.url + "/api/version").json() == "any"
        assert [post(server).json() for _ in range(3)] == [1, 2, "always"]

    def test_function(self, server: ScriptedOllama) -> None:
        """A standing reply may depend on the request."""
        server.always(lambda seen: Reply.json(seen.json["model"]))

        assert post(server).json() == "plain"

    def test_any_path(self, server: ScriptedOllama) -> None:
        """A standing reply to one path comes before that to every path."""
        server.always(Reply.json("any"), path=None)
        server.always(Reply.json("chat"))

        assert httpx.get(server.url + "/elsewhere").json() == "any"
        assert post(server).json() == "chat"

    def test_failing_function(self, server: ScriptedOllama, caplog: pytest.LogCaptureFixture) -> None:
        """A function that raises is a plain server error, and is logged."""

        def fail(seen: SeenRequest) -> Reply:
            raise LookupError(seen.path)

        server.always(fail)

        assert post(server).status_code == 500
        assert "LookupError" in caplog.text
        server.wait_idle()

    def test_same_request(self, server: ScriptedOllama) -> None:
        """A recording answers its own request, with the keys in any order."""
        body = dict(reversed(RECORDINGS["tool-call"].request.body.items()))

        assert post(server, body).content == RECORDINGS["tool-call"].body

    def test_same_text(self, server: ScriptedOllama) -> None:
        """A recorded request that is not JSON is compared as text."""
        response = httpx.post(server.url + "/api/chat", content=RECORDINGS["bad-json"].request.body)

        assert response.content == RECORDINGS["bad-json"].body

    def test_no_body(self, server: ScriptedOllama) -> None:
        """A recorded request without a body answers one without a body."""
        assert httpx.post(server.url + "/api/chat").content == RECORDINGS["no-body"].body

    @pytest.mark.parametrize(("streamed", "name"), [(True, "sky"), (False, "sky-whole")])
    def test_same_words(self, streamed: bool, name: str) -> None:
        """A request with the same last prompt gets the recording that streams as it asks."""
        with ScriptedOllama(RECORDINGS, speed=None) as server:
            body = {
                "model": "other",
                "stream": streamed,
                "messages": [
                    {"role": "system", "content": "Be short."},
                    {"role": "user", "content": "Why is the sky blue?"},
                ],
            }

            assert post(server, body).content == RECORDINGS[name].body

    def test_same_prompt(self, server: ScriptedOllama) -> None:
        """The prompt of a generation is compared like the messages of a chat."""
        body = {"model": "other", "prompt": RECORDINGS["generate"].request.body["prompt"]}

        assert post(server, body, "/api/generate").content == RECORDINGS["generate"].body

    def test_rounds(self, server: ScriptedOllama) -> None:
        """The roles after the last prompt distinguish one round from the next."""
        for name in ("tool-rounds-1", "tool-rounds-2", "tool-rounds-3"):
            body = RECORDINGS[name].request.body | {"keep_alive": 60}

            assert post(server, body).content == RECORDINGS[name].body

    @pytest.mark.parametrize(
        ("method", "path", "body", "status", "answer"),
        [
            ("GET", "/", None, 200, b"Ollama is running"),
            ("HEAD", "/", None, 200, b""),
            ("GET", "/api/version", None, 200, b'{"version":"0.0.0"}'),
            ("GET", "/api/tags", None, 200, b'{"models":[]}'),
            ("GET", "/api/ps", None, 200, b'{"models":[]}'),
            ("GET", "/api", None, 404, b"404 page not found"),
            ("POST", "/api/talk", {}, 404, b"404 page not found"),
            ("GET", "/api/chat", None, 405, b"405 method not allowed"),
            ("DELETE", "/api/tags", None, 405, b"405 method not allowed"),
            ("POST", "/api/chat", None, 400, b'{"error":"missing request body"}'),
            ("POST", "/api/chat", [1], 400, b'{"error":"invalid request body"}'),
            ("POST", "/api/chat", {"messages": []}, 400, b'{"error":"model is required"}'),
            ("POST", "/api/chat", CHAT, 404, b'{"error":"model \'plain\' not found"}'),
            ("POST", "/api/show", {"model": "x"}, 404, b'{"error":"model \'x\' not found"}'),
            ("POST", "/api/copy", {"source": "x"}, 404, b'{"error":"model \'x\' not found"}'),
            ("DELETE", "/api/delete", {"model": "x"}, 404, b'{"error":"model \'x\' not found"}'),
        ],
    )
    def test_built_in(self, method: str, path: str, body: Any, status: int, answer: bytes) -> None:
        """A server without a script answers like an Ollama without models."""
        with ScriptedOllama() as server:
            content = None if body is None else orjson.dumps(body)
            response = httpx.request(method, server.url + path, content=content)

        assert (response.status_code, response.content) == (status, answer)

    @pytest.mark.parametrize(
        ("path", "extra", "words"),
        [
            ("/api/chat", {}, {"message": {"role": "assistant", "content": ""}, "done_reason": "load"}),
            ("/api/chat", {"messages": [], "keep_alive": 0}, {"done_reason": "unload"}),
            ("/api/generate", {}, {"response": "", "done_reason": "load"}),
            ("/api/generate", {"prompt": "", "keep_alive": 0}, {"response": "", "done_reason": "unload"}),
        ],
    )
    def test_load(self, path: str, extra: dict[str, Any], words: dict[str, Any]) -> None:
        """A request without a prompt loads or unloads its model."""
        with ScriptedOllama() as server:
            answer = post(server, {"model": "plain", **extra}, path).json()

        assert answer.items() >= {"model": "plain", "done": True, **words}.items()

    def test_default(self) -> None:
        """The default replaces the error, and nothing else."""
        with ScriptedOllama(default=lambda seen: Reply.json(seen.path)) as server:
            assert post(server).json() == "/api/chat"
            assert httpx.get(server.url + "/api/version").json() == {"version": "0.0.0"}


class TestRecord:
    """The record of a request."""

    def test_request(self, server: ScriptedOllama) -> None:
        """A request is recorded with its method, path, headers and body."""
        httpx.post(server.url + "/api/chat?x=1", json={"a": [1]}, headers={"X-Trace": "7"})

        seen = server.requests[0]
        assert (seen.method, seen.path, seen.body, seen.json) == ("POST", "/api/chat", b'{"a":[1]}', {"a": [1]})
        assert seen.headers["x-trace"] == "7"

    def test_no_json(self, server: ScriptedOllama) -> None:
        """A body that is not JSON has None for JSON."""
        httpx.post(server.url + "/api/chat", content=b"\xff")

        assert server.requests[0].json is None

    def test_large_body(self, server: ScriptedOllama) -> None:
        """A body of 64 MiB is received, and the client's leaving is recorded."""
        server.enqueue(Reply.answer("one").stalled(0))

        with connect(server, b"x" * (64 << 20)):
            seen = server.wait_for(1, 30)[0]
            assert len(seen.body) == 64 << 20

        seen.wait_left()

    def test_moments(self, server: ScriptedOllama) -> None:
        """The moments of an answer are in order."""
        before = time.monotonic()
        post(server)

        seen = server.requests[0]
        finished = seen.wait_finished()
        assert seen.first_byte_at is not None
        assert before < seen.received_at < seen.first_byte_at <= finished == seen.finished_at
        assert seen.left_at is None

    def test_no_body_moments(self, server: ScriptedOllama) -> None:
        """An answer without a body has a first byte too."""
        server.enqueue(Reply.error(500, ""))
        post(server)

        server.requests[0].wait_finished()
        assert server.requests[0].first_byte_at is not None

    def test_waits_end(self, server: ScriptedOllama) -> None:
        """A wait that fails ends with an error that names what was waited for."""
        server.enqueue(Reply.answer("one").stalled(1))

        with pytest.raises(TimeoutError, match="1 requests"):
            server.wait_for(1, timeout=0.01)
        with connect(server):
            seen = server.wait_for(1)[0]
            with pytest.raises(TimeoutError, match="POST /api/chat to be finished"):
                seen.wait_finished(timeout=0.01)
            with pytest.raises(TimeoutError, match="client of POST /api/chat to leave"):
                seen.wait_left(timeout=0.01)
            with pytest.raises(TimeoutError, match="connections to close"):
                server.wait_closed(timeout=0.01)

    def test_many_at_once(self, server: ScriptedOllama) -> None:
        """Hundreds of clients are served side by side."""
        server.always(Reply.answer("one").stalled(0))

        clients = [connect(server) for _ in range(200)]
        seen = server.wait_for(200)
        assert server.open_connections == 200
        assert len({request.peer_port for request in seen}) == 200
        for client in clients:
            client.close()
        for request in seen:
            request.wait_left()
        server.wait_closed()


class TestLife:
    """Starting and stopping."""

    def test_nothing_left(self) -> None:
        """A stopped server leaves no thread and no socket, whatever it was doing."""
        before = set(threading.enumerate())
        with ScriptedOllama() as server:
            server.always(Reply.answer("one").stalled(1))
            with connect(server) as idle, connect(server) as stalled:
                read_until(stalled, b"\n\r\n")
                server.stop()
                assert read_all(stalled) == b""
                read_all(idle)
            seen = server.requests

        assert set(threading.enumerate()) <= before
        assert [request.left_at for request in seen] == [None, None]
        assert server.open_connections == 0
        gc.collect()
        with pytest.raises(ConnectionRefusedError):
            connect(server)

    def test_stopped_while_connecting(self, caplog: pytest.LogCaptureFixture) -> None:
        """A client that connects at the moment of the stop is disconnected without an error."""
        for _ in range(30):
            with ScriptedOllama() as server:
                client = socket.create_connection(("127.0.0.1", server.port))
            client.close()
            assert server.open_connections == 0

        gc.collect()
        assert "Error" not in caplog.text

    def test_idempotent(self) -> None:
        """Starting and stopping twice equals starting and stopping once."""
        server = ScriptedOllama()
        server.stop()
        assert server.start() is server
        url = server.url
        assert server.start().url == url
        server.close()
        server.close()

    def test_started_again(self) -> None:
        """A restarted server has the same address and keeps its requests."""
        server = ScriptedOllama()
        with server:
            url = server.url
            post(server)
        with server:
            assert server.url == url
            post(server)

        assert len(server.requests) == 2

    def test_address_in_use(self) -> None:
        """A port that is in use is an OSError, and leaves no thread."""
        before = set(threading.enumerate())
        with ScriptedOllama() as first:
            second = ScriptedOllama(port=first.port)
            with pytest.raises(OSError, match="in use"):
                second.start()
        assert set(threading.enumerate()) <= before

    async def test_address_in_use_async(self) -> None:
        """The same holds if the server is started in a coroutine."""
        before = set(threading.enumerate())
        async with ScriptedOllama() as first:
            with pytest.raises(OSError, match="in use"):
                async with ScriptedOllama(port=first.port):
                    pytest.fail("started")
        assert set(threading.enumerate()) <= before

    async def test_async(self) -> None:
        """Starting and stopping in a coroutine leaves its loop free to run."""
        turns = itertools.count()

        async def turn() -> None:
            while True:
                next(turns)
                await asyncio.sleep(0)

        turning = asyncio.create_task(turn())
        server = ScriptedOllama()
        async with server, httpx.AsyncClient() as client:
            started = next(turns)
            server.enqueue(Reply.answer("one"))
            response = await client.post(server.url + "/api/chat", json=CHAT)
            assert response.status_code == 200
            closing = next(turns)
            await server.__aexit__(None, None, None)
            closed = next(turns)
        turning.cancel()

        assert started > 1
        assert closed > closing + 1

    def test_ipv6(self) -> None:
        """An IPv6 address is written in brackets."""
        with ScriptedOllama(host="::1") as server:
            assert server.url == f"http://[::1]:{server.port}"
            assert httpx.get(server.url + "/").text == "Ollama is running"
