"""The live display on a terminal: an answer, the models, a pull."""

from __future__ import annotations

import re

import pytest
from terminals import CTRL_C, PATIENCE, Terminal, drawn

from rxollama.testing import Recording, Reply, ScriptedOllama


def test_demo() -> None:
    """The demo shows thinking and content live, and the metrics at the end."""
    with Terminal("chat", "--demo", "What is 17 × 23?") as terminal:
        terminal.expect("demo: a scripted server plays recorded answers; no model runs here")
        terminal.expect("waiting for demo")
        terminal.expect("I need 17 times 23.")
        terminal.expect("thinking · ")
        terminal.expect("answering · ")
        assert terminal.wait() == 0

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


def test_small_screen(server: ScriptedOllama) -> None:
    """The redrawn region is smaller than a small screen, and all text is shown in order at the end."""
    code = "\n".join(f"line_{number}" for number in range(40))
    words = [*"word " * 200, "\n\n```python\n", *code.splitlines(keepends=True), "\n```\n\n| a |\n|---|\n| 1 |\n\nEnd."]
    server.enqueue(Reply.answer(words, thinking=["ponder "] * 300, gap=0.002))

    with Terminal("chat", "-m", "think", "Count.", server=server, rows=12, columns=40) as terminal:
        assert terminal.wait() == 0

    climbs = [len(climb) // len("\x1b[1A\x1b[2K") for climb in re.findall(r"(?:\x1b\[1A\x1b\[2K)+", terminal.raw)]
    assert 5 < max(climbs) < 12
    screen = terminal.screen
    assert screen.count("ponder") == 300
    assert re.findall(r"line_\d+", screen) == code.split("\n")
    assert screen.count("word") == 200
    assert screen.index("ponder") < screen.index("word") < screen.index("line_0") < screen.index("End.")


def test_tool_call(server: ScriptedOllama, recordings: dict[str, Recording]) -> None:
    """A tool call has a line of its own, below the thinking that led to it."""
    server.enqueue(Reply.of(recordings["tool-call"], speed=None), Reply.answer("I cannot tell."))

    with Terminal("chat", "-m", "think", "Oslo?", server=server) as terminal:
        assert terminal.wait() == 0

    # There are no tools, and the model learns it.
    call = 'I have a tool for that.\n\n→ get_weather(city="Oslo", unit="celsius")\n'
    assert f"{call}✗ get_weather: there is no tool 'get_weather'; " in terminal.screen
    assert "I cannot tell." in terminal.screen


def test_odd_tool_call(server: ScriptedOllama) -> None:
    """Arguments of any size and language are shown."""
    calls = '[{"function":{"name":"add","arguments":{"to":1000000000000000000000000000000,"what":"é"}}}]'
    line = f'{{"model":"think","message":{{"role":"assistant","content":"","tool_calls":{calls}}},"done":true}}\n'
    server.enqueue(Reply.records([line.encode()]), Reply.answer("I cannot."))

    with Terminal("chat", "-m", "think", "Add.", server=server) as terminal:
        assert terminal.wait() == 0

    assert re.search(r'→ add\(to=1(0{30}|e\+30), what="é"\)', terminal.screen)


def test_thinking_comes_back(server: ScriptedOllama, recordings: dict[str, Recording]) -> None:
    """Thinking after content has a title of its own."""
    server.enqueue(Reply.of(recordings["thinking-reopens"], speed=None))

    with Terminal("chat", "-m", "think", "Why?", server=server) as terminal:
        assert terminal.wait() == 0

    assert len(re.findall("^thinking · ", terminal.screen, re.MULTILINE)) == 2


def test_blank_thinking(server: ScriptedOllama) -> None:
    """Thinking of blank lines is not shown."""
    server.enqueue(Reply.answer("Yes.", thinking=["\n"]))

    with Terminal("chat", "-m", "think", "So?", server=server) as terminal:
        assert terminal.wait() == 0

    assert terminal.screen.split("\n")[:2] == ["", "Yes."]


def test_one_question_interrupted(server: ScriptedOllama) -> None:
    """Ctrl-C ends a single question with exit code 130 and shows the cursor again."""
    server.enqueue(Reply.answer("One two", thinking="Hm.").stalled(2))

    with Terminal("chat", "-m", "think", "Count.", server=server) as terminal:
        terminal.expect("One")
        terminal.type(CTRL_C)
        assert terminal.wait() == 130

    assert re.search(r"\nOne\n\ninterrupted after [\d.]+ s · first token [\d.]+ s · 2 chunks$", terminal.screen)
    assert terminal.raw.rindex("\x1b[?25h") > terminal.raw.rindex("\x1b[?25l")


def test_terminal_that_waits(server: ScriptedOllama) -> None:
    """A terminal that does not read does not stop the server, and later shows all of the answer."""
    server.enqueue(Reply.answer([f"paragraph {number} " + "x" * 4000 + "\n\n" for number in range(100)] + ["The end."]))

    with Terminal("chat", "-m", "think", "Count.", server=server) as terminal:
        terminal.expect("waiting for think")
        seen = server.wait_for(1, PATIENCE)[0]
        # The server has sent everything while nothing was read.
        seen.wait_finished(PATIENCE)
        assert terminal.wait() == 0
    assert re.findall(r"paragraph (\d+)", terminal.screen) == [str(number) for number in range(100)]
    assert "12 prompt tokens" in terminal.screen


def test_terminal_that_is_flooded(server: ScriptedOllama) -> None:
    """A terminal that reads nothing does not stop a server that sends 20 MB, and memory stays near the text's size."""
    piece = "x" * 20_000
    server.enqueue(Reply.answer([piece] * 1000))

    with Terminal("chat", "-m", "think", "Flood.", server=server) as terminal:
        # The kernel buffers a few MB at most, so the program has read the rest.
        [seen] = server.wait_for(1, PATIENCE)
        seen.wait_finished(PATIENCE)
        assert terminal.memory() < 200 * 1024 * 1024


@pytest.mark.parametrize(("kind", "no_color"), [("dumb", ""), ("xterm-256color", "1")])
def test_plain_terminal(kind: str, no_color: str, server: ScriptedOllama) -> None:
    """A terminal without colours gets no colours, and a dumb one gets plain text."""
    server.enqueue(Reply.answer("One **two**", thinking="Hm."))

    with Terminal("chat", "-m", "think", "Count.", server=server, TERM=kind, NO_COLOR=no_color) as terminal:
        assert terminal.wait() == 0

    assert "\nOne two\n" in terminal.screen
    assert not re.search(r"\x1b\[[\d;]*3\d", terminal.raw)
    assert ("\x1b" in terminal.raw) == bool(no_color)


def test_models(server: ScriptedOllama, recordings: dict[str, Recording]) -> None:
    """On a terminal the models are a table."""
    server.always(Reply.of(recordings["tags"]), path="/api/tags")

    with Terminal("models", server=server, columns=120) as terminal:
        assert terminal.wait() == 0

    lines = [re.sub(" {2,}", "|", line) for line in terminal.screen.split("\n")]
    assert lines[0] == "name|size|parameters|quantization|capabilities|modified"
    assert lines[1] == "think:latest|6.5 kB|1K|F32|completion, tools, thinking|2026-11-22 11:21"


def test_remote_models(server: ScriptedOllama) -> None:
    """A remote model is shown without a size."""
    entries = [{"name": "big:cloud", "remote_host": "https://ollama.com:443"}, {"name": "odd"}]
    server.always(Reply.json({"models": entries}), path="/api/tags")

    with Terminal("models", server=server) as terminal:
        assert terminal.wait() == 0

    assert [line.split() for line in terminal.screen.split("\n")[1:]] == [["big:cloud", "remote"], ["odd", "-"]]


@pytest.mark.parametrize("columns", [50, 100])
def test_pull(columns: int, server: ScriptedOllama, recordings: dict[str, Recording]) -> None:
    """On a terminal a pull has a bar for each layer, with sizes and speed on a wide one."""
    server.always(Reply.of(recordings["pull"], speed=2), path="/api/pull")

    with Terminal("pull", "qwen3", server=server, columns=columns) as terminal:
        terminal.expect("pulling 46567d646fab ━")
        assert terminal.wait() == 0

    bar, last = terminal.screen.split("\n")
    assert "━ 64.0/64.0 MB " in bar if columns == 100 else bar.endswith("━ 100%")
    assert last == "✓ success"


@pytest.mark.parametrize(("steps", "shown"), [(1, "pulling manifest"), (2, "pulling 465 ━")])
def test_pull_interrupted(steps: int, shown: str, server: ScriptedOllama) -> None:
    """Ctrl-C stops a pull, and one line says that it can be resumed."""
    layer = {"status": "pulling 465", "digest": "sha256:465", "total": 10, "completed": 5}
    server.always(Reply.records([{"status": "pulling manifest"}, layer]).stalled(steps), path="/api/pull")

    with Terminal("pull", "qwen3", server=server) as terminal:
        terminal.expect(shown)
        terminal.type(CTRL_C)
        assert terminal.wait() == 130

    assert terminal.screen.split("\n")[-1].startswith("stopped; the server keeps what it has")
    server.requests[0].wait_left()


def test_drawn() -> None:
    """The tests' terminal draws lines, moves the cursor up and clears lines."""
    assert drawn("one\r\ntwo\r\x1b[2K\x1b[1A\x1b[1mfour\x1b[0m\r\n\x1b[3Cx") == ["four", "x"]
