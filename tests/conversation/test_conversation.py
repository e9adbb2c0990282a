"""Conversations with a scripted server: what is sent, and several answers at once."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from conversation_cases import ANSWER, CALL, get_time, remembered, sent
from heard import PATIENCE, Heard, text_of

from rxollama import ChatChunk, Conversation, Message, Ollama, run
from rxollama import operators as op
from rxollama.conversation import Turn
from rxollama.errors import InvalidValueError
from rxollama.messages import Metrics
from rxollama.testing import Reply, ScriptedOllama


class TestSend:
    """What is sent, and what joins the history."""

    def test_history(self, server: ScriptedOllama, ollama: Ollama) -> None:
        """A request has the system prompt, the history and the prompt. The history grows by a turn."""
        conversation = Conversation(ollama, "m", system="Be brief.", think=False, options={"seed": 1})
        server.enqueue(Reply.answer("One."), Reply.answer("Two."))
        first = run(conversation.send("1").pipe(op.collect()))
        run(conversation.send(Message.user("2")))

        assert sent(server.requests[1]) == ["Be brief.", "1", "One.", "2"]
        assert [message["role"] for message in server.requests[1].json["messages"]][:2] == ["system", "user"]
        assert server.requests[1].json["options"] == {"seed": 1}
        assert remembered(conversation) == ["1", "One.", "2", "Two."]
        assert [turn.prompt.content for turn in conversation.turns] == ["1", "2"]
        assert conversation.turns[0] == Turn((Message.user("1"), *first.messages), metrics=first.metrics)

    async def test_await(self, server: ScriptedOllama, ollama: Ollama) -> None:
        """`await` gives the final message of a turn with tools, and the history has all messages."""
        conversation = Conversation(ollama, "m", tools=[get_time])
        server.enqueue(Reply.answer("Let me see.", tool_calls=[CALL]), Reply.answer("Noon."))
        answer = await conversation.send("What time is it in Oslo?")

        assert (answer.message.content, answer.done) == ("Noon.", True)
        assert remembered(conversation)[1:] == ["Let me see.", "noon in Oslo", "Noon."]

    def test_loop(self, server: ScriptedOllama, ollama: Ollama) -> None:
        """A `for` loop over an answer gives its chunks."""
        conversation = Conversation(ollama, "m")
        server.enqueue(ANSWER)

        assert text_of(list(conversation.send("Hi"))) == "Hello there."
        assert remembered(conversation) == ["Hi", "Hello there."]

    def test_cold(self, server: ScriptedOllama, ollama: Ollama) -> None:
        """Each subscription is a turn, and reads the history at that moment."""
        conversation = Conversation(ollama, "m")
        server.always(ANSWER)
        prompt = conversation.send("Hi")
        assert server.wait_for(0) == ()
        run(prompt)
        run(prompt)

        assert sent(server.requests[1]) == ["Hi", "Hello there.", "Hi"]

    def test_images(self, server: ScriptedOllama, ollama: Ollama) -> None:
        """A str prompt may have images, and a Message has its own."""
        conversation = Conversation(ollama, "m")
        server.always(ANSWER)
        run(conversation.send("What is this?", images=[b"hello"]))
        run(conversation.send(Message.user("And this?", images=[b"hello"])))

        images = [message.get("images") for message in server.requests[1].json["messages"]]
        assert images == [["aGVsbG8="], None, ["aGVsbG8="]]

    def test_tools(self, server: ScriptedOllama, ollama: Ollama) -> None:
        """A turn has tool calls and results, which are sent again. Its metrics are of all rounds."""
        conversation = Conversation(ollama, "m", tools=[get_time])
        server.enqueue(Reply.answer(thinking="Look.", tool_calls=[CALL]), Reply.answer("Noon."), ANSWER)
        run(conversation.send("What time is it in Oslo?"))
        run(conversation.send("Thanks."))

        assert [message.role for message in conversation.turns[0].messages] == [
            "user",
            "assistant",
            "tool",
            "assistant",
        ]
        assert sent(server.requests[2]) == ["What time is it in Oslo?", "", "noon in Oslo", "Noon.", "Thanks."]
        assert len(conversation.turns[0].metrics.rounds) == 2
        assert conversation.metrics.tool_result_count == 1
        assert len(conversation.metrics.rounds) == 3

    def test_limits(self, server: ScriptedOllama, ollama: Ollama) -> None:
        """Turns that are left out of a request are still remembered."""
        conversation = Conversation(ollama, "m", system="Be brief.", max_messages=3)
        server.always(Reply.answer("Yes."))
        for prompt in "123":
            run(conversation.send(prompt))

        assert sent(server.requests[2]) == ["Be brief.", "2", "Yes.", "3"]
        assert remembered(conversation) == ["1", "Yes.", "2", "Yes.", "3", "Yes."]

    def test_limit_of_tokens(self, server: ScriptedOllama, ollama: Ollama) -> None:
        """The estimate of tokens is adjusted to the server's count."""
        conversation = Conversation(ollama, "m", max_tokens=40)
        server.enqueue(*[Reply.answer("Yes.", prompt_eval_count=count) for count in (5, 15, 500, 25)])
        for prompt in "1234":
            run(conversation.send(prompt))

        assert [len(sent(seen)) for seen in server.requests] == [1, 3, 5, 1]

    def test_given_history(self, server: ScriptedOllama, ollama: Ollama) -> None:
        """A history may be given as values or in Ollama's shape."""
        conversation = Conversation(ollama, "m", messages=[{"role": "user", "content": "Hi"}, Message.assistant("Oh.")])
        server.enqueue(ANSWER)
        run(conversation.send("Well?"))

        assert sent(server.requests[0]) == ["Hi", "Oh.", "Well?"]
        assert conversation.turns[0] == Turn((Message.user("Hi"), Message.assistant("Oh.")))
        assert conversation.turns[0].metrics == Metrics()


class TestTogether:
    """Several answers in progress, forks, and undo."""

    def test_at_the_same_time(self, server: ScriptedOllama, ollama: Ollama) -> None:
        """Each answer reads the history when it is subscribed, and joins when it is whole."""
        conversation = Conversation(ollama, "m", messages=[Message.user("0"), Message.assistant("Zero.")])
        server.enqueue(Reply.answer(["O", "ne."]).slow(1.0), Reply.answer("Two."))
        slow = Heard(conversation.send("1"))
        server.wait_for(1)
        Heard(conversation.send("2")).wait()
        assert remembered(conversation)[2:] == ["2", "Two."]
        slow.wait()

        assert [sent(seen) for seen in server.requests] == [["0", "Zero.", "1"], ["0", "Zero.", "2"]]
        assert remembered(conversation)[2:] == ["2", "Two.", "1", "One."]

    def test_many_threads(self, server: ScriptedOllama, ollama: Ollama) -> None:
        """Answers that end at the same time in many threads all join."""
        conversation = Conversation(ollama, "m")
        server.always(ANSWER)
        threads = [threading.Thread(target=run, args=(conversation.send(str(number)),)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)

        assert sorted(int(turn.prompt.content) for turn in conversation.turns) == list(range(20))

    def test_from_within(self, server: ScriptedOllama, ollama: Ollama) -> None:
        """A subscriber may use the conversation while it is called."""
        conversation = Conversation(ollama, "m", messages="0")
        server.enqueue(ANSWER)
        undone: list[Turn | None] = []

        def each(chunk: ChatChunk) -> None:
            if not chunk.done:
                undone.append(conversation.fork().undo())
                conversation.undo()

        Heard(conversation.send("Hi"), each).wait()

        assert undone == [Turn((Message.user("0"),)), None]
        assert remembered(conversation) == ["Hi", "Hello there."]

    def test_fork(self, server: ScriptedOllama, ollama: Ollama) -> None:
        """A fork has the history and is independent. An answer in progress joins the original."""
        conversation = Conversation(ollama, "m", system="Be brief.", messages="0")
        server.enqueue(Reply.answer(["O", "ne."]).slow(1.0), Reply.answer("Two."))
        heard = Heard(conversation.send("1"))
        server.wait_for(1)
        fork = conversation.fork()
        run(fork.send("2"))
        heard.wait()

        assert sent(server.requests[1]) == ["Be brief.", "0", "2"]
        assert remembered(conversation) == ["0", "1", "One."]
        assert remembered(fork) == ["0", "2", "Two."]

    def test_undo(self, ollama: Ollama) -> None:
        """The last turn is removed and returned whole, and None for an empty history."""
        history = [Message.user("1"), Message.assistant("One."), Message.user("2")]
        conversation = Conversation(ollama, "m", messages=history)

        assert conversation.undo() == Turn((Message.user("2"),))
        assert conversation.undo() == Turn((Message.user("1"), Message.assistant("One.")))
        assert conversation.undo() is None
        assert conversation.messages == ()

    def test_metrics(self, server: ScriptedOllama, ollama: Ollama) -> None:
        """The metrics are the sum of those of the turns."""
        conversation = Conversation(ollama, "m", messages="0")
        assert conversation.metrics == Metrics()
        server.enqueue(Reply.answer("One.", eval_count=3), Reply.answer("Two.", eval_count=4))
        run(conversation.send("1"))
        run(conversation.send("2"))
        assert conversation.metrics.eval_count == 7
        conversation.undo()

        assert conversation.metrics == conversation.turns[1].metrics

    def test_repr(self, ollama: Ollama) -> None:
        """The repr has the model and the number of turns, and no text."""
        conversation = Conversation(ollama, "qwen3", system="secret", messages="secret")

        assert repr(conversation) == "Conversation('qwen3', 1 turns)"
        assert (conversation.model, conversation.system) == ("qwen3", "secret")
        assert Conversation(ollama, "qwen3").system == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ollama": "http://localhost"}, "ollama: "),
        ({"model": ""}, "model: "),
        ({"system": None}, "system: "),
        ({"messages": 5}, "messages: "),
        ({"messages": [Message.system("Be brief.")]}, "messages.0..role: expected .* system=, got 'system'"),
        ({"tools": get_time}, "tools: "),
        ({"keep_unfinished": 1}, "keep_unfinished: "),
        ({"max_messages": 0}, "max_messages: "),
        ({"max_tokens": 0}, "max_tokens: "),
        ({"max_rounds": 0}, "max_rounds: "),
        ({"concurrency": 0}, "concurrency: "),
        ({"tool_timeout": -1}, "tool_timeout: "),
        ({"approve": 1}, "approve: "),
        ({"through": 1}, "through: "),
        ({"raise_on": 1}, "raise_on: "),
        ({"think": "very"}, "think: "),
    ],
)
def test_refused(ollama: Ollama, change: dict[str, Any], message: str) -> None:
    """A wrong argument is refused when the conversation is built."""
    given: dict[str, Any] = {"ollama": ollama, "model": "m", **change}

    with pytest.raises(InvalidValueError, match=message):
        Conversation(**given)


@pytest.mark.parametrize(
    ("prompt", "images", "message"),
    [
        (5, (), "prompt: "),
        ("Hi", "photo.png", "images: "),
        (Message.user("Hi"), [b"hello"], "images: expected no images beside a Message"),
        (Message.user("Hi"), None, "images: "),
        (Message(content="Hi"), (), "role: "),
    ],
)
def test_refused_prompt(ollama: Ollama, prompt: Any, images: Any, message: str) -> None:
    """A wrong prompt is refused at the call."""
    with pytest.raises(InvalidValueError, match=message):
        Conversation(ollama, "m").send(prompt, images=images)
