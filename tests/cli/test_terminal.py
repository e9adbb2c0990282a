"""The chat on a terminal: a live view, and a conversation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from terminals import CTRL_C, CTRL_D, Terminal, drawn

from rxollama.testing import Recording, Reply, ScriptedOllama

HELP = "/bye or Ctrl-D ends this, Ctrl-C stops an answer"
NUMBERS = r"33\.3 tokens/s · first token 0\.\d\d s · {count} tokens in {took} s · 12 prompt tokens"


def test_demo() -> None:
    """The demo shows thinking and answer live, and ends in the numbers."""
    with Terminal("chat", "--demo", "What is 17 × 23?") as terminal:
        terminal.see("demo: a scripted server plays recorded answers; no model runs here")
        terminal.see("waiting for demo")
        terminal.see("I need 17 times 23.")
        terminal.see("thinking · ")
        terminal.see("answering · ")
        assert terminal.end() == 0

    lines = terminal.screen.split("\n")
    lines[2] = re.sub(r"\d\.\d+", "N", lines[2])
    lines[-1] = re.sub(r"(?<=token )\d\.\d+", "N", lines[-1])
    assert lines == [
        "demo: a scripted server plays recorded answers; no model runs here",
        "",
        "thinking · N s",
        "│ I need 17 times 23. 17 × 20 = 340, and 17 × 3 = 51. Together that is 391.",
        "│ Check it another way: 20 × 23 = 460, minus 3 × 23 = 69, gives 391. Both agree.",
        "",
        "17 × 23 = 391",
        "",
        "Split the second factor:",
        "",
        " 1 17 × 20 = 340",
        " 2 17 × 3 = 51",
        " 3 340 + 51 = 391",
        "",
        "40.0 tokens/s · first token N s · 82 tokens in 2.0 s · 12 prompt tokens",
    ]


def test_it_never_exceeds_the_screen(server: ScriptedOllama) -> None:
    """On a small screen the moving part is smaller still, and in the end all of it is there, in order."""
    code = "\n".join(f"line_{number}" for number in range(40))
    words = [*"word " * 200, "\n\n```python\n", *code.splitlines(keepends=True), "\n```\n\n| a |\n|---|\n| 1 |\n\nEnd."]
    server.enqueue(Reply.answer(words, thinking=["ponder "] * 300, gap=0.002))

    with Terminal("chat", "-m", "think", "Count.", server=server, rows=12, columns=40) as terminal:
        assert terminal.end() == 0

    climbs = [len(climb) // len("\x1b[1A\x1b[2K") for climb in re.findall(r"(?:\x1b\[1A\x1b\[2K)+", terminal.raw)]
    assert 5 < max(climbs) < 12
    screen = terminal.screen
    assert screen.count("ponder") == 300
    assert re.findall(r"line_\d+", screen) == code.split("\n")
    assert screen.count("word") == 200
    assert screen.index("ponder") < screen.index("word") < screen.index("line_0") < screen.index("End.")


def test_order_of_parts(server: ScriptedOllama, recordings: dict[str, Recording]) -> None:
    """Tool calls have a line each, and what comes after what is kept."""
    thinking = recordings["tool-call"]
    server.enqueue(Reply.of(thinking, speed=None), Reply.of(recordings["thinking-reopens"], speed=None))

    with Terminal("chat", "-m", "think", "Oslo?", server=server) as terminal:
        assert terminal.end() == 0
    with Terminal("chat", "-m", "think", "Oslo?", server=server) as again:
        assert again.end() == 0

    screen = terminal.screen
    assert screen.index("I have a tool for that.") < screen.index('→ get_weather(city="Oslo", unit="celsius")')
    assert len(re.findall("^thinking · ", again.screen, re.MULTILINE)) == 2


def test_blank_thinking(server: ScriptedOllama) -> None:
    """Thinking that says nothing is not shown."""
    server.enqueue(Reply.answer("Yes.", thinking=["\n"]))

    with Terminal("chat", "-m", "think", "So?", server=server) as terminal:
        assert terminal.end() == 0

    assert terminal.screen.split("\n")[:2] == ["", "Yes."]


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
        terminal.type(CTRL_C)
        assert terminal.end() == 0

    assert [message["content"] for message in server.requests[1].json["messages"]] == ["And now?"]


def test_error_in_a_conversation(server: ScriptedOllama) -> None:
    """An error ends an answer and not the conversation; what arrived stays on the screen."""
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
    assert [message["content"] for message in server.requests[1].json["messages"]] == ["Again."]


def test_one_question_interrupted(server: ScriptedOllama) -> None:
    """Ctrl-C at the one question ends it with exit code 130, and the cursor is back."""
    server.enqueue(Reply.answer("One two", thinking="Hm.").stalled(2))

    with Terminal("chat", "-m", "think", "Count.", server=server) as terminal:
        terminal.see("One")
        terminal.type(CTRL_C)
        assert terminal.end() == 130

    assert re.search(r"\nOne\n\ninterrupted after [\d.]+ s · first token [\d.]+ s · 2 chunks$", terminal.screen)
    assert terminal.raw.rindex("\x1b[?25h") > terminal.raw.rindex("\x1b[?25l")


def test_terminal_that_waits(server: ScriptedOllama) -> None:
    """While the terminal takes nothing the server is never held up, and in the end it is all there."""
    server.enqueue(Reply.answer([f"paragraph {number} " + "x" * 4000 + "\n\n" for number in range(100)] + ["The end."]))

    with Terminal("chat", "-m", "think", "Count.", server=server) as terminal:
        terminal.see("waiting for think")
        seen = server.wait_for(1)[0]
        seen.wait_finished()

        assert seen.longest_write_wait < 1
        assert terminal.end() == 0
    assert re.findall(r"paragraph (\d+)", terminal.screen) == [str(number) for number in range(100)]
    assert "12 prompt tokens" in terminal.screen


@pytest.mark.parametrize(("kind", "no_color"), [("dumb", ""), ("xterm-256color", "1")])
def test_plain_terminal(kind: str, no_color: str, server: ScriptedOllama) -> None:
    """A terminal without colours gets none, and one that can do nothing gets bare words."""
    server.enqueue(Reply.answer("One **two**", thinking="Hm."))

    with Terminal("chat", "-m", "think", "Count.", server=server, TERM=kind, NO_COLOR=no_color) as terminal:
        assert terminal.end() == 0

    assert "\nOne two\n" in terminal.screen
    assert not re.search(r"\x1b\[[\d;]*3\d", terminal.raw)
    assert ("\x1b" in terminal.raw) == bool(no_color)


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


def test_models(server: ScriptedOllama, recordings: dict[str, Recording]) -> None:
    """On a terminal the models are a table."""
    server.always(Reply.of(recordings["tags"]), path="/api/tags")

    with Terminal("models", server=server, columns=120) as terminal:
        assert terminal.end() == 0

    lines = [re.sub(" {2,}", "|", line) for line in terminal.screen.split("\n")]
    assert lines[0] == "name|size|parameters|quantization|capabilities|modified"
    assert lines[1] == "think:latest|6.5 kB|1K|F32|completion, tools, thinking|2026-11-22 11:21"


def test_remote_models(server: ScriptedOllama) -> None:
    """A model that lives elsewhere has no size here."""
    entries = [{"name": "big:cloud", "remote_host": "https://ollama.com:443"}, {"name": "odd"}]
    server.always(Reply.json({"models": entries}), path="/api/tags")

    with Terminal("models", server=server) as terminal:
        assert terminal.end() == 0

    assert [line.split() for line in terminal.screen.split("\n")[1:]] == [["big:cloud", "remote"], ["odd", "-"]]


@pytest.mark.parametrize("columns", [50, 100])
def test_pull(columns: int, server: ScriptedOllama, recordings: dict[str, Recording]) -> None:
    """On a terminal a pull has a bar for each layer, with more beside it where there is room."""
    server.always(Reply.of(recordings["pull"], speed=2), path="/api/pull")

    with Terminal("pull", "qwen3", server=server, columns=columns) as terminal:
        terminal.see("pulling 46567d646fab ━")
        assert terminal.end() == 0

    bar, last = terminal.screen.split("\n")
    assert "━ 64.0/64.0 MB " in bar if columns == 100 else bar.endswith("━ 100%")
    assert last == "✓ success"


@pytest.mark.parametrize(("steps", "shown"), [(1, "pulling manifest"), (2, "pulling 465 ━")])
def test_pull_interrupted(steps: int, shown: str, server: ScriptedOllama) -> None:
    """Ctrl-C stops a pull with one line."""
    layer = {"status": "pulling 465", "digest": "sha256:465", "total": 10, "completed": 5}
    server.always(Reply.records([{"status": "pulling manifest"}, layer]).stalled(steps), path="/api/pull")

    with Terminal("pull", "qwen3", server=server) as terminal:
        terminal.see(shown)
        terminal.type(CTRL_C)
        assert terminal.end() == 130

    assert terminal.screen.split("\n")[-1].startswith("stopped; what has been fetched is kept")
    server.requests[0].wait_left()


def test_drawn() -> None:
    """The tests' own terminal draws lines, goes up and clears."""
    assert drawn("one\r\ntwo\r\x1b[2K\x1b[1A\x1b[1mfour\x1b[0m\r\n\x1b[3Cx") == ["four", "x"]
