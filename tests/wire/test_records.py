"""The readers of one line or one body of JSON."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_cases import chat, decode, failure_of, slices

from rxollama._wire import (
    CHAT,
    GENERATE,
    PROGRESS,
    BodyDecoder,
    Kind,
    LineDecoder,
    read_body,
    read_models,
    read_nothing,
    read_running,
    read_version,
)
from rxollama.errors import ProtocolError, ReportedError, TruncatedError
from rxollama.messages import (
    ChatChunk,
    Embeddings,
    Function,
    Logprob,
    Message,
    ModelCard,
    ModelDetails,
    ModelEntry,
    Progress,
    RunningModel,
    TokenLogprob,
    ToolCall,
)

_END = b'{"done":true}\n'


def _one(line: bytes | str, kind: Kind[Any] = CHAT) -> Any:
    """Return the first record of a stream."""
    line = line.encode() if isinstance(line, str) else line
    decoder = LineDecoder(kind)
    [record] = decoder.feed(line + b"\n")
    assert decoder.failure is None
    return record


class TestChat:
    """Records of `/api/chat`."""

    def test_chunks_in_every_order(self) -> None:
        """Thinking, content, thinking again, a call and the end are five chunks in this order."""
        body = (
            b'{"message":{"role":"assistant","content":"","thinking":"Hm."}}\n'
            b'{"message":{"role":"assistant","content":"It is "}}\n'
            b'{"message":{"role":"assistant","content":"","thinking":"cold?"}}\n'
            b'{"message":{"content":"","tool_calls":[{"function":{"index":0,"name":"look","arguments":{}}}]}}\n' + _END
        )

        assert [
            Message("assistant", thinking="Hm."),
            Message("assistant", "It is "),
            Message("assistant", thinking="cold?"),
            Message(tool_calls=(ToolCall(Function("look", {}, 0)),)),
            Message(),
        ] == [chunk.message for chunk in chat(body)]

    def test_thinking_and_content_in_one_chunk(self) -> None:
        """A chunk may have the end of the thinking and the beginning of the content."""
        message = _one('{"message":{"role":"assistant","content":"Four","thinking":" four."},"done":false}').message

        assert Message("assistant", "Four", " four.") == message

    def test_end_with_content_and_calls(self) -> None:
        """The last chunk may have content and calls, whose numbers stay exact."""
        call = '{"id":"call_1","function":{"index":0,"name":"f","arguments":{"n":123456789012345678901234567890}}}'
        chunk = _one(f'{{"message":{{"content":"Bye","tool_calls":[{call}]}},"done":true,"done_reason":"stop"}}')

        assert (
            ChatChunk(
                message=Message(
                    content="Bye",
                    tool_calls=(ToolCall(Function("f", {"n": 123456789012345678901234567890}, 0), "call_1"),),
                ),
                done=True,
                done_reason="stop",
            )
            == chunk
        )

    def test_parallel_calls_of_one_index(self) -> None:
        """Calls that share an index stay separate, with an id and without."""
        function = '{"index":0,"name":"roll","arguments":{"sides":6}}'
        chunk = _one(f'{{"message":{{"tool_calls":[{{"id":"a","function":{function}}},{{"function":{function}}}]}}}}')
        same = Function("roll", {"sides": 6}, 0)

        assert (ToolCall(same, "a"), ToolCall(same)) == chunk.message.tool_calls

    def test_chunks_without_words(self) -> None:
        """Chunks with empty content, also with only logprobs, are chunks."""
        logprob = '{"token":"é","logprob":-0.5,"bytes":[195,169],"top_logprobs":[{"token":"e","logprob":-1}]}'
        body = (
            '{"message":{"role":"assistant","content":""},"done":false}\n'
            f'{{"message":{{"role":"assistant","content":""}},"done":false,"logprobs":[{logprob}]}}\n'
        )
        empty, silent, _ = chat(body.encode() + _END)

        assert ChatChunk(message=Message("assistant")) == empty
        assert Message("assistant") == silent.message
        assert (Logprob("é", -0.5, (195, 169), (TokenLogprob("e", -1.0),)),) == silent.logprobs

    @pytest.mark.parametrize("reason", ["load", "unload"])
    def test_load_and_unload(self, reason: str) -> None:
        """The response to a request without messages is one done chunk, without a newline."""
        body = (
            '{"model":"m","created_at":"2026-01-01T00:00:00Z",'
            f'"message":{{"role":"assistant","content":""}},"done":true,"done_reason":"{reason}"}}'
        )

        assert [
            ChatChunk(
                model="m",
                created_at="2026-01-01T00:00:00Z",
                message=Message("assistant"),
                done=True,
                done_reason=reason,
            )
        ] == chat(body.encode())

    @pytest.mark.parametrize("message", ['"message":{"role":"assistant","content":""},', ""])
    @pytest.mark.parametrize("kind", [CHAT, GENERATE])
    def test_rendered_prompt(self, kind: Kind[ChatChunk], message: str) -> None:
        """The response to a request for the rendered prompt ends the stream without `done`."""
        body = f'{{{message}"done":false,"_debug_info":{{"rendered_template":"Hi","image_count":null}}}}'.encode()
        records, failure = decode(LineDecoder(kind), [body])

        assert failure is None
        assert [{"rendered_template": "Hi", "image_count": None}] == [chunk.debug_info for chunk in records]
        assert not records[0].done

    @pytest.mark.parametrize("line", [b'{"done":true}', b'{"done":true,"message":null,"eval_count":null}'])
    def test_end_without_message_and_numbers(self, line: bytes) -> None:
        """The last chunk may lack the message and the numbers."""
        assert [ChatChunk(done=True)] == chat(line)

    def test_record_that_is_not_done_and_silent(self) -> None:
        """A chunk without a message that is not done is an empty chunk."""
        assert ChatChunk(model="m") == _one('{"model":"m","done":false}')

    def test_unknown_reason_and_keys(self) -> None:
        """An unknown done reason is kept, and unknown keys are ignored at every level."""
        chunk = _one(
            '{"message":{"content":"x","mood":{"deep":[1]}},"done":true,"done_reason":"tired","load_progress":0.5}'
        )

        assert ChatChunk(message=Message(content="x"), done=True, done_reason="tired") == chunk

    @pytest.mark.parametrize(
        "created_at",
        [
            "2026-01-02T03:04:05Z",
            "2026-01-02T03:04:05.123456Z",
            "2026-01-02T03:04:05.1234567Z",
            "2026-01-02T03:04:05.123456789Z",
            "2026-01-02T03:04:05.123456789-07:00",
            "0001-01-01T00:00:00Z",
            "",
        ],
    )
    def test_created_at(self, created_at: str) -> None:
        """The timestamp of a record is kept as the server wrote it."""
        assert created_at == _one(f'{{"created_at":"{created_at}","message":{{"content":"x"}}}}').created_at

    def test_created_at_of_another_type(self) -> None:
        """A timestamp that is a number becomes a str."""
        assert "1767322800" == _one('{"created_at":1767322800,"message":{"content":"x"}}').created_at

    def test_nulls_for_what_is_absent(self) -> None:
        """A null stands for an absent value, at every level except in the arguments of a call."""
        line = (
            '{"model":null,"created_at":null,"done":null,"done_reason":null,"logprobs":null,"total_duration":null,'
            '"remote_host":null,"prompt_eval_cached_count":null,"_debug_info":null,"message":{"role":null,'
            '"content":null,"thinking":null,"images":null,"tool_name":null,"tool_call_id":null,"tool_calls":'
            '[{"id":null,"function":{"index":null,"name":"f","arguments":{"a":null,"b":[null]}}},{"function":null}]}}'
        )
        calls = (ToolCall(Function("f", {"a": None, "b": [None]})), ToolCall())

        assert ChatChunk(message=Message(tool_calls=calls)) == _one(line)

    def test_null_arguments(self) -> None:
        """A call whose arguments are null has no arguments."""
        assert (
            {}
            == _one('{"message":{"tool_calls":[{"function":{"name":"f","arguments":null}}]}}')
            .message.tool_calls[0]
            .arguments
        )

    def test_numbers_in_other_clothes(self) -> None:
        """Numbers as floats or texts are read if nothing is lost."""
        assert ChatChunk(done=True, eval_count=12, eval_duration=7) == _one(
            '{"done":1,"eval_count":12.0,"eval_duration":"7"}'
        )

    def test_bytes_that_are_no_text(self) -> None:
        """Bytes that are not UTF-8 are replaced as in Go, and the rest is kept."""
        assert "a\ufffdb" == _one(b'{"message":{"content":"a\xffb"},"done":false}').message.content

    def test_error_that_is_no_error(self) -> None:
        """An error that is null or empty is not a failure, nor is the word as a text or an argument."""
        assert "x" == _one('{"error":null,"message":{"content":"x"}}').message.content
        assert "x" == _one('{"error":"","message":{"content":"x"}}').message.content
        assert "error" == _one('{"message":{"content":"error"}}').message.content
        assert {"error": "e"} == _one(
            '{"message":{"tool_calls":[{"function":{"name":"f","arguments":{"error":"e"}}}]}}'
        ).message.tool_calls[0].arguments

    @pytest.mark.parametrize("line", [b'{"error":"x"}', b'{"\\u0065rror":"x"}', b'{"error":"x","message":{}}'])
    def test_error_record(self, line: bytes) -> None:
        """A record with an error is a failure, however its key is escaped."""
        failure = failure_of(LineDecoder(CHAT), line)

        assert isinstance(failure, ReportedError)
        assert "x" == failure.detail

    def test_record_that_is_a_call_failure_of_an_old_server(self) -> None:
        """An object without message, done and error is a failure that does not show the object."""
        failure = failure_of(LineDecoder(CHAT), b'{"error parsing tool call":"raw words"}\n')

        assert isinstance(failure, ProtocolError)
        assert "raw words" not in str(failure)

    @pytest.mark.parametrize(
        "line",
        [
            b'{"message":"text"}',
            b'{"message":{"content":5}}',
            b'{"message":{"content":["part"]}}',
            b'{"message":{"tool_calls":{}}}',
            b'{"message":{"tool_calls":[null]}}',
            b'{"message":{"tool_calls":[{"function":{"arguments":"{}"}}]}}',
            b'{"message":{"images":["no base64!"]}}',
            b'{"message":{},"done":"maybe"}',
            b'{"done":true,"eval_count":1.5}',
            b'{"done":true,"eval_count":1e400}',
            b'{"message":{"content":"\\ud800"}}',
        ],
    )
    def test_wrong_types(self, line: bytes) -> None:
        """A value of a wrong type is a failure that names its place and shows nothing else of the record."""
        failure = failure_of(LineDecoder(CHAT), line + b"\n")

        assert isinstance(failure, ProtocolError)
        assert "a wrong value at $." in str(failure) or "not a JSON object" in str(failure)
        assert not any(
            word in str(failure) for word in ("text", "part", "base64", "maybe", "1.5")
        ) or "not a JSON object" in str(failure)

    @pytest.mark.parametrize(
        "line", ['{"message":{"content":"x"},%s}', '{"done":true,%s}', '{"error":null,"done":0,%s}']
    )
    @pytest.mark.parametrize("key", ["(client)", "\\u0028client)"])
    def test_fields_of_the_client(self, line: str, key: str) -> None:
        """No key of a server's record sets a field of the client."""
        own = f'"{key}":{{"wall_duration":1,"chunk_count":7}},"(tool_failed)":true,"client":{{}},"tool_failed":true'
        chunk = _one(line % own)

        assert chunk.client is None
        assert not chunk.tool_failed

    @pytest.mark.parametrize("depth", [100, 400, 700, 1000])
    def test_deep_nesting(self, depth: int) -> None:
        """Deep nesting is ignored under unknown keys, or is a failure."""
        deep = '{"x":' * depth + "null" + "}" * depth
        decoder = LineDecoder(CHAT)
        records = decoder.feed(f'{{"message":{{"content":"x"}},"done":null,"extra":{deep}}}\n'.encode())

        assert [ChatChunk(message=Message(content="x"))] == records or isinstance(decoder.failure, ProtocolError)

    def test_moderate_nesting(self) -> None:
        """Deeply nested arguments are read, also beside nulls."""
        deep: Any = {"leaf": None}
        for _ in range(50):
            deep = {"x": [deep]}
        record = {"model": None, "message": {"tool_calls": [{"function": {"name": "f", "arguments": deep}}]}}

        assert deep == _one(msgspec.json.encode(record)).message.tool_calls[0].arguments


class TestGenerate:
    """Records of `/api/generate`."""

    def test_chunk(self) -> None:
        """The texts at the top of a record become the message of its chunk."""
        chunk = _one('{"model":"m","created_at":"t","response":"Hi","thinking":"Hm","done":false}', GENERATE)

        assert ChatChunk(model="m", created_at="t", message=Message("assistant", "Hi", "Hm")) == chunk

    def test_end(self) -> None:
        """The last record has its numbers and calls, and the deprecated token ids are ignored."""
        chunk = _one(
            '{"response":"","done":true,"done_reason":"stop","context":[1,2],"eval_count":3,'
            '"tool_calls":[{"id":"a","function":{"index":0,"name":"f","arguments":{}}}]}',
            GENERATE,
        )
        message = Message("assistant", tool_calls=(ToolCall(Function("f", {}, 0), "a"),))

        assert ChatChunk(message=message, done=True, done_reason="stop", eval_count=3) == chunk

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ('{"done":true}', Message()),
            ('{"done":false}', Message()),
            ('{"response":null,"done":true}', Message()),
            ('{"response":"","done":false}', Message("assistant")),
            ('{"thinking":"Hm","done":false}', Message("assistant", thinking="Hm")),
            ('{"response":null,"thinking":"Hm"}', Message("assistant", thinking="Hm")),
            ('{"tool_calls":[{"id":"a"}]}', Message("assistant", tool_calls=(ToolCall(id="a"),))),
            ('{"message":{"content":"no"},"response":"yes"}', Message("assistant", "yes")),
            ('{"message":{"content":"no"},"response":"yes","done":null}', Message("assistant", "yes")),
        ],
    )
    def test_message(self, line: str, message: Message) -> None:
        """The role is the assistant's if a record has text or calls, and empty otherwise."""
        assert message == _one(line, GENERATE).message

    def test_record_of_a_chat(self) -> None:
        """A record of `/api/chat` is not one of `/api/generate`."""
        assert isinstance(failure_of(LineDecoder(GENERATE), b'{"message":{"content":"x"}}\n'), ProtocolError)

    def test_wrong_types(self) -> None:
        """A value of a wrong type is a failure."""
        assert isinstance(failure_of(LineDecoder(GENERATE), b'{"response":5}\n'), ProtocolError)


class TestProgress:
    """Records of `/api/pull`, `/api/push` and `/api/create`."""

    @pytest.mark.parametrize(
        ("line", "progress"),
        [
            ('{"status":"pulling manifest"}', Progress(status="pulling manifest")),
            (
                '{"status":"a","digest":"d","total":9,"completed":3}',
                Progress(status="a", digest="d", total=9, completed=3),
            ),
            ('{"status":"a","total":null}', Progress(status="a")),
            ('{"status":""}', Progress()),
            ('{"status":"success"}', Progress(status="success")),
        ],
    )
    def test_record(self, line: str, progress: Progress) -> None:
        """A record is read with all its fields."""
        assert progress == _one(line, PROGRESS)

    def test_error_record(self) -> None:
        """An error after progress sets the failure."""
        failure = failure_of(LineDecoder(PROGRESS), b'{"status":"pulling manifest"}\n{"error":"no such model"}')

        assert isinstance(failure, ReportedError)
        assert "no such model" == failure.detail


class TestBodies:
    """Bodies that are one value."""

    def test_embeddings(self) -> None:
        """Vectors are read, also with integers in them, and unknown keys are ignored."""
        body = b'{"model":"m","embeddings":[[0.5,1],[-1,0]],"total_duration":null,"new":1}'

        assert Embeddings(model="m", embeddings=((0.5, 1.0), (-1.0, 0.0))) == read_body(Embeddings)(body)

    def test_hole_in_a_vector(self) -> None:
        """A vector with a null is a failure, because its positions matter."""
        with pytest.raises(ProtocolError):
            read_body(Embeddings)(b'{"embeddings":[[0.5,null]]}')

    def test_card(self) -> None:
        """Nulls stand for absent values, except within the metadata."""
        body = b'{"template":"t","details":{"families":null,"family":"llama"},"model_info":{"a":null},"tensors":null}'

        assert ModelCard(template="t", details=ModelDetails(family="llama"), model_info={"a": None}) == read_body(
            ModelCard
        )(body)

    def test_models(self) -> None:
        """The list of models is read, and null is an empty list."""
        assert (ModelEntry(name="a", size=3),) == read_models(b'{"models":[{"name":"a","size":3,"details":null}]}')
        assert () == read_models(b'{"models":null}')

    def test_running(self) -> None:
        """The list of running models is read."""
        assert (RunningModel(name="a", size_vram=3),) == read_running(b'{"models":[{"name":"a","size_vram":3}]}')

    def test_version(self) -> None:
        """The version is read."""
        assert "0.33.0" == read_version(b'{"version":"0.33.0"}')

    @pytest.mark.parametrize("body", [b"{}", b'{"object":"list","data":[]}', b"[]", b"", b"Ollama is running"])
    def test_list_of_another_server(self, body: bytes) -> None:
        """A body of another server is a failure, not an empty list."""
        with pytest.raises(ProtocolError):
            read_models(body)

    @pytest.mark.parametrize("body", [b'{"version":null}', b'{"version":5}'])
    def test_version_that_is_none(self, body: bytes) -> None:
        """A version that is not a str is a failure."""
        with pytest.raises(ProtocolError):
            read_version(body)

    @pytest.mark.parametrize("body", [b"", b" \n", b"{}", b'{"anything":1}'])
    def test_nothing(self, body: bytes) -> None:
        """The response of a call without a result is empty, or any object."""
        decoder = BodyDecoder(read_nothing)
        decoder.feed(body)

        assert [None] == decoder.flush()
        assert decoder.failure is None

    def test_error_in_place_of_nothing(self) -> None:
        """An error instead of the result is the failure."""
        with pytest.raises(ReportedError, match="no such model"):
            read_nothing(b'{"error":"no such model"}')


class TestDoneReason:
    """A `done_reason` without `done` ends the answer."""

    @pytest.mark.parametrize("done", ["", ',"done":false', ',"done":null'])
    @pytest.mark.parametrize(
        ("kind", "text"), [(CHAT, '"message":{"role":"assistant","content":"Bye"}'), (GENERATE, '"response":"Bye"')]
    )
    def test_without_done(self, kind: Kind[ChatChunk], text: str, done: str) -> None:
        """The record is done, and the last of its stream, however the body is cut."""
        body = f'{{{text}{done},"done_reason":"stop","eval_count":2}}\n'.encode()
        expected = ChatChunk(message=Message("assistant", "Bye"), done=True, done_reason="stop", eval_count=2)

        for pieces in ([body], [body, b"<html>"], [body[:-1]], slices(body, 1)):
            assert decode(LineDecoder(kind), pieces) == ([expected], None)

    @pytest.mark.parametrize("kind", [CHAT, GENERATE])
    def test_alone(self, kind: Kind[ChatChunk]) -> None:
        """No other key is needed."""
        [chunk], failure = decode(LineDecoder(kind), [b'{"done_reason":"length"}'])

        assert (ChatChunk(done=True, done_reason="length"), None) == (chunk, failure)

    @pytest.mark.parametrize("reason", ['""', "null"])
    def test_empty(self, reason: str) -> None:
        """An empty reason ends nothing."""
        body = f'{{"message":{{"content":"Hi"}},"done":false,"done_reason":{reason}}}\n'.encode() * 2
        records, failure = decode(LineDecoder(CHAT), [body])

        assert [False, False] == [record.done for record in records]
        assert failure is not None
        assert TruncatedError is failure[0]

    def test_not_a_text(self) -> None:
        """A reason that is not a text is a failure."""
        decoder = LineDecoder(CHAT)
        decoder.feed(b'{"message":{"content":"Hi"},"done_reason":7}\n')

        assert isinstance(decoder.failure, ProtocolError)


@given(
    keys=st.lists(
        st.tuples(
            st.sampled_from([*ChatChunk.__struct_encode_fields__, "client", "tool_failed", "error", "response"]),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.text(max_size=3),
                lambda inner: (
                    st.lists(inner, max_size=2)
                    | st.dictionaries(
                        st.sampled_from(["content", "role", "images", "tool_calls", "function", "arguments", "id"]),
                        inner,
                        max_size=3,
                    )
                ),
                max_leaves=4,
            ),
        ),
        max_size=5,
    ),
    kind=st.sampled_from([CHAT, GENERATE]),
)
@settings(max_examples=300, deadline=None)
def test_any_values_under_known_keys(keys: list[tuple[str, Any]], kind: Kind[ChatChunk]) -> None:
    """Any values under the known keys, some of them twice, give a chunk without the client's fields, or a failure."""
    pairs = b",".join(msgspec.json.encode(key) + b":" + msgspec.json.encode(value) for key, value in keys)
    decoder = LineDecoder(kind)
    records = decoder.feed(b"{" + pairs + b"}\n")

    assert (len(records), decoder.failure is not None) in {(1, False), (0, True)}
    assert all(record.client is None and not record.tool_failed for record in records)
