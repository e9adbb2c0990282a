"""A conversation on a terminal."""

from __future__ import annotations

from pathlib import Path

from terminals import CTRL_C, CTRL_D, Terminal

from rxollama.testing import Reply, ScriptedOllama

HELP = "/bye or Ctrl-D ends this, Ctrl-C stops an answer"


def test_conversation(server: ScriptedOllama) -> None:
    """A conversation keeps its history, and Ctrl-D ends it."""
    server.enqueue(Reply.answer("Hello.", thinking="Hm."), Reply.answer("Fine."))

    with Terminal("chat", "-m", "think", "--no-think", "--system", "Be kind.", server=server) as terminal:
        terminal.see(HELP)
        terminal.see(">>> ")
        terminal.type("\n")
        terminal.see(">>> ")
        terminal.type("Hi!\n")
        terminal.see("prompt tokens")
        terminal.see(">>> ")
        terminal.type('"""How are you?\nAnd you?"""\n')
        terminal.see("... ")
        terminal.see("prompt tokens")
        terminal.see(">>> ")
        terminal.type(CTRL_D)
        assert terminal.end() == 0

    assert server.requests[1].json["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi!"},
        {"role": "assistant", "content": "Hello.", "thinking": "Hm."},
        {"role": "user", "content": "How are you?\nAnd you?"},
    ]
    assert server.requests[0].json["think"] is False


def test_interrupted_answer(server: ScriptedOllama) -> None:
    """Ctrl-C stops the answer and not the conversation; what was said is remembered."""
    server.enqueue(Reply.answer(["One ", "two ", "three"]).stalled(2), Reply.answer("Fine."))

    with Terminal("chat", "-m", "think", server=server) as terminal:
        terminal.see(">>> ")
        terminal.type("Count.\n")
        terminal.see("One two")
        terminal.type(CTRL_C)
        terminal.see("interrupted after")
        terminal.see("2 chunks")
        server.requests[0].wait_left()
        terminal.see(">>> ")
        terminal.type("And now?\n")
        terminal.see("Fine.")
        terminal.see(">>> ")
        terminal.type("/bye\n")
        assert terminal.end() == 0

    assert [message["content"] for message in server.requests[1].json["messages"]] == ["Count.", "One two ", "And now?"]


def test_interrupted_before_the_first_word(server: ScriptedOllama) -> None:
    """A question that was taken back before it was answered is forgotten; Ctrl-C at the prompt ends politely."""
    server.enqueue(Reply.answer("Late.").stalled(0), Reply.answer("Fine."))

    with Terminal("chat", "-m", "think", server=server) as terminal:
        terminal.see(">>> ")
        terminal.type("Count.\n")
        terminal.see("waiting for think")
        server.wait_for(1)
        terminal.type(CTRL_C)
        terminal.see("nothing had come")
        terminal.see(">>> ")
        terminal.type("And now?\n")
        terminal.see("Fine.")
        terminal.see(">>> ")
        assert terminal.insist(CTRL_C) == 0

    assert [message["content"] for message in server.requests[1].json["messages"]] == ["And now?"]


def test_error_in_a_conversation(server: ScriptedOllama) -> None:
    """An error ends an answer and not the conversation; what arrived stays on the screen and in the history."""
    server.enqueue(Reply.answer("One two three.").with_error("llama runner died", after=2), Reply.answer("Fine."))

    with Terminal("chat", "-m", "think", server=server) as terminal:
        terminal.see(">>> ")
        terminal.type("Count.\n")
        terminal.see("broken off after")
        terminal.see("rxollama: the server reported: llama runner died")
        terminal.see(">>> ")
        terminal.type("Again.\n")
        terminal.see("Fine.")
        terminal.type("/bye\n")
        assert terminal.end() == 0

    assert "\nOne two\n" in terminal.screen
    assert [message["content"] for message in server.requests[1].json["messages"]] == ["Count.", "One two", "Again."]


def test_conversation_whose_answers_are_piped(server: ScriptedOllama, tmp_path: Path) -> None:
    """Where only the answers go elsewhere, the prompt stays on the terminal."""
    server.enqueue(Reply.answer("Hello."))
    file = tmp_path / "answers"

    with (
        file.open("wb") as answers,
        Terminal("chat", "-m", "think", server=server, stdout=answers.fileno()) as terminal,
    ):
        terminal.see(">>> ")
        terminal.type("Hi!\n")
        terminal.see(">>> ")
        terminal.type(CTRL_D)
        assert terminal.end() == 0

    assert file.read_text() == "Hello.\n"
