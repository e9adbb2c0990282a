"""Answers that survive a break: restarted, continued, or neither."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterable
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
import pytest
from heard import PATIENCE, Heard, text_of
from scripted_answers import Answer, Scripted, record

from rxollama import ChatChunk, Message, Ollama, run
from rxollama import operators as op
from rxollama._runtime import background
from rxollama.errors import (
    ClientClosedError,
    ConnectionFailedError,
    ConnectionLostError,
    ContextTruncatedError,
    InvalidValueError,
    ProtocolError,
    ReportedError,
    ServerFailureError,
    StreamError,
    StreamTimeoutError,
    TruncatedError,
)
from rxollama.messages import AfterBreak, ChatRequest, GenerateRequest, ResponseBuilder
from rxollama.testing import Reply, ScriptedOllama, SeenRequest
from rxollama.transport import Request, Response

THOUGHT = ["Let", " me", " think."]
WORDS = ["Blue", " light", " is", " scattered", " most."]
WHOLE = Reply.answer(WORDS, thinking=THOUGHT)
CALL = {"name": "look", "arguments": {"place": "sky"}, "id": "call_1"}


def restarts_of(chunks: Iterable[ChatChunk]) -> list[tuple[str, int, str]]:
    """Return the restarts of a stream: the reason's first word, the attempt, and the scope."""
    marks = [chunk.restart for chunk in chunks]
    return [(mark.reason.split(":")[0], mark.attempt, mark.scope) for mark in marks if mark is not None]


def words_sent(seen: SeenRequest) -> tuple[str, str] | None:
    """Return the thinking and content that a request asks to go on from; None if there is none."""
    last = seen.json["messages"][-1]
    return (last.get("thinking", ""), last["content"]) if last["role"] == "assistant" else None


def rest_of(seen: SeenRequest) -> Reply:
    """Answer as a server does that goes on from a last message of the assistant."""
    sent = words_sent(seen)
    if sent is None:
        return WHOLE
    missing = "".join(WORDS).removeprefix(sent[1])
    return Reply.answer([f" {word}" for word in missing.split()])


@contextmanager
def impatient(seconds: float) -> Generator[httpx.AsyncClient]:
    """Yield a client of httpx that waits only so long for each read."""
    client = httpx.AsyncClient(timeout=seconds)
    yield client
    asyncio.run_coroutine_threadsafe(client.aclose(), background()).result(PATIENCE)


def broken(reply: Reply, pieces: int, ending: str) -> Reply:
    """Return a reply that breaks after some of its pieces."""
    if ending == "early end":
        return reply.truncated(pieces)
    size = sum(len(piece.data) for piece in reply.pieces[:pieces])
    return reply.dropped(size) if ending == "drop" else reply.reset(size)


def sums(chunks: Iterable[ChatChunk]) -> list[tuple[str, str]]:
    """Return the thinking and content after each chunk."""
    builder = ResponseBuilder()
    each: list[tuple[str, str]] = []
    for chunk in chunks:
        builder.add(chunk)
        message = builder.snapshot().message
        each.append((message.thinking, message.content))
    return each


def test_raise(ollama: Ollama, server: ScriptedOllama) -> None:
    """Without an option, the error is passed on as it is, and one request is sent."""
    for options in (
        ChatRequest(model="m", messages="Why?"),
        ChatRequest(model="m", messages="Why?", after_break="raise"),
    ):
        server.enqueue(WHOLE.truncated(5))
        heard = Heard(ollama.send(options))
        assert type(heard.failure) is TruncatedError
        assert not hasattr(heard.failure, "__notes__")
        assert heard.failure.partial is not None
        assert heard.failure.partial.message.content == text_of(heard.items) == "".join(WORDS[:2])
    assert len(server.requests) == 2


@pytest.mark.parametrize("pieces", range(len(WHOLE.pieces)))
class TestEveryCut:
    """An answer that breaks after each of its chunks."""

    def test_restart(self, ollama: Ollama, server: ScriptedOllama, pieces: int) -> None:
        """The answer is that of the second request, and never a sum of both."""
        server.enqueue(broken(WHOLE, pieces, "drop"), WHOLE)
        heard = Heard(ollama.chat("m", "Why?", after_break="restart")).wait()

        assert heard.error is None
        assert sums(heard.items)[-1] == ("".join(THOUGHT), "".join(WORDS))
        assert all("".join(WORDS).startswith(content) for _, content in sums(heard.items))
        assert restarts_of(heard.items) == ([("ConnectionLostError", 2, "answer")] if pieces else [])
        assert [words_sent(seen) for seen in server.requests] == [None, None]
        assert server.requests[0].body == server.requests[1].body
        last = heard.items[-1].client
        assert last is not None
        assert (last.chunk_count, last.repeat_count, last.thinking_cut_count) == (len(WHOLE.pieces), 1, 0)
        assert last.host == server.url

    def test_continue(self, ollama: Ollama, server: ScriptedOllama, pieces: int) -> None:
        """The answer is the text that arrived and the rest, without a restart once there is content."""
        server.enqueue(broken(WHOLE, pieces, "drop"))
        server.always(rest_of)
        heard = Heard(ollama.chat("m", "Why?", after_break="continue")).wait()

        assert heard.error is None
        assert sums(heard.items)[-1] == ("".join(THOUGHT), "".join(WORDS))
        delivered = "".join(WORDS[: max(0, pieces - len(THOUGHT))])
        assert len(restarts_of(heard.items)) == (0 if delivered or not pieces else 1)
        assert words_sent(server.requests[1]) == (("".join(THOUGHT), delivered) if delivered else None)
        last = heard.items[-1].client
        assert last is not None
        assert (last.chunk_count, last.repeat_count) == (len(WHOLE.pieces), 1)
        times = (last.time_to_first_chunk, last.time_to_first_token, last.time_to_first_content, last.wall_duration)
        known = [each for each in times if each is not None]
        assert len(known) == len(times)
        assert known == sorted(known)


@pytest.mark.parametrize("after_break", ["restart", "continue"])
def test_not_streamed(ollama: Ollama, server: ScriptedOllama, after_break: AfterBreak) -> None:
    """An answer in one piece is repeated without a trace."""
    whole = Reply.json({"model": "m", "message": {"role": "assistant", "content": "Blue."}, "done": True})
    server.enqueue(whole.dropped(10), whole)
    heard = Heard(ollama.chat("m", "Why?", stream=False, after_break=after_break)).wait()
    assert [chunk.message.content for chunk in heard.items] == ["Blue."]
    assert restarts_of(heard.items) == []


@pytest.mark.parametrize("ending", ["early end", "reset"])
def test_other_breaks(ollama: Ollama, server: ScriptedOllama, ending: str) -> None:
    """A response that ends too early is a break as well, and so is a reset."""
    server.enqueue(broken(WHOLE, 6, ending))
    server.always(rest_of)
    chat = ollama.chat("m", "Why?", after_break="continue")
    assert run(chat.pipe(op.content())) == "".join(WORDS)


@pytest.mark.parametrize("pieces", range(1, 4))
@pytest.mark.parametrize("after_break", ["restart", "continue"])
def test_tool_calls(ollama: Ollama, server: ScriptedOllama, pieces: int, after_break: AfterBreak) -> None:
    """After a tool call the answer begins over, and each call is there once."""
    whole = Reply.answer(["Looking up."], tool_calls=[CALL, {**CALL, "id": "call_2"}])
    server.enqueue(whole.truncated(pieces))
    server.always(lambda seen: whole if words_sent(seen) is None else Reply.answer(tool_calls=[CALL]))
    response = run(ollama.chat("m", "Why?", after_break=after_break).pipe(op.collect()))

    assert response.message.content == "Looking up."
    continues = after_break == "continue" and pieces == 1
    assert [call.id for call in response.message.tool_calls] == (["call_1"] if continues else ["call_1", "call_2"])


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "json"},
        {"messages": [Message.user("Why?"), Message.assistant("Because")]},
    ],
    ids=["format", "prefill"],
)
def test_not_continued(ollama: Ollama, server: ScriptedOllama, changes: dict[str, Any]) -> None:
    """A structured answer begins over, and so does one that already continues a message."""
    server.enqueue(WHOLE.truncated(6), WHOLE)
    options: dict[str, Any] = {"messages": "Why?", **changes}
    heard = Heard(ollama.chat("m", after_break="continue", **options)).wait()
    assert restarts_of(heard.items) == [("TruncatedError", 2, "answer")]
    assert server.requests[0].body == server.requests[1].body


def test_short_texts(ollama: Ollama, server: ScriptedOllama) -> None:
    """A few characters are not continued: whether a text begins with them says nothing."""
    server.enqueue(Reply.answer(["It", " is."]).truncated(1), Reply.answer(["It", " is."]))
    heard = Heard(ollama.chat("m", "Why?", after_break="continue")).wait()
    assert len(restarts_of(heard.items)) == 1
    assert sums(heard.items)[-1] == ("", "It is.")


@pytest.mark.parametrize("thinks", [True, False])
def test_began_over(ollama: Ollama, server: ScriptedOllama, thinks: bool) -> None:
    """A server that does not go on begins the answer over, which a restart shows."""
    other = Reply.answer(["Blue", " light", " is", " what", " we", " see."], thinking=THOUGHT if thinks else "")
    server.enqueue(WHOLE.truncated(6), other.truncated(7), WHOLE)
    heard = Heard(ollama.chat("m", "Why?", after_break="continue")).wait()

    assert (
        restarts_of(heard.items)
        == [
            ("the server began the answer over instead of going on with it", 2, "answer"),
            ("TruncatedError", 3, "answer"),
        ]
        if thinks
        else heard.error is None
    )
    assert [words_sent(seen) for seen in server.requests[:2]] == [None, ("".join(THOUGHT), "".join(WORDS[:3]))]
    assert all(content.count("Blue") <= 1 for _, content in sums(heard.items))


@pytest.mark.parametrize("status", [400, 500])
def test_refused_continuation(ollama: Ollama, server: ScriptedOllama, status: int) -> None:
    """A server that refuses a last message of the assistant is asked from the beginning."""
    server.enqueue(WHOLE.truncated(6), Reply.error(status, {"error": "prefill is not supported"}), WHOLE)
    heard = Heard(ollama.chat("m", "Why?", after_break="continue")).wait()
    assert heard.error is None
    assert len(restarts_of(heard.items)) == 1
    assert [words_sent(seen) is None for seen in server.requests] == [True, False, True]


def test_proxy_before_a_server(ollama: Ollama, server: ScriptedOllama) -> None:
    """A proxy whose server is down refuses nothing: the continuation is sent again."""
    server.enqueue(WHOLE.truncated(6), Reply.error(502, "bad gateway"))
    server.always(rest_of)
    heard = Heard(ollama.chat("m", "Why?", after_break="continue")).wait()
    assert sums(heard.items)[-1] == ("".join(THOUGHT), "".join(WORDS))
    assert restarts_of(heard.items) == []
    assert server.requests[1].body == server.requests[2].body


def test_several_parts(ollama: Ollama, server: ScriptedOllama) -> None:
    """An answer may be continued again and again: only a few requests in a row may bring nothing."""
    parts = [Reply.answer([word]).truncated(1) for word in ["One two", " three", " four", " five"]]
    server.enqueue(*parts[:2], Reply.error(503, ""), parts[2], Reply.answer([""]).truncated(0), parts[3])
    server.enqueue(Reply.answer([" six."], eval_count=7))
    response = run(ollama.chat("m", "Count.", after_break="continue").pipe(op.collect()))
    assert response.message.content == "One two three four five six."
    assert response.metrics.repeat_count == 6
    assert response.metrics.chunk_count == 6
    assert response.metrics.eval_count == 7
    assert words_sent(server.requests[-1]) == ("", "One two three four five")


class TestGivingUp:
    """Answers that do not survive."""

    @pytest.mark.parametrize("after_break", ["restart", "continue"])
    def test_nothing_new(self, ollama: Ollama, server: ScriptedOllama, after_break: AfterBreak) -> None:
        """After three requests in a row that bring nothing, the last error carries what stands, and the others."""
        server.enqueue(WHOLE.truncated(6), Reply.error(503, ""), WHOLE.truncated(0))
        server.always(Reply.error(500, {"error": "no memory"}))
        heard = Heard(ollama.chat("m", "Why?", after_break=after_break))

        assert type(heard.failure) is ServerFailureError
        assert heard.failure.partial is not None
        assert sums(heard.items)[-1] == ("".join(THOUGHT), "".join(WORDS[:3]))
        assert heard.failure.partial.message.thinking == "".join(THOUGHT)
        assert heard.failure.partial.message.content == "".join(WORDS[:3])
        assert (heard.failure.model, heard.failure.host) == ("m", server.url)
        notes = heard.failure.__notes__
        assert [note.split(":")[0] for note in notes] == [
            f"request {place} failed" for place in range(1, len(notes) + 1)
        ]
        assert len(server.requests) == len(notes) + 1 == 4

    def test_all_parts(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """The error of a continued answer carries all of its parts, with the timing of the whole."""
        server.enqueue(Reply.answer(["One two"]).truncated(1), Reply.answer([" three"]).with_error("crashed", 1))
        heard = Heard(ollama.chat("m", "Count.", after_break="continue"))
        assert type(heard.failure) is ReportedError
        assert heard.failure.partial is not None
        assert heard.failure.partial.message.content == "One two three" == text_of(heard.items)
        metrics = heard.failure.partial.metrics
        assert (metrics.chunk_count, metrics.repeat_count, metrics.host) == (2, 1, server.url)

    def test_about_the_whole(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """An error about a complete answer carries it as complete, with the measurements of all requests."""
        rest = Reply.answer([" three."], prompt_eval_count=2050, eval_count=7)
        server.enqueue(Reply.answer(["One two"]).truncated(1), rest)
        heard = Heard(
            ollama.chat("m", "word " * 3000, options={"num_ctx": 4096}, on_truncated="raise", after_break="continue")
        )
        assert type(heard.failure) is ContextTruncatedError
        partial = heard.failure.partial
        assert partial is not None
        assert (partial.message.content, partial.done, partial.done_reason) == ("One two three.", True, "stop")
        assert (partial.metrics.eval_count, partial.metrics.repeat_count, partial.metrics.chunk_count) == (7, 1, 3)

    def test_the_same_place(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """A server that always breaks at the same place is asked four times."""
        server.always(WHOLE.truncated(6))
        heard = Heard(ollama.chat("m", "Why?", after_break="restart"))
        assert type(heard.failure) is TruncatedError
        assert heard.failure.partial is not None
        assert heard.failure.partial.message.content == "".join(WORDS[:3])
        assert len(server.requests) == 4

    @pytest.mark.parametrize(
        ("reply", "error"),
        [
            (Reply.error(503, ""), StreamError),
            (Reply.error(500, {"error": "no"}), ServerFailureError),
            (WHOLE.with_error("crashed", 5), ReportedError),
            (Reply.records([b"<html>\n"]), ProtocolError),
        ],
    )
    def test_no_break(self, ollama: Ollama, server: ScriptedOllama, reply: Reply, error: type[StreamError]) -> None:
        """A refusal, an error record and garbage are passed on at once."""
        server.enqueue(reply)
        heard = Heard(ollama.chat("m", "Why?", after_break="restart"))
        assert isinstance(heard.failure, error)
        assert len(server.requests) == 1

    def test_asked_for_too_long(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """A server that asks for a long wait is not waited for."""
        server.enqueue(WHOLE.truncated(6), Reply.error(503, "", headers={"retry-after": "61"}))
        heard = Heard(ollama.chat("m", "Why?", after_break="restart"))
        assert type(heard.failure).__name__ == "BusyError"
        assert len(server.requests) == 2

    def test_a_failing_subscriber(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """An exception of a subscriber is not a break."""
        server.always(WHOLE)

        def fail(_: ChatChunk) -> None:
            raise LookupError

        heard = Heard(ollama.chat("m", "Why?", after_break="restart"), fail)
        assert type(heard.failure) is LookupError
        assert len(server.requests) == 1


@pytest.mark.parametrize("has_begun", [True, False])
def test_timeouts(server: ScriptedOllama, has_begun: bool) -> None:
    """Silence is a break once the answer began. Before that, the model may be loading."""
    server.enqueue(WHOLE.stalled(6 if has_begun else 0), WHOLE)
    with impatient(0.2) as client, Ollama(server.url, http_client=client) as ollama:
        heard = Heard(ollama.chat("m", "Why?", after_break="restart")).wait()
    assert (heard.error is None) == has_begun
    assert has_begun or type(heard.failure) is StreamTimeoutError


def test_while_the_server_is_down(ollama: Ollama, server: ScriptedOllama) -> None:
    """A server that comes back while the client waits goes on with the answer."""
    server.enqueue(WHOLE.stalled(6))
    server.always(rest_of)
    heard = Heard(ollama.chat("m", "Why?", after_break="continue")).wait_items(6)
    server.stop()
    server.start()
    assert sums(heard.wait().items)[-1] == ("".join(THOUGHT), "".join(WORDS))


def test_a_server_that_stays_down(ollama: Ollama, server: ScriptedOllama) -> None:
    """A server that does not come back is given up."""
    server.enqueue(WHOLE.stalled(6))
    heard = Heard(ollama.chat("m", "Why?", after_break="restart")).wait_items(6)
    server.stop()
    assert type(heard.failure) is ConnectionFailedError
    assert heard.failure.partial is not None
    assert heard.failure.partial.message.content == "".join(WORDS[:3])


class TestLeaving:
    """A subscriber or a client that leaves."""

    def test_within_a_wait(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Disposing ends the wait for the next request, which is never sent."""
        server.enqueue(WHOLE.truncated(6), Reply.error(503, "", headers={"retry-after": "50"}))
        heard = Heard(ollama.chat("m", "Why?", after_break="restart")).wait_items(6)
        server.wait_for(2)[1].wait_finished()
        heard.dispose()
        server.wait_idle()
        assert (len(server.requests), heard.error, heard.completed) == (2, None, False)

    def test_within_the_next_request(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Disposing closes the second request."""
        server.enqueue(WHOLE.truncated(6), WHOLE.stalled(2))
        heard = Heard(ollama.chat("m", "Why?", after_break="restart")).wait_items(8)
        heard.dispose()
        server.requests[1].wait_left()
        assert (len(server.requests), heard.error, heard.completed) == (2, None, False)

    def test_in_a_callback(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """Disposing at the last chunk before the break sends no second request."""
        server.enqueue(WHOLE.truncated(6), WHOLE)
        heard: Heard[ChatChunk] = Heard()
        chunks = iter(range(1, 7))

        def each(chunk: ChatChunk) -> None:
            heard.on_next(chunk)
            if next(chunks) == 6:
                subscription.dispose()

        subscription = ollama.chat("m", "Why?", after_break="restart").subscribe(each, heard.on_error)
        server.wait_for(1)[0].wait_finished()
        server.wait_idle()
        heard.wait_items(6)
        assert (len(server.requests), heard.error) == (1, None)

    def test_closed_within_a_wait(self, server: ScriptedOllama) -> None:
        """Closing the client ends the wait at once, with what stands."""
        server.enqueue(WHOLE.truncated(6), Reply.error(503, "", headers={"retry-after": "50"}))
        with Ollama(server.url) as ollama:
            heard = Heard(ollama.chat("m", "Why?", after_break="restart")).wait_items(6)
            server.wait_for(2)[1].wait_finished()
        assert type(heard.failure) is ClientClosedError
        assert heard.failure.partial is not None
        assert heard.failure.partial.message.content == "".join(WORDS[:3])


class Hosts(Scripted):
    """A transport in memory that says that it has several hosts."""

    def __init__(self, after_break: AfterBreak, *answers: Answer) -> None:
        super().__init__(answers)
        self.after_break = after_break
        self.sent: list[Request] = []

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncGenerator[Response]:
        """Answer a request."""
        self.sent.append(request)
        async with super().open(request) as response:
            yield response


def lines(*records: bytes, breaks: bool = True) -> Answer:
    """Return an answer of these records, each in a piece of its own."""
    return Answer(tuple((0.0, each) for each in records), breaks=breaks)


NOTHING = lines(record(""))
BEGUN = lines(record("Blue light"))
FULL = lines(record("Blue light"), record(" is scattered."), record(done=True), breaks=False)
REST = lines(record(" is scattered."), record(done=True), breaks=False)


class TestSeveralHosts:
    """Transports that have other hosts for a request that broke."""

    @pytest.mark.parametrize("after_break", ["raise", "restart", "continue"])
    def test_before_the_first_token(self, after_break: AfterBreak) -> None:
        """A break before anything is visible is repeated at once, whatever the transport does later."""
        hosts = Hosts(after_break, NOTHING, FULL)
        with Ollama(transport=hosts) as ollama:
            heard = Heard(ollama.chat("m", "Why?")).wait()
        assert text_of(heard.items) == "Blue light is scattered."
        assert restarts_of(heard.items) == []
        assert hosts.sent[0] is hosts.sent[1]

    def test_raise(self) -> None:
        """Later the transport may leave it to the caller."""
        with Ollama(transport=Hosts("raise", BEGUN, FULL)) as ollama:
            heard = Heard(ollama.chat("m", "Why?"))
            assert type(heard.failure) is ConnectionLostError
            again = Heard(ollama.chat("m", "Why?", after_break="raise"))
            assert again.wait().error is None

    def test_restart(self) -> None:
        """A transport that restarts sends the same request again, also for a generation."""
        hosts = Hosts("restart", BEGUN, FULL)
        with Ollama(transport=hosts) as ollama:
            heard = Heard(ollama.chat("m", "Why?")).wait()
        assert sums(heard.items)[-1] == ("", "Blue light is scattered.")
        assert restarts_of(heard.items) == [("ConnectionLostError", 2, "answer")]
        assert hosts.sent[0] is hosts.sent[1]

    @pytest.mark.parametrize(("breaks", "survives"), [(12, True), (13, False)])
    def test_hosts_that_die_in_a_row(self, breaks: int, survives: bool) -> None:
        """One dying host after another may begin the answer, without a wait, up to a limit."""
        hosts = Hosts("restart", *[BEGUN] * breaks, FULL)
        with Ollama(transport=hosts) as ollama:
            heard = Heard(ollama.chat("m", "Why?")).wait()
        assert (heard.error is None) == survives
        assert len(hosts.sent) == 13
        assert sums(heard.items)[-1] == ("", "Blue light is scattered." if survives else "Blue light")

    @pytest.mark.parametrize("after_break", ["restart", "continue"])
    def test_generation(self, after_break: AfterBreak) -> None:
        """A generation cannot be continued, so it restarts."""
        begun, rest = (b'{"model": "m", "response": "Blue", "done": %s}\n' % done for done in (b"false", b"true"))
        hosts = Hosts(after_break, lines(begun), lines(begun, rest, breaks=False))
        with Ollama(transport=hosts) as ollama:
            heard = Heard(ollama.generate("m", "Why?")).wait()
        assert sums(heard.items)[-1] == ("", "BlueBlue")
        assert restarts_of(heard.items) == [("ConnectionLostError", 2, "answer")]
        assert hosts.sent[0] is hosts.sent[1]

    def test_continue(self) -> None:
        """A transport that continues asks for the rest."""
        hosts = Hosts("continue", BEGUN, REST)
        with Ollama(transport=hosts) as ollama:
            heard = Heard(ollama.chat("m", "Why?")).wait()
        assert text_of(heard.items) == "Blue light is scattered."
        assert restarts_of(heard.items) == []
        assert hosts.sent[1].continues is hosts.sent[0]

    def test_the_request_decides(self) -> None:
        """The request's own choice comes before the transport's."""
        with Ollama(transport=Hosts("continue", BEGUN, FULL)) as ollama:
            heard = Heard(ollama.chat("m", "Why?", after_break="restart")).wait()
        assert len(restarts_of(heard.items)) == 1


@pytest.mark.parametrize("answer", [WHOLE, Reply.answer([f"{n} " for n in range(500)]).cut(100_000)])
def test_batches(ollama: Ollama, server: ScriptedOllama, answer: Reply) -> None:
    """The sum of an answer that was repeated is the same through operators that absorb whole reads."""
    server.enqueue(broken(answer.cut(1), sum(len(piece.data) for piece in answer.pieces) - 2, "drop"), answer, answer)
    repeated = run(ollama.chat("m", "Why?", after_break="restart").pipe(op.collect()))
    once = run(ollama.chat("m", "Why?").pipe(op.collect()))
    assert repeated.message == once.message
    assert repeated.metrics.chunk_count == once.metrics.chunk_count
    assert (repeated.metrics.repeat_count, once.metrics.repeat_count) == (1, 0)


class TestOption:
    """The option of a request."""

    @pytest.mark.parametrize("given", ["again", 1, True, ["restart"]])
    def test_refused(self, ollama: Ollama, given: Any) -> None:
        """Another value is refused at the call."""
        with pytest.raises(InvalidValueError, match=r"^after_break: expected 'raise', 'restart' or 'continue', got "):
            ollama.chat("m", "Why?", after_break=given)

    def test_never_sent(self, ollama: Ollama, server: ScriptedOllama) -> None:
        """It is not a part of what is sent or written."""
        request = ChatRequest(model="m", messages="Why?", after_break="restart", max_thinking=9)
        server.enqueue(WHOLE)
        run(ollama.send(request))
        assert not server.requests[0].json.keys() & {"after_break", "(after_break)", "max_thinking", "(max_thinking)"}
        assert request.to_dict() == ChatRequest(model="m", messages="Why?").to_dict()

    def test_not_of_a_generation(self) -> None:
        """A generation has no such option."""
        options: Any = {"after_break": "restart"}
        with pytest.raises(TypeError):
            GenerateRequest(model="m", **options)
