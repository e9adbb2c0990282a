"""A conversation on a terminal."""

from __future__ import annotations

from pathlib import Path

from terminals import CTRL_C, CTRL_D, PATIENCE, Terminal

from rxollama.testing import Reply, ScriptedOllama

HELP = "/bye or Ctrl-D ends the conversation, Ctrl-C stops an answer"


def test_conversation(server: ScriptedOllama) -> None:
    """A conversation keeps its history, and Ctrl-D ends it."""
    server.enqueue(Reply.answer("Hello.", thinking="Hm."), Reply.answer("Fine."))

    with Terminal("chat", "-m", "think", "--no-think", "--system", "Be kind.", server=server) as terminal:
        terminal.expect(HELP)
        terminal.expect(">>> ")
        terminal.type("\n")
        terminal.expect(">>> ")
        terminal.type("Hi!\n")
        terminal.expect("prompt tokens")
        terminal.expect(">>> ")
        terminal.type('"""How are you?\nAnd you?"""\n')
        terminal.expect("... ")
        terminal.expect("prompt tokens")
        terminal.expect(">>> ")
        terminal.type(CTRL_D)
        assert terminal.wait() == 0

    assert server.requests[1].json["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi!"},
        {"role": "assistant", "content": "Hello.", "thinking": "Hm."},
        {"role": "user", "content": "How are you?\nAnd you?"},
    ]
    assert server.requests[0].json["think"] is False


def test_interrupted_answer(server: ScriptedOllama) -> None:
    """Ctrl-C stops the answer and not the conversation, and the history keeps what arrived."""
    server.enqueue(Reply.answer(["One ", "two ", "three"]).stalled(2), Reply.answer("Fine."))

    with Terminal("chat", "-m", "think", server=server) as terminal:
        terminal.expect(">>> ")
        terminal.type("Count.\n")
        terminal.expect("One two")
        terminal.type(CTRL_C)
        terminal.expect("interrupted after")
        terminal.expect("2 chunks")
        server.requests[0].wait_left()
        terminal.expect(">>> ")
        terminal.type("And now?\n")
        terminal.expect("Fine.")
        terminal.expect(">>> ")
        terminal.type("/bye\n")
        assert terminal.wait() == 0

    assert [message["content"] for message in server.requests[1].json["messages"]] == ["Count.", "One two ", "And now?"]


def test_interrupted_before_the_first_chunk(server: ScriptedOllama) -> None:
    """The history drops a prompt without any answer. Ctrl-C at the prompt ends the program with exit code 0."""
    server.enqueue(Reply.answer("Late.").stalled(0), Reply.answer("Fine."))

    with Terminal("chat", "-m", "think", server=server) as terminal:
        terminal.expect(">>> ")
        terminal.type("Count.\n")
        terminal.expect("waiting for think")
        server.wait_for(1, PATIENCE)
        terminal.type(CTRL_C)
        terminal.expect("nothing received")
        terminal.expect(">>> ")
        terminal.type("And now?\n")
        terminal.expect("Fine.")
        terminal.expect(">>> ")
        assert terminal.press_until_exit(CTRL_C) == 0

    assert [message["content"] for message in server.requests[1].json["messages"]] == ["And now?"]


def test_error_in_a_conversation(server: ScriptedOllama) -> None:
    """An error ends the answer and not the conversation. What arrived stays on the screen and in the history."""
    server.enqueue(Reply.answer("One two three.").with_error("llama runner died", after=2), Reply.answer("Fine."))

    with Terminal("chat", "-m", "think", server=server) as terminal:
        terminal.expect(">>> ")
        terminal.type("Count.\n")
        terminal.expect("broken off after")
        terminal.expect("rxollama: the server reported: llama runner died")
        terminal.expect(">>> ")
        terminal.type("Again.\n")
        terminal.expect("Fine.")
        terminal.type("/bye\n")
        assert terminal.wait() == 0

    assert "\nOne two\n" in terminal.screen
    assert [message["content"] for message in server.requests[1].json["messages"]] == ["Count.", "One two", "Again."]


def test_conversation_whose_answers_are_piped(server: ScriptedOllama, tmp_path: Path) -> None:
    """If the answers go into a file, the prompt is shown on the terminal."""
    server.enqueue(Reply.answer("Hello."))
    file = tmp_path / "answers"

    with (
        file.open("wb") as answers,
        Terminal("chat", "-m", "think", server=server, stdout=answers.fileno()) as terminal,
    ):
        terminal.expect(">>> ")
        terminal.type("Hi!\n")
        terminal.expect(">>> ")
        terminal.type(CTRL_D)
        assert terminal.wait() == 0

    assert file.read_text() == "Hello.\n"


def test_expected_wait(server: ScriptedOllama) -> None:
    """From the second prompt on, the status line says how long the model is expected to load."""
    second = 1_000_000_000
    server.enqueue(Reply.answer("One.", first=2.5, load_duration=2 * second), path="/api/chat")
    server.enqueue(Reply.answer("Two.").stalled(0), path="/api/chat")

    with Terminal("chat", "-m", "think", server=server) as terminal:
        terminal.expect(">>> ")
        terminal.type("Count.\n")
        terminal.expect("One.")
        terminal.expect(">>> ")
        terminal.type("Go on.\n")
        terminal.expect("about 2 s more")
        terminal.type(CTRL_C)
        terminal.expect(">>> ")
        terminal.type("/bye\n")
        assert terminal.wait() == 0
