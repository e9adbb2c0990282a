"""A tool call that a model writes as text becomes a tool call, and every other chunk is passed on unchanged."""

from __future__ import annotations

from typing import Any

import pytest
import reactivex
from heard import Heard, text_of
from hypothesis import given
from hypothesis import strategies as st
from marbles import play
from reactivex.testing import ReactiveTest
from reactivex.testing.subscription import Subscription
from recorded import recorded, recorded_chats

from rxollama import Ollama, Tool, run
from rxollama import operators as op
from rxollama.errors import InvalidValueError, TruncatedError
from rxollama.messages import ChatChunk, ChatResponse, Function, Logprob, Message, Restart, ToolCall
from rxollama.testing import Reply, ScriptedOllama

on_next, on_error, on_completed = ReactiveTest.on_next, ReactiveTest.on_error, ReactiveTest.on_completed

LOST = ConnectionError("lost")
TEXT = '{"name": "get_time", "arguments": {"city": "Oslo"}}'
HEAD, TAIL = TEXT[:20], TEXT[20:]
CALL = ToolCall(Function("get_time", {"city": "Oslo"}, 0))
OWN = ToolCall(Function("get_time", {"city": "Rome"}), "call_1")
NUMBER, OTHER = Logprob("a", -0.5), Logprob("b", -0.25)


def get_time(city: str) -> str:
    """Return the local time of a city."""
    return f"12:00 in {city}"


def says(content: str = "", thinking: str = "", *calls: ToolCall, **fields: Any) -> ChatChunk:
    """Return a chunk of the assistant."""
    return ChatChunk(message=Message("assistant", content, thinking, tool_calls=calls), **fields)


def received(chunks: list[ChatChunk], tools: Any = (get_time,)) -> list[ChatChunk]:
    """Return what the operator emits for chunks that arrive at once."""
    found: list[ChatChunk] = []
    reactivex.from_iterable(chunks).pipe(op.extract_tool_calls(tools)).subscribe(found.append)
    return found


def test_prose_is_passed_on_at_once() -> None:
    """The first chunk of prose is emitted when it arrives, and is the same object."""
    chunks = [says("Th"), says("e time"), says(" is {"), says(TEXT), says(done=True)]
    played = play(op.extract_tool_calls([get_time]), *(on_next(10 * at, chunk) for at, chunk in enumerate(chunks, 1)))

    assert played.messages == [on_next(200 + 10 * at, chunk) for at, chunk in enumerate(chunks, 1)]
    assert all(one is other for one, other in zip(received(chunks), chunks, strict=True))


def test_held_back_until_it_is_text() -> None:
    """Chunks are held back while their text may be a call, and are released with the character that rules it out."""
    chunks = [says("{"), says('"na'), says('mes": []'), says("}")]
    played = play(op.extract_tool_calls([get_time]), *(on_next(10 * at, chunk) for at, chunk in enumerate(chunks, 1)))

    assert played.messages == [*(on_next(230, chunk) for chunk in chunks[:3]), on_next(240, chunks[3])]


def test_completes() -> None:
    """A call is emitted before the completion, and so is text that is none."""
    call = play(op.extract_tool_calls([get_time]), on_next(10, says(TEXT)), on_completed(20))
    text = play(op.extract_tool_calls([get_time]), on_next(10, says(HEAD)), on_completed(20))

    assert call.messages == [on_next(220, says("", "", CALL)), on_completed(220)]
    assert text.messages == [on_next(220, says(HEAD)), on_completed(220)]
    assert call.subscriptions == text.subscriptions == [Subscription(200, 220)]


@pytest.mark.parametrize("text", [TEXT, HEAD])
def test_errors(text: str) -> None:
    """Chunks that were held back are emitted before the error, as text: an unfinished message must not call."""
    played = play(op.extract_tool_calls([get_time]), on_next(10, says(text)), on_error(20, LOST))

    assert played.messages == [on_next(220, says(text)), on_error(220, LOST)]
    assert played.subscriptions == [Subscription(200, 220)]


def test_disposed() -> None:
    """Nothing is emitted after dispose, and the source is disposed."""
    played = play(op.extract_tool_calls([get_time]), on_next(10, says(TEXT)), on_completed(30), disposed=215)

    assert played.messages == []
    assert played.subscriptions == [Subscription(200, 215)]


DONE = says(done=True, done_reason="stop", eval_count=7)
RESULT = ChatChunk(message=Message.tool(TEXT, call=OWN))
PROGRESS = ChatChunk(message=Message("tool", tool_name="f"), tool_progress="half")
LOADED = ChatChunk(
    message=Message("assistant", TEXT, "Hm", ("aGk=",)), logprobs=(NUMBER,), model="m", done=True, eval_count=7
)


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([says(HEAD), says(TAIL), DONE], [says("", "", CALL), DONE]),
        ([says(TEXT, done=True, eval_count=7)], [says("", "", CALL), says(done=True, eval_count=7)]),
        (
            [says(f"[{TEXT}, {TEXT}]"), DONE],
            [says("", "", CALL, ToolCall(Function("get_time", {"city": "Oslo"}, 1))), DONE],
        ),
        # Everything else that the chunks have is kept.
        (
            [
                says(HEAD, model="m", created_at="1", logprobs=(NUMBER,)),
                says(TAIL, model="m", created_at="2", logprobs=(OTHER,)),
            ],
            [says("", "", CALL, model="m", created_at="2", logprobs=(NUMBER, OTHER))],
        ),
        (
            [LOADED],
            [
                says("", "Hm", logprobs=(NUMBER,), model="m"),
                ChatChunk(message=Message("assistant", images=("aGk=",), tool_calls=(CALL,)), model="m"),
                says(model="m", done=True, eval_count=7),
            ],
        ),
        ([says(TEXT, logprobs=(NUMBER,), done=True)], [says("", "", CALL, logprobs=(NUMBER,)), says(done=True)]),
        # Thinking is passed on at once, and white space before it is no beginning.
        ([says("", "Hm"), says(TEXT), DONE], [says("", "Hm"), says("", "", CALL), DONE]),
        ([says(HEAD, "Hm"), says(TAIL), DONE], [says("", "Hm"), says("", "", CALL), DONE]),
        ([says("\n"), says("", "Hm"), says(TEXT), DONE], [says("\n"), says("", "Hm"), says("", "", CALL), DONE]),
        ([says("\n"), says(TEXT, "Hm"), DONE], [says("\n"), says("", "Hm"), says("", "", CALL), DONE]),
        ([says("\n"), says("", "Hm", OWN), DONE], [says("\n"), says("", "Hm", OWN), DONE]),
        # A chunk without text within the call is not lost.
        ([says(HEAD), says(logprobs=(NUMBER,)), says(TAIL), DONE], [says("", "", CALL, logprobs=(NUMBER,)), DONE]),
        # Each message starts from the beginning; an end without `done` is one, too.
        ([says("Hi"), DONE, says(TEXT), DONE], [says("Hi"), DONE, says("", "", CALL), DONE]),
        ([says(TEXT), RESULT, says(TEXT), DONE], [says("", "", CALL), RESULT, says("", "", CALL), DONE]),
        ([ChatChunk(message=Message(content=TEXT)), DONE], [ChatChunk(message=Message(tool_calls=(CALL,))), DONE]),
        ([PROGRESS, says(TEXT), DONE], [PROGRESS, says("", "", CALL), DONE]),
    ],
)
def test_calls(chunks: list[ChatChunk], expected: list[ChatChunk]) -> None:
    """A content that is a call becomes one, in its place, and nothing else is changed."""
    assert received(chunks) == expected


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [DONE],
        [says(), says("Hi"), DONE],
        [says(HEAD), DONE],
        [says(HEAD, done=True)],
        [says(" \n"), DONE],
        [says(f"{TEXT} is a call."), DONE],
        [says(HEAD), says(logprobs=(NUMBER,)), says("!"), DONE],
        # Thinking behind the text.
        [says(HEAD), says("", "Hm"), says(TAIL), DONE],
        [says(TEXT), says("", "Hm"), DONE],
        [says(TEXT), says("", "Hm")],
        # A message with a call of its own.
        [says(TEXT), says("", "", OWN), DONE],
        [says("", "", OWN), says(TEXT), DONE],
        [says(TEXT, "", OWN, done=True)],
        [says(TEXT), says("", "", OWN)],
        # What is not the assistant's.
        [RESULT],
        [ChatChunk(message=Message("user", TEXT)), DONE],
    ],
)
def test_text(chunks: list[ChatChunk]) -> None:
    """Everything else is passed on, chunk by chunk and unchanged."""
    found = received(chunks)

    assert len(found) == len(chunks)
    assert all(one is other for one, other in zip(found, chunks, strict=True))


AGAIN = Restart("the connection was lost")
NARROW = Restart("lost again", 3, "message")


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([says(HEAD), says(TEXT, restart=AGAIN), DONE], [says("", "", CALL, restart=AGAIN), DONE]),
        ([says(HEAD), says("Hi", restart=AGAIN), DONE], [says("Hi", restart=AGAIN), DONE]),
        (
            [says("Hi"), says(HEAD, restart=AGAIN), says(TAIL), DONE],
            [says("Hi"), says("", "", CALL, restart=AGAIN), DONE],
        ),
        (
            [says("Hi"), says(TEXT, "Hm", restart=AGAIN), DONE],
            [says("Hi"), says("", "Hm", restart=AGAIN), says("", "", CALL), DONE],
        ),
        (
            [says(HEAD), says(TEXT, "Hm", restart=AGAIN, done=True)],
            [says("", "Hm", restart=AGAIN), says("", "", CALL), says(done=True)],
        ),
        ([says(HEAD), says(TEXT, restart=AGAIN, done=True)], [says("", "", CALL, restart=AGAIN), says(done=True)]),
        (
            [says("Hi", restart=AGAIN), says(TEXT, restart=NARROW)],
            [says("Hi", restart=AGAIN), says("", "", CALL, restart=NARROW)],
        ),
        # The wider mark counts, if its own chunk was held back.
        (
            [says("Hi"), says(HEAD, restart=AGAIN), says("Ho", restart=NARROW)],
            [says("Hi"), says("Ho", restart=Restart("lost again", 3))],
        ),
    ],
)
def test_begins_over(chunks: list[ChatChunk], expected: list[ChatChunk]) -> None:
    """Where an answer begins over, what was held back is dropped, and the mark is passed on."""
    assert received(chunks) == expected


@pytest.mark.parametrize(
    ("schema", "text", "is_call"),
    [
        ({}, '{"a": 1}', True),
        ({"parameters": None}, '{"a": 1}', True),
        ({"parameters": {"type": "object"}}, '{"a": 1}', True),
        ({"parameters": {"properties": {"b": {}}, "additionalProperties": {}}}, '{"a": 1}', True),
        ({"parameters": {"properties": {"b": {}}, "additionalProperties": False}}, '{"a": 1}', False),
        ({"parameters": {"properties": {"b": {}}}}, '{"a": 1}', False),
        ({"parameters": {"properties": {"b": {}}}}, '{"b": 1}', True),
        ({"parameters": {"properties": {"b": {}}, "required": ["b"]}}, "{}", True),
        ({"parameters": {"properties": {}}}, '{"a": 1}', False),
    ],
)
def test_schemas(schema: dict[str, Any], text: str, is_call: bool) -> None:
    """The names of the arguments must be those of the schema, if it names any."""
    tool = {"type": "function", "function": {"name": "f"} | schema}
    text = f'{{"name": "f", "arguments": {text}}}'

    for tools in ([tool], [Tool(tool)]):
        [found] = received([says(text)], tools)
        assert bool(found.message.tool_calls) == is_call
        assert found.message.content == ("" if is_call else text)


@pytest.mark.parametrize("tools", [1, [1], [get_time, get_time], [{"name": "f"}]])
def test_refused(tools: Any) -> None:
    """Anything but tools is refused at the call."""
    with pytest.raises(InvalidValueError, match="tools"):
        op.extract_tool_calls(tools)


_PARTS = st.lists(
    st.tuples(st.just("content"), st.sampled_from([TEXT, HEAD, TAIL, "Hi", " ", "<tool_call>", "</tool_call>", "\n"]))
    | st.sampled_from([("thinking", "Hm"), ("call", ""), ("done", ""), ("tool", TEXT)]),
    max_size=8,
)


def chunk_of(kind: str, text: str) -> ChatChunk:
    """Return a chunk with one part of a chat."""
    if kind == "tool":
        return ChatChunk(message=Message("tool", text))
    return says("", "", OWN) if kind == "call" else says(done=True) if kind == "done" else says(**{kind: text})


def responses(chunks: list[ChatChunk]) -> list[ChatResponse]:
    """Return the response of chunks."""
    found: list[ChatResponse] = []
    reactivex.from_iterable(chunks).pipe(op.collect()).subscribe(found.append)
    return found


@given(_PARTS, st.data())
def test_any_cut(parts: list[tuple[str, str]], data: st.DataObject) -> None:
    """However a text is cut, the response is the same, and chunks come as they were, or a call in their place."""
    whole = [chunk_of(*part) for part in parts]
    cut: list[ChatChunk] = []
    for kind, text in parts:
        at = data.draw(st.integers(0, len(text))) if kind in {"content", "thinking"} else len(text)
        cut += [chunk_of(kind, part) for part in ((text[:at], text[at:]) if at < len(text) else (text,))]
    found = received(cut)

    assert responses(received(whole)) == responses(found)
    kept = [chunk for chunk in found if any(chunk is each for each in cut)]
    made = [chunk for chunk in found if not any(chunk is each for each in cut)]
    assert all(chunk.message.tool_calls and not chunk.message.content for chunk in made)
    if not made:
        assert kept == cut


TOOLS = [{"type": "function", "function": {"name": name}} for name in ("get_weather", "get_time", "f")]


@pytest.mark.parametrize("name", recorded_chats())
def test_recorded(name: str) -> None:
    """The answers of a real server pass unchanged: its calls are calls already, and other JSON is text."""
    chunks = recorded(name).chunks

    assert received(chunks, TOOLS) == chunks


def test_in_a_conversation(server: ScriptedOllama, ollama: Ollama) -> None:
    """The tool runs, and the history that is sent back has the call and its result, and not the text."""
    server.enqueue(Reply.answer([HEAD, TAIL]), Reply.answer(["It is ", "noon."]))
    stream = ollama.converse("m", "What time is it?", tools=[get_time], through=op.extract_tool_calls([get_time]))
    response = run(stream.pipe(op.collect()))

    assert response.message.content == "It is noon."
    first, second = (request.json["messages"] for request in server.requests)
    assert second[: len(first)] == first
    asked, told = second[len(first) :]
    assert asked["role"] == "assistant"
    assert not asked.get("content")
    assert [call["function"]["name"] for call in asked["tool_calls"]] == ["get_time"]
    assert asked["tool_calls"][0]["function"]["arguments"] == {"city": "Oslo"}
    assert (told["role"], told["content"], told["tool_name"]) == ("tool", "12:00 in Oslo", "get_time")


def test_several_in_a_conversation(server: ScriptedOllama, ollama: Ollama) -> None:
    """Calls of the same tool are told apart by their places, and each has its result."""
    texts = [f'{{"name": "get_time", "arguments": {{"city": "{city}"}}}}\n' for city in ("Oslo", "Rome", "Oslo")]
    server.enqueue(Reply.answer(texts, thinking="Hm"), Reply.answer(["Noon."]))
    stream = ollama.converse(
        "m",
        "What time is it?",
        tools=[get_time],
        through=reactivex.compose(op.extract_tool_calls([get_time]), op.log()),
    )
    response = run(stream.pipe(op.collect()))

    assert [message.role for message in response.messages] == ["assistant", "tool", "tool", "tool", "assistant"]
    assert response.messages[0].thinking == "Hm"
    asked, *told = server.requests[1].json["messages"][1:]
    assert [call["function"]["arguments"]["city"] for call in asked["tool_calls"]] == ["Oslo", "Rome", "Oslo"]
    assert [each["content"] for each in told] == ["12:00 in Oslo", "12:00 in Rome", "12:00 in Oslo"]


def test_missing_argument_in_a_conversation(server: ScriptedOllama, ollama: Ollama) -> None:
    """A call that lacks an argument is a call, and the model is told what is missing."""
    server.enqueue(Reply.answer(['{"name": "get_time", "arguments": {}}']), Reply.answer(["Sorry."]))
    stream = ollama.converse("m", "What time is it?", tools=[get_time], through=op.extract_tool_calls([get_time]))
    response = run(stream.pipe(op.collect()))

    assert response.message.content == "Sorry."
    assert "city" in server.requests[1].json["messages"][-1]["content"]


def test_a_broken_call_does_not_run(server: ScriptedOllama, ollama: Ollama) -> None:
    """An answer that breaks off behind a call in a text gives the text, then the error; the tool does not run."""
    ran: list[str] = []

    def look(city: str) -> None:
        ran.append(city)

    text = '{"name": "look", "arguments": {"city": "Oslo"}}'
    server.enqueue(Reply.answer([text, " ", " "]).truncated(1))
    heard = Heard(ollama.converse("m", "Hi", tools=[look], through=op.extract_tool_calls([look])))

    assert isinstance(heard.failure, TruncatedError)
    assert text_of(heard.items) == text
    assert ran == []


def test_batches(server: ScriptedOllama, ollama: Ollama) -> None:
    """Prose of a read travels on as one, and gives the same response."""
    words = [f"word{number} " for number in range(500)]
    server.enqueue(Reply.answer(words))
    response = run(ollama.chat("m", "Hi").pipe(op.extract_tool_calls([get_time]), op.collect()))

    assert response.message.content == "".join(words)


def test_begins_over_with_tool_progress() -> None:
    """Chunks that were held back are dropped, even if the new attempt begins with tool progress."""
    progress = Message.tool("", call=OWN)
    begins = ChatChunk(message=progress, tool_progress="Half", restart=Restart("lost"))

    assert received([says("Yes"), says(done=True), says(HEAD), begins, says("No")]) == [
        says("Yes"),
        says(done=True),
        begins,
        says("No"),
    ]
