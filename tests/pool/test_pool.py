"""A pool over real servers on loopback: every call, failover, keys, states, and what remains."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from itertools import pairwise
from time import monotonic
from typing import Any

import pytest
from faults_cases import listening, reset, sockets_to, until_sockets
from heard import PATIENCE, Heard, text_of
from pool_cases import asked, has, hosts, until
from programs import Program
from reactivex import operators as rx

from rxollama import Conversation, Host, Ollama, Pool, run
from rxollama import operators as op
from rxollama.errors import (
    BadRequestError,
    BusyError,
    ClientClosedError,
    ConnectionFailedError,
    ConnectionLostError,
    ForbiddenError,
    InvalidValueError,
    NotFoundError,
    ReportedError,
    ServerFailureError,
    StreamError,
    UnauthorizedError,
    UsageLimitError,
)
from rxollama.messages import ChatChunk, Message
from rxollama.pool import HostState
from rxollama.testing import Reply
from rxollama.transport import Request


async def reached(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - A task that ends sets no event.
            await asyncio.sleep(0.01)


def content_of(chunk: ChatChunk) -> str:
    """Return the content of a chunk."""
    return chunk.message.content


class TestCalls:
    """Every call works on a pool as on one host."""

    def test_chat(self) -> None:
        """A chat is answered by a host, which its metrics name."""
        with hosts(2) as [first, _], Pool(*(each.url for each in (first, _))) as pool:
            chunk = run(Ollama(transport=pool).chat("m", "Hello"))

        assert content_of(chunk) == "Host 0"
        assert chunk.client is not None
        assert chunk.client.host == first.url

    def test_every_call(self) -> None:
        """Chats, conversations, embeddings and the calls of one host go to a host each."""

        def add(a: int, b: int) -> int:
            return a + b

        vectors = {"model": "m", "embeddings": [[0.5, 1.5]]}
        call = [{"name": "add", "arguments": {"a": 1, "b": 2}}]
        generated = [{"model": "m", "response": "Yes", "done": True, "done_reason": "stop"}]
        with hosts(2) as servers, Pool(*(each.url for each in servers)) as pool, Ollama(transport=pool) as ollama:
            for server in servers:
                server.always(Reply.json(vectors), "/api/embed")
                server.always(Reply.records(generated), "/api/generate")
                server.always(Reply.json({"version": "1.2.3"}), "/api/version")
                server.always(Reply.plain(""), "/api/copy")
            assert run(ollama.embed("m", "Hello")).embeddings == ((0.5, 1.5),)
            assert content_of(run(ollama.generate("m", "Hello"))) == "Yes"
            assert run(ollama.version()) == "1.2.3"
            assert [each.name for each in run(ollama.models())] == ["m"]
            run(ollama.copy("m", "n"))
            for server in servers:
                server.enqueue(Reply.answer("", tool_calls=call), path="/api/chat")
            assert content_of(run(ollama.converse("m", "1 + 2?", tools=[add]))).startswith("Host")
            conversation = Conversation(ollama, "m")
            for _ in range(2):
                assert content_of(run(conversation.send("Hello"))).startswith("Host")

    def test_a_conversation_stays(self) -> None:
        """The turns of a conversation, and the rounds of its tools, go to one host."""
        with hosts(3) as servers, Pool(*(each.url for each in servers)) as pool, Ollama(transport=pool) as ollama:
            for server in servers:
                has(server, "m", loaded=("m",))
            conversations = [Conversation(ollama, "m", system=f"You are {n}.") for n in range(3)]
            answers = [[content_of(run(each.send("Hello"))) for each in conversations] for _ in range(3)]

        assert answers[0] == answers[1] == answers[2]
        assert {*answers[0]} == {"Host 0", "Host 1", "Host 2"}

    def test_in_a_coroutine(self) -> None:
        """A pool works on one loop after another, and on several at once."""
        with hosts(2) as servers, Pool(*(each.url for each in servers)) as pool:
            ollama = Ollama(transport=pool)

            async def main() -> list[str]:
                chunks = await asyncio.gather(*(_whole(ollama) for _ in range(4)))
                return [content_of(chunk) for chunk in chunks]

            results: list[list[str]] = []
            threads = [threading.Thread(target=lambda: results.append(asyncio.run(main()))) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            results.append(asyncio.run(main()))

        assert [len(each) for each in results] == [4] * 4
        assert {text for each in results for text in each} <= {"Host 0", "Host 1"}


async def _whole(ollama: Ollama) -> ChatChunk:
    return await ollama.chat("m", "Hello")


class TestChoice:
    """The choice of a host, by what the hosts say."""

    def test_has_the_model(self) -> None:
        """The first request waits for what the hosts say, and goes to the one that has the model."""
        with hosts(2) as servers, Pool(*(each.url for each in servers)) as pool:
            has(servers[0], "other")

            assert content_of(run(Ollama(transport=pool).chat("m", "Hello"))) == "Host 1"

    def test_has_it_loaded(self) -> None:
        """A host that has the model loaded is preferred."""
        with hosts(3) as servers, Pool(*(each.url for each in servers)) as pool:
            has(servers[2], "m:latest", loaded=("m:latest",))

            assert content_of(run(Ollama(transport=pool).chat("m", "Hello"))) == "Host 2"

    def test_free_slots(self) -> None:
        """Streams that run at once are spread over the free slots."""
        with hosts(2) as [one, two], Pool(Host(one.url, slots=2), two.url) as pool:
            for server in (one, two):
                server.always(Reply.answer(["a", "b"]).stalled(1))
                has(server, "m", loaded=("m",))
            streams = list[Heard[ChatChunk]]()
            for _ in range(3):
                streams.append(Heard(Ollama(transport=pool).chat("m", "Hello")).wait_items(1))
            counts = [len(asked(one)), len(asked(two))]
            for stream in streams:
                stream.dispose()

        assert counts == [2, 1]

    def test_hedge(self) -> None:
        """`hedge` asks another host, and so does a retry of a stream that was given up for its silence."""
        with hosts(2) as servers, Pool(*(each.url for each in servers)) as pool:
            servers[0].always(Reply.answer("late").stalled(0))
            chat = Ollama(transport=pool).chat("m", "Hello")

            assert content_of(run(chat.pipe(op.hedge(chat, after=0.05)))) == "Host 1"
            assert content_of(run(chat.pipe(op.timeouts(first_chunk=9), op.retry()))) == "Host 1"
            assert [len(asked(server)) for server in servers] == [1, 2]

    def test_timeouts_and_retry(self) -> None:
        """A retry after a silence asks another host."""
        with hosts(2) as servers, Pool(*(each.url for each in servers)) as pool:
            servers[0].always(Reply.answer("late").stalled(0))
            chat = Ollama(transport=pool).chat("m", "Hello")

            assert content_of(run(chat.pipe(op.timeouts(first_chunk=0.1), op.retry(backoff=0.01)))) == "Host 1"

    def test_models_of_no_host(self) -> None:
        """A model that no host may be asked for is not found, and nothing is sent."""
        with hosts(1) as [server], Pool(Host(server.url, models=["n"])) as pool:
            failure = Heard(Ollama(transport=pool).chat("m", "Hello")).failure
            paths = {seen.path for seen in server.requests}

        assert isinstance(failure, NotFoundError)
        assert "'m'" in str(failure)
        assert paths <= {"/api/ps"}

    def test_asked_again(self) -> None:
        """The hosts are asked for their models with a request, and one with models= only for what is loaded."""
        with hosts(2) as [one, two], Pool(one.url, Host(two.url, models=["m"])) as pool:
            run(Ollama(transport=pool).chat("m", "Hello"))
            until(pool, lambda states: all(each.models is not None for each in states))
            paths = [[seen.path for seen in server.requests if seen.method == "GET"] for server in (one, two)]

        assert paths == [["/api/tags", "/api/ps"], ["/api/ps"]]

    def test_another_list(self) -> None:
        """A host whose lists are not Ollama's is used all the same."""
        with hosts(2) as [one, two], Pool(one.url, Host(two.url, priority=2)) as pool:
            one.always(Reply.error(404, "no"), "/api/tags")
            has(two)
            assert content_of(run(Ollama(transport=pool).chat("m", "Hello"))) == "Host 0"
            one.always(Reply.plain("<html>"), "/api/tags")
            assert content_of(run(Ollama(transport=Pool(one.url, two.url)).chat("m", "Hello"))) == "Host 0"


LIMIT = {"error": "you (me) have reached your weekly usage limit, please wait or upgrade to continue"}
REFUSALS = [
    (Reply.error(429, LIMIT), "ready"),
    (Reply.error(503, {"error": "server busy"}), "busy"),
    (Reply.error(429, {"error": "slow down"}, {"retry-after": "60"}), "busy"),
    (Reply.error(404, {"error": "model 'm' not found"}), "ready"),
    (Reply.error(500, {"error": "llama runner process has terminated"}), "ready"),
    (Reply.error(401, {"error": "unauthorized"}), "ready"),
    (Reply.error(403, ""), "ready"),
    (Reply.plain("", 301, headers={"location": "http://elsewhere/"}), "ready"),
    (Reply.answer("never").dropped(0), "down"),
]


class TestFailover:
    """A host that cannot answer is left out before the answer begins."""

    @pytest.mark.parametrize(("reply", "situation"), REFUSALS)
    def test_refused(self, reply: Reply, situation: str) -> None:
        """The next host answers, and the subscriber sees nothing of the first."""
        with hosts(2) as servers, Pool(*(each.url for each in servers)) as pool:
            servers[0].always(reply)
            chat = Ollama(transport=pool).chat("m", "Hello")
            heard = Heard(chat).wait()
            states = run(pool.hosts().pipe(rx.first()))
            counts = [len(asked(server)) for server in servers]

        assert (text_of(heard.items), heard.error, counts) == ("Host 1", None, [1, 1])
        assert [state.situation for state in states] == [situation, "ready"]
        assert states[0].error
        assert not states[1].error

    def test_no_connection(self) -> None:
        """A host that refuses connections is out at once, and others are not asked."""
        with hosts(2) as servers, Pool(*(each.url for each in servers)) as pool:
            servers[0].stop()
            ollama = Ollama(transport=pool)
            for _ in range(3):
                assert content_of(run(ollama.chat("m", "Hello"))) == "Host 1"
            assert run(pool.hosts().pipe(rx.first()))[0].situation == "down"

    def test_killed_and_back(self) -> None:
        """A host that was killed is used again when it is back."""
        with hosts(2) as [one, two], Pool(one.url, Host(two.url, priority=2)) as pool:
            ollama = Ollama(transport=pool)
            assert content_of(run(ollama.chat("m", "Hello"))) == "Host 0"
            one.stop()
            assert content_of(run(ollama.chat("m", "Hello"))) == "Host 1"
            one.start()
            while run(pool.hosts().pipe(rx.first()))[0].situation == "down":
                run(ollama.chat("m", "Hello"))
            has(one, "m", loaded=("m",))
            two.stop()
            assert content_of(run(ollama.chat("m", "Hello"))) == "Host 0"

    def test_back_while_a_stream_is_open(self) -> None:
        """A host that is down is tried again while a stream is open, without another request."""
        with hosts(2) as [one, two], Pool(one.url, two.url) as pool:
            one.stop()
            two.always(Reply.answer(["a", "b"]).stalled(1))
            heard = Heard(Ollama(transport=pool).chat("m", "Hello")).wait_items(1)
            until(pool, lambda states: states[0].situation == "down")
            one.start()
            until(pool, lambda states: states[0].situation == "ready")
            assert heard.error is None
            heard.dispose()

    async def test_nothing_waits_once_all_are_back(self) -> None:
        """When the hosts that were down are back, no task waits for them, although the stream is still open."""
        states: list[tuple[HostState, ...]] = []
        errors: list[Exception] = []
        with hosts(2) as [one, two]:
            async with Pool(one.url, two.url) as pool:
                one.stop()
                two.always(Reply.answer(["a", "b"]).stalled(1))
                before = asyncio.all_tasks()
                watching = pool.hosts().subscribe(states.append)
                stream = Ollama(transport=pool).chat("m", "Hello").subscribe(on_error=errors.append)
                await reached(lambda: states[-1][0].situation == "down" and states[-1][1].in_flight == 1)
                one.start()
                # The stream's own task is the one that remains.
                await reached(lambda: states[-1][0].situation == "ready" and len(asyncio.all_tasks() - before) == 1)
                assert not errors
                stream.dispose()
                watching.dispose()

    def test_reset_before_the_head(self) -> None:
        """A connection that is reset before the response goes to the next host."""
        with listening(reset) as url, hosts(1) as [server], Pool(url, server.url) as pool:
            assert content_of(run(Ollama(transport=pool).chat("m", "Hello"))) == "Host 0"

    def test_connecting_is_short(self, full_port: int) -> None:
        """While another host is left, connecting has a short limit."""
        url = f"http://127.0.0.1:{full_port}"
        with hosts(1) as [server], Pool(Host(url, models=["m"]), server.url, connect_timeout=0.1) as pool:
            assert content_of(run(Ollama(transport=pool).chat("m", "Hello"))) == "Host 0"
            until(pool, lambda states: states[0].situation == "down")

    def test_broken_within(self) -> None:
        """A host whose answer breaks is out, and the stream ends with an error that names it."""
        with hosts(2) as [one, two], Pool(one.url, two.url) as pool:
            one.always(Reply.answer(["a", "b", "c"]).dropped(200))
            failure = Heard(Ollama(transport=pool).chat("m", "Hello").pipe(op.coalesce(0.01))).failure
            states = run(pool.hosts().pipe(rx.first()))

        assert isinstance(failure, ConnectionLostError)
        assert failure.host == one.url
        assert [state.situation for state in states] == ["down", "ready"]

    def test_failed_within(self) -> None:
        """A request whose answer failed is sent to another host the next time."""
        with hosts(2) as [one, two], Pool(one.url, Host(two.url, priority=2)) as pool:
            one.always(Reply.answer(["a", "b"]).with_error("CUDA error", after=0))
            chat = Ollama(transport=pool).chat("m", "Hello")
            failure = Heard(chat).failure
            assert isinstance(failure, ReportedError)
            assert failure.host == one.url
            assert content_of(run(chat)) == "Host 1"

    def test_a_wrong_request(self) -> None:
        """A request that is wrong is not sent to another host, which would refuse it as well."""
        with hosts(2) as servers, Pool(*(each.url for each in servers)) as pool:
            servers[0].always(Reply.error(400, {"error": "invalid options"}))
            failure = Heard(Ollama(transport=pool).chat("m", "Hello")).failure
            states = run(pool.hosts().pipe(rx.first()))

            assert isinstance(failure, BadRequestError)
            assert failure.host == servers[0].url
            assert asked(servers[1]) == []
        assert [state.error for state in states] == ["", ""]

    @pytest.mark.parametrize(
        ("replies", "kind"),
        [
            ((Reply.error(404, {"error": "no"}), Reply.error(503, {"error": "busy"})), BusyError),
            ((Reply.error(503, {"error": "busy"}), Reply.error(404, {"error": "no"})), BusyError),
            ((Reply.error(500, {"error": "bad"}), Reply.error(503, {"error": "busy"})), ServerFailureError),
            ((Reply.error(404, {"error": "no"}), Reply.error(401, {"error": "key"})), UnauthorizedError),
            ((Reply.error(404, {"error": "no"}), Reply.error(403, {"error": "key"})), ForbiddenError),
            ((Reply.error(404, {"error": "no"}), Reply.error(404, {"error": "no"})), NotFoundError),
            ((Reply.error(429, LIMIT), Reply.error(503, {"error": "busy"})), BusyError),
            ((Reply.error(404, {"error": "no"}), Reply.error(429, LIMIT)), UsageLimitError),
        ],
    )
    def test_all_failed(self, replies: tuple[Reply, Reply], kind: type[StreamError]) -> None:
        """The error that says most is raised, and names the others in its notes."""
        with hosts(2) as servers, Pool(*(each.url for each in servers)) as pool:
            for server, reply in zip(servers, replies, strict=True):
                server.always(reply)
            failure = Heard(Ollama(transport=pool).chat("m", "Hello")).failure

        assert type(failure) is kind
        assert isinstance(failure, kind)
        [other] = {server.url for server in servers} - {failure.host}
        [note] = failure.__notes__
        assert note.startswith(f"{other} failed, too: ")
        assert failure.model == "m"

    def test_all_down(self) -> None:
        """Hosts that are all down are tried, so that the first request after their return is answered."""
        with hosts(2) as servers, Pool(*(each.url for each in servers)) as pool:
            ollama = Ollama(transport=pool)
            for server in servers:
                server.stop()
            for _ in range(2):
                assert isinstance(Heard(ollama.chat("m", "Hello")).failure, ConnectionFailedError)
            servers[1].start()
            assert content_of(run(ollama.chat("m", "Hello"))) == "Host 1"

    @pytest.mark.parametrize(
        ("reply", "count"), [(Reply.error(404, {"error": "no"}), 1), (Reply.error(500, {"error": "bad"}), 0)]
    )
    def test_changes(self, reply: Reply, count: int) -> None:
        """A call that changes a host goes to another one only if the first did nothing."""
        with hosts(2) as [one, two], Pool(one.url, two.url) as pool:
            one.always(reply, "/api/delete")
            two.always(Reply.plain(""), "/api/delete")
            Heard(Ollama(transport=pool).delete("m")).over.wait(10)
            assert len(asked(two)) == count

    def test_change_without_a_connection(self, full_port: int) -> None:
        """A call that changes a host goes to another one if the first cannot be reached in time."""
        url = f"http://127.0.0.1:{full_port}"
        with hosts(1) as [server], Pool(Host(url, models=["m"]), server.url, connect_timeout=0.1) as pool:
            server.always(Reply.plain(""), "/api/delete")
            run(Ollama(transport=pool).delete("m"))


class TestBreaks:
    """The end of an answer that breaks."""

    def test_before_anything_is_visible(self) -> None:
        """Another host answers, and nobody sees it, although breaks are raised."""
        with hosts(2) as [one, two], Pool(one.url, Host(two.url, priority=2)) as pool:
            one.always(Reply.answer(["a", "b"]).dropped(1))
            heard = Heard(Ollama(transport=pool).chat("m", "Hello")).wait()

        assert (text_of(heard.items), heard.error) == ("Host 1", None)
        assert all(chunk.restart is None for chunk in heard.items)
        assert heard.items[-1].client is not None
        assert heard.items[-1].client.host == two.url

    @pytest.mark.parametrize("of_the_request", [True, False])
    def test_restart(self, *, of_the_request: bool) -> None:
        """The answer begins over on another host, as the request or the pool says."""
        mode: Any = "raise" if of_the_request else "restart"
        with hosts(2) as [one, two], Pool(one.url, Host(two.url, priority=2), after_break=mode) as pool:
            one.always(Reply.answer(["a", "b"], gap=0.05).dropped(150))
            own: Any = "restart" if of_the_request else None
            chunk = run(Ollama(transport=pool).chat("m", "Hello", after_break=own))
            counts = [len(asked(server)) for server in (one, two)]

        assert (content_of(chunk), counts) == ("Host 1", [1, 1])
        assert chunk.restart is not None

    def test_continue(self) -> None:
        """Another host goes on from what there was."""
        with hosts(2) as [one, two], Pool(one.url, Host(two.url, priority=2), after_break="continue") as pool:
            one.always(Reply.answer(["Hello", " there", " you"], gap=0.05).dropped(350))
            two.always(Reply.answer([" and", " you"]))
            chunk = run(Ollama(transport=pool).chat("m", "Hello"))
            sent = asked(two)[0].json["messages"]

        assert content_of(chunk) == sent[-1]["content"] + " and you"
        assert sent[-1]["role"] == "assistant"
        assert sent[-1]["content"].startswith("Hello")


class TestSecrets:
    """Keys and headers."""

    def test_each_host_has_its_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A key and headers go to their own host only, with every request, and the environment's key to none."""
        monkeypatch.setenv("OLLAMA_API_KEY", "of-the-environment")
        with hosts(2) as [one, two]:
            given = Host(one.url, api_key="secret", headers={"x-team": "blue"})
            with Pool(given, two.url) as pool, Ollama(transport=pool) as ollama:
                one.always(Reply.error(503, "busy"))
                run(ollama.chat("m", "Hello"))
                until(pool, lambda states: all(each.models is not None for each in states))
            sent = [
                {(seen.headers.get("authorization"), seen.headers.get("x-team")) for seen in server.requests}
                for server in (one, two)
            ]

        assert sent == [{("Bearer secret", "blue")}, {(None, None)}]
        assert "secret" not in repr(given) + repr(pool)
        assert "blue" not in repr(given)


class TestStates:
    """The states of the hosts."""

    def test_changes(self) -> None:
        """A subscriber receives the states at once, then every change, until the pool is closed."""
        with hosts(1) as [server], Pool(server.url) as pool:
            heard = Heard(pool.hosts()).wait_items(1)
            run(Ollama(transport=pool).chat("m", "Hello"))
            until(pool, lambda states: states[0].models is not None and states[0].in_flight == 0)
            pool.close()
            heard.wait()

        states = [each for (each,) in heard.items]
        assert states[0] == HostState(host=server.url)
        assert {state.in_flight for state in states} == {0, 1}
        assert states[-1].models == ("m:latest",)
        assert states[-1].time_to_first_chunk is not None
        assert heard.completed
        assert all(one != other for one, other in pairwise(states))

    def test_watching_asks_nothing(self) -> None:
        """A subscriber alone sends no request."""
        with hosts(1) as [server], Pool(server.url) as pool:
            Heard(pool.hosts()).wait_items(1)
            assert server.requests == ()

    def test_at_once_on_a_loop(self) -> None:
        """On a running loop the first states arrive within the subscription."""
        pool, items = Pool("a", "b"), list[Any]()

        async def main() -> int:
            pool.hosts().subscribe(items.append).dispose()
            return len(items)

        assert asyncio.run(main()) == 1
        assert [state.host for state in items[0]] == ["http://a:11434", "http://b:11434"]

    def test_after_a_dispose(self) -> None:
        """A subscriber that left receives nothing more."""
        with hosts(1) as [server], Pool(server.url) as pool:
            heard = Heard(pool.hosts()).wait_items(1)
            heard.dispose()
            run(Ollama(transport=pool).chat("m", "Hello"))
            pool.close()
            assert len(heard.items) == 1
            assert not heard.over.is_set()

    def test_after_the_close(self) -> None:
        """A closed pool has states, and no changes."""
        pool = Pool("a")
        pool.close()
        heard = Heard(pool.hosts()).wait()

        assert (len(heard.items), heard.completed) == (1, True)

    def test_a_failing_subscriber(self) -> None:
        """A subscriber that raises ends its own subscription, and no request."""

        def fail(_: object) -> None:
            raise ValueError("mine")

        with hosts(1) as [server], Pool(server.url) as pool:
            other = Heard(pool.hosts())
            failing = Heard(pool.hosts(), each=fail)
            assert isinstance(failing.failure, ValueError)
            run(Ollama(transport=pool).chat("m", "Hello"))
            assert len(failing.items) == 1
            other.wait_items(3)

    def test_a_subscriber_that_exits(self) -> None:
        """An exception that ends the program is raised where the subscriber is called."""
        errors: list[Exception] = []

        def leave(_: object) -> None:
            raise SystemExit(3)

        async def main() -> None:
            Pool("a").hosts().subscribe(leave, errors.append)

        with pytest.raises(SystemExit):
            asyncio.run(main())
        assert isinstance(errors[0].__cause__, SystemExit)

    def test_a_loop_that_ended(self) -> None:
        """A subscriber whose loop was closed is forgotten."""
        with hosts(1) as [server], Pool(server.url) as pool:

            async def main() -> None:
                pool.hosts().subscribe(lambda _: None)

            asyncio.run(main())
            for _ in range(2):
                run(Ollama(transport=pool).chat("m", "Hello"))


class TestClose:
    """The state after the end."""

    def test_nothing_remains(self) -> None:
        """After the close no connection and no task is left, and nothing more can be sent."""
        with hosts(2) as servers:

            async def main() -> None:
                async with Pool(*(each.url for each in servers)) as pool:
                    ollama = Ollama(transport=pool)
                    await asyncio.gather(*(_whole(ollama) for _ in range(8)))
                for server in servers:
                    await until_sockets(server.port, [])
                assert asyncio.all_tasks() == {asyncio.current_task()}
                with pytest.raises(ClientClosedError):
                    await ollama.chat("m", "Hello")

            asyncio.run(main())

    def test_questions_end(self) -> None:
        """Questions to a host that does not answer end with the pool, from another thread as well."""
        with hosts(1) as [server]:
            server.always(Reply.answer("late").stalled(0), "/api/tags")
            pool = Pool(server.url)
            assert content_of(run(Ollama(transport=pool).chat("m", "Hello"))) == "Host 0"
            server.wait_for(2)
            pool.close()
            server.wait_closed()
            assert sockets_to(server.port) == []

    def test_a_stream_that_is_open(self) -> None:
        """An open stream ends with an error when the pool is closed."""
        with hosts(1) as [server], Pool(server.url) as pool:
            server.always(Reply.answer(["a", "b"]).stalled(1))
            heard = Heard(Ollama(transport=pool).chat("m", "Hello")).wait_items(1)
            pool.close()
            assert isinstance(heard.failure, ClientClosedError)

    def test_before_it_was_used(self) -> None:
        """A request that waits for the hosts when the pool is closed ends with an error."""
        with hosts(2) as servers:
            for server in servers:
                server.always(Reply.answer("late").stalled(0), "/api/tags")
            pool = Pool(*(each.url for each in servers), connect_timeout=600)
            heard = Heard(Ollama(transport=pool).chat("m", "Hello"))
            servers[0].wait_for(1)
            servers[1].wait_for(1)
            pool.close()
            assert isinstance(heard.failure, ClientClosedError)

    def test_while_connecting(self, full_port: int) -> None:
        """A request that is connecting when the pool is closed is not sent to another host."""
        url = f"http://127.0.0.1:{full_port}"
        before = sockets_to(full_port)
        with hosts(1) as [server], Pool(Host(url, models=["m"]), server.url, connect_timeout=600) as pool:
            heard = Heard(Ollama(transport=pool).version())
            # Host 0 is asked for what it has loaded, too.
            asyncio.run(until_sockets(full_port, [*before, "SYN_SENT", "SYN_SENT"]))
            pool.close()
            assert sockets_to(full_port) == before
            assert isinstance(heard.failure, ClientClosedError)
            assert asked(server) == []

    def test_dispose(self) -> None:
        """A stream that is disposed leaves its slot."""
        with hosts(1) as [server], Pool(server.url) as pool:
            server.always(Reply.answer(["a", "b"]).stalled(1))
            heard = Heard(Ollama(transport=pool).chat("m", "Hello")).wait_items(1)
            heard.dispose()
            server.requests[0].wait_left()
            until(pool, lambda states: states[0].in_flight == 0)


def test_a_fork(start: Callable[..., Program]) -> None:
    """A child counts none of its parent's requests, and sends its own."""
    with hosts(2) as servers:
        servers[0].always(Reply.answer(["One", " two"]).stalled(1))
        program = start(
            """
            import os
            from reactivex import operators as rx
            from rxollama import Host, Ollama, Pool, iterate, run

            pool = Pool(Host(sys.argv[1], slots=2), sys.argv[2])
            ollama = Ollama(transport=pool)
            stream = iterate(ollama.chat("m", "Hello"))
            print(next(stream).message.content, flush=True)

            def show():
                states = run(pool.hosts().pipe(rx.first()))
                print([state.in_flight for state in states], flush=True)

            if not os.fork():
                show()
                print(run(Ollama(transport=pool).chat("m", "Hello").pipe(rx.take(1))).message.content, flush=True)
                sys.exit(0)
            print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
            show()
            stream.close()
            pool.close()
            """,
            servers[0].url,
            servers[1].url,
        )
        assert program.end() == "One\n[0, 0]\nOne\n0\n[1, 0]"


class TestArguments:
    """The arguments of a pool and a host."""

    @pytest.mark.parametrize(
        ("arguments", "options", "field"),
        [
            ((), {}, "hosts"),
            (("a", "http://a:11434"), {}, "hosts"),
            ((1,), {}, "host"),
            (("a",), {"connect_timeout": 0}, "connect_timeout"),
            (("a",), {"after_break": "again"}, "after_break"),
        ],
    )
    def test_wrong_pools(self, arguments: tuple[Any, ...], options: dict[str, Any], field: str) -> None:
        """A wrong argument is named."""
        with pytest.raises(InvalidValueError) as caught:
            Pool(*arguments, **options)
        assert caught.value.field == field

    @pytest.mark.parametrize(
        ("options", "field"),
        [
            ({"host": None}, "host"),
            ({"host": "ftp://a"}, "host"),
            ({"priority": 0}, "priority"),
            ({"priority": True}, "priority"),
            ({"slots": 0}, "slots"),
            ({"slots": 1.5}, "slots"),
            ({"weight": 0}, "weight"),
            ({"weight": float("inf")}, "weight"),
            ({"weight": float("nan")}, "weight"),
            ({"weight": "2"}, "weight"),
            ({"weight": 10**400}, "weight"),
            ({"weight": True}, "weight"),
            ({"models": "qwen3"}, "models"),
            ({"models": [""]}, "models"),
            ({"api_key": "ключ"}, "api_key"),
            ({"headers": {"a b": "c"}}, "headers"),
        ],
    )
    def test_wrong_hosts(self, options: dict[str, Any], field: str) -> None:
        """A wrong argument is named."""
        given: dict[str, Any] = {"host": "a", **options}
        with pytest.raises(InvalidValueError) as caught:
            Host(**given)
        assert caught.value.field == field

    def test_what_they_hold(self) -> None:
        """A host holds its address as a base URL, and a pool what follows a break."""
        host = Host("gpu", models=["qwen3"], weight=2)

        assert (host.host, host.models, host.headers) == ("http://gpu:11434", ("qwen3",), {})
        assert repr(Pool(host, "b")) == "Pool('http://gpu:11434', 'http://b:11434')"
        assert [Pool("a").after_break, Pool("a", after_break=None).after_break] == ["raise", "raise"]
        assert Pool("a", after_break="restart").after_break == "restart"


def test_a_host_that_says_nothing() -> None:
    """Only the first request waits for a host that accepts a question and never answers it."""
    with hosts(2) as [silent, server]:
        silent.always(Reply.answer("").stalled(0), "/api/tags")
        with Pool(silent.url, server.url) as pool, Ollama(transport=pool) as ollama:
            times: list[float] = []
            for _ in range(2):
                began = monotonic()
                assert run(ollama.chat("m", "Hello").pipe(op.collect())).metrics.host == server.url
                times.append(monotonic() - began)
    first, second = times
    assert second < first / 2


def test_closed_within_a_failover() -> None:
    """A request whose pool is closed ends with that error, and the failure of another host is a note."""
    with hosts(2) as [broken, silent], Pool(broken.url, silent.url) as pool, Ollama(transport=pool) as ollama:
        broken.always(Reply.error(500, {"error": "no"}), "/api/chat")
        silent.always(Reply.answer("").stalled(0), "/api/chat")
        heard = Heard(ollama.chat("m", "Hello"))
        assert silent.wait_for(3)[-1].path == "/api/chat"
        pool.close()
        assert type(heard.failure) is ClientClosedError
        assert any(broken.url in note for note in heard.failure.__notes__)


def test_the_client_tells_the_pool() -> None:
    """A request names its model, and the beginnings of its conversation."""
    seen: list[Request] = []

    class Seeing(Pool):
        def open(self, request: Request) -> Any:
            seen.append(request)
            return super().open(request)

    with hosts(1) as [server], Seeing(server.url) as pool, Ollama(transport=pool) as ollama:
        server.always(Reply.json({"version": "1"}), "/api/version")
        chat = ollama.chat("m", [Message.user("Hello"), Message.user("And?")])
        for stream in (chat, chat, ollama.chat("m", "Hello"), ollama.version()):
            run(stream)

    first, second, third, last = seen
    assert first is second
    assert [each.model for each in seen] == ["m", "m", "m", ""]
    assert first.prefixes is not None
    assert third.prefixes is not None
    assert third.prefixes() == first.prefixes()[:1]
    assert last.prefixes is None
