"""What joins the history of a conversation when."""

from __future__ import annotations

import threading

import pytest
from conversation_cases import ANSWER, CALL, OTHER, PARTS, ByHand, get_time, goes_on, is_result, remembered, sent
from heard import PATIENCE, Heard, text_of
from reactivex import operators as rx

from rxollama import ChatChunk, Conversation, Message, Ollama, run
from rxollama import operators as op
from rxollama.errors import ServerFailureError, TooManyRoundsError, TruncatedError
from rxollama.testing import Reply, ScriptedOllama
from rxollama.tools import Tool


class TestJoining:
    """What joins the history when."""

    def test_before_the_completion(self, server: ScriptedOllama, ollama: Ollama) -> None:
        """At the completion the turn is in the history, and the next prompt may be sent from there."""
        conversation = Conversation(ollama, "m")
        server.always(ANSWER)
        again: Heard[ChatChunk] = Heard()

        def send_again() -> None:
            conversation.send("And?").subscribe(again.on_next, again.on_error, again.on_completed)

        conversation.send("Hi").subscribe(on_completed=send_again)
        again.wait()

        assert sent(server.requests[1]) == ["Hi", "Hello there.", "And?"]
        assert len(conversation.turns) == 2

    @pytest.mark.parametrize(("keep", "kept"), [(False, []), (True, ["Hi", "ab"])])
    def test_broken_off(self, server: ScriptedOllama, ollama: Ollama, keep: bool, kept: list[str]) -> None:
        """The part of a failed answer joins if it is asked for, before the error is passed on."""
        conversation = Conversation(ollama, "m", keep_unfinished=keep)
        server.enqueue(PARTS.truncated(2))
        found: list[list[str]] = []
        heard = Heard(
            conversation.send("Hi").pipe(rx.do_action(on_error=lambda _: found.append(remembered(conversation))))
        )

        assert isinstance(heard.failure, TruncatedError)
        assert found == [kept]
        assert [turn.done for turn in conversation.turns] == [False] * keep

    @pytest.mark.parametrize("keep", [False, True])
    def test_refused(self, server: ScriptedOllama, ollama: Ollama, keep: bool) -> None:
        """A request that fails before the first chunk leaves no trace."""
        conversation = Conversation(ollama, "m", keep_unfinished=keep)
        server.enqueue(Reply.error(500, {"error": "out of memory"}))

        assert isinstance(Heard(conversation.send("Hi")).failure, ServerFailureError)
        assert conversation.turns == ()

    @pytest.mark.parametrize(("keep", "kept"), [(False, []), (True, ["Hi", "ab"])])
    def test_disposed(self, server: ScriptedOllama, ollama: Ollama, keep: bool, kept: list[str]) -> None:
        """When `dispose` returns, the history is settled and the request is closed."""
        conversation = Conversation(ollama, "m", keep_unfinished=keep)
        server.enqueue(PARTS.stalled(2))
        heard = Heard(conversation.send("Hi")).wait_items(2)
        heard.dispose()

        assert remembered(conversation) == kept
        server.requests[0].wait_left()
        assert remembered(conversation) == kept

    def test_disposed_before_anything(self, server: ScriptedOllama, ollama: Ollama) -> None:
        """Disposing before the first chunk leaves no trace."""
        conversation = Conversation(ollama, "m", keep_unfinished=True)
        server.enqueue(PARTS.stalled(0))
        heard = Heard(conversation.send("Hi"))
        server.wait_for(1)
        heard.dispose()

        assert conversation.turns == ()

    def test_disposed_at_the_last_chunk(self, server: ScriptedOllama, ollama: Ollama) -> None:
        """A whole answer joins before its last chunk is passed on, so it may be disposed there."""
        conversation = Conversation(ollama, "m")
        server.enqueue(PARTS)
        run(conversation.send("Hi").pipe(rx.take_while(goes_on, inclusive=True)))

        assert remembered(conversation) == ["Hi", "abc"]
        assert conversation.turns[0].done

    def test_disposed_by_an_operator(self, server: ScriptedOllama, ollama: Ollama) -> None:
        """An operator that takes only a part leaves no trace."""
        conversation = Conversation(ollama, "m")
        server.enqueue(PARTS)

        assert run(conversation.send("Hi").pipe(op.content(), rx.take(1))) == "a"
        assert conversation.turns == ()

    @pytest.mark.parametrize("keep", [False, True])
    def test_a_tool_without_a_result(self, server: ScriptedOllama, ollama: Ollama, keep: bool) -> None:
        """Tool calls without a result do not join."""
        go_on, started, threads = threading.Event(), threading.Event(), list[threading.Thread]()

        def slow(city: str) -> str:
            threads.append(threading.current_thread())
            if city == "Rome":
                started.set()
                go_on.wait(PATIENCE)
            return f"noon in {city}"

        conversation = Conversation(ollama, "m", tools=[Tool(slow, name="get_time")], keep_unfinished=keep)
        server.enqueue(Reply.answer("Let me see.", tool_calls=[CALL, OTHER]))
        heard = Heard(conversation.send("Hi").pipe(rx.filter(is_result))).wait_items(1)
        assert started.wait(PATIENCE)
        heard.dispose()
        go_on.set()
        for thread in threads:
            thread.join(PATIENCE)

        assert remembered(conversation) == (["Hi", "Let me see.", "noon in Oslo"] if keep else [])
        assert not keep or len(conversation.messages[1].tool_calls) == 1

    def test_too_many_rounds(self, server: ScriptedOllama, ollama: Ollama) -> None:
        """Finished rounds join if they are asked for, without the calls of the last round."""
        conversation = Conversation(ollama, "m", tools=[get_time], max_rounds=2, keep_unfinished=True)
        server.always(Reply.answer(tool_calls=[CALL]))

        assert isinstance(Heard(conversation.send("Hi")).failure, TooManyRoundsError)
        assert remembered(conversation) == ["Hi", "", "noon in Oslo"]

    def test_loading(self, server: ScriptedOllama, ollama: Ollama) -> None:
        """Loading the model is not a turn."""
        conversation = Conversation(ollama, "m")
        server.enqueue(Reply.answer(done_reason="load"))
        run(conversation.send("Hi"))

        assert conversation.turns == ()

    def test_nothing_came(self, server: ScriptedOllama, ollama: Ollama) -> None:
        """An answer without a chunk is not a turn."""
        conversation = Conversation(ollama, "m", through=rx.take(0))
        server.enqueue(ANSWER)

        assert Heard(conversation.send("Hi")).wait().completed
        assert conversation.turns == ()

    def test_ended_early(self, server: ScriptedOllama, ollama: Ollama) -> None:
        """An answer that `through` ends early joins, and is not done."""
        conversation = Conversation(ollama, "m", through=rx.take(2))
        server.enqueue(PARTS)
        Heard(conversation.send("Hi")).wait()

        assert remembered(conversation) == ["Hi", "ab"]
        assert not conversation.turns[0].done

    def test_failing_subscriber(self, server: ScriptedOllama, ollama: Ollama) -> None:
        """A subscriber that raises gets its own error, and nothing joins."""
        conversation = Conversation(ollama, "m")
        server.enqueue(PARTS)
        mine = KeyError("mine")

        def fail(_: ChatChunk) -> None:
            raise mine

        assert Heard(conversation.send("Hi"), fail).failure is mine
        assert conversation.turns == ()

    def test_chunk_after_the_whole_answer(self) -> None:
        """A chunk after a whole answer is passed on and does not join."""
        client = ByHand()
        conversation = Conversation(client, "m", keep_unfinished=True)
        heard = Heard(conversation.send("Hi"))
        client.observers[0].on_next(ChatChunk(message=Message.assistant("a"), done=True))
        client.observers[0].on_next(ChatChunk(message=Message.assistant("b")))
        heard.dispose()

        assert text_of(heard.items) == "ab"
        assert remembered(conversation) == ["Hi", "a"]

    def test_chunk_after_dispose(self) -> None:
        """A chunk that comes after dispose is neither passed on nor remembered."""
        client = ByHand()
        conversation = Conversation(client, "m", keep_unfinished=True)
        heard = Heard(conversation.send("Hi"))
        client.observers[0].on_next(ChatChunk(message=Message.assistant("a")))
        heard.dispose()
        client.observers[0].on_next(ChatChunk(message=Message.assistant("b")))

        assert text_of(heard.items) == "a"
        assert remembered(conversation) == ["Hi", "a"]
