"""Every example runs, unchanged, as its docstring says, against a scripted server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from programs import STRICT

from rxollama.testing import Recording, Reply, ScriptedOllama, SeenRequest

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
RECORDINGS = ROOT / "tests" / "recordings"

ANSWER = Reply.answer("Air scatters blue light most.", thinking="Light and air.", eval_count=8, eval_duration=10**9)

Run = Callable[..., str]


@pytest.fixture
def server() -> ScriptedOllama:
    """Start a server that gives the same answer to every chat."""
    return ScriptedOllama(default=ANSWER)


@pytest.fixture
def run(server: ScriptedOllama, tmp_path: Path) -> Run:
    """Run an example against the server, in a folder of its own."""

    def example(name: str, *arguments: str, stdin: str = "") -> str:
        environment = {**os.environ, "OLLAMA_HOST": server.url, "OLLAMA_MODEL": "scripted", "PYTHONUTF8": "1"}
        program = [sys.executable, *STRICT, str(EXAMPLES / f"{name}.py"), *arguments]
        done = subprocess.run(
            program,
            input=stdin,
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        assert (0, "") == (done.returncode, done.stderr)
        return done.stdout

    return example


def test_quickstart(server: ScriptedOllama, run: Run) -> None:
    """quickstart.py prints the answer and its speed, from one request."""
    with server:
        printed = run("quickstart", "Why?")

    assert "Air scatters blue light most.\n8 tokens, 8.0 tokens/s\n" == printed
    assert 1 == len(server.requests)


def test_split_panels(server: ScriptedOllama, run: Run) -> None:
    """split_panels.py shows thinking and answer beside each other."""
    with server:
        printed = run("split_panels")

    assert "Light and air." in printed
    assert "Air scatters blue light most." in printed
    assert printed.endswith("8.0 tokens/s\n")


def test_tool_calls(server: ScriptedOllama, run: Run) -> None:
    """tool_calls.py runs the call by hand, and sends thinking, call and result back."""
    recordings = Recording.load_all(RECORDINGS)
    server.enqueue(Reply.of(recordings["tool-call"], None), Reply.of(recordings["tool-answer"], None))
    with server:
        printed = run("tool_calls")

    assert printed.startswith("calling get_weather({'city': 'Oslo', 'unit': 'celsius'})\n")
    assert recordings["tool-answer"].expect["content"] in printed
    user, assistant, tool = server.requests[1].json["messages"]
    assert "user" == user["role"]
    assert recordings["tool-call"].expect["thinking"] == assistant["thinking"]
    assert assistant["tool_calls"][0]["id"] == tool["tool_call_id"]
    assert "-3 degrees, snow" == tool["content"]


def test_tool_loop(server: ScriptedOllama, run: Run) -> None:
    """tool_loop.py runs two calls at once, tells how far they are, and sends the results back in their order."""
    calls = [
        {"name": "get_weather", "arguments": {"city": "Oslo", "unit": "kelvin"}, "id": "1"},
        {"name": "get_sunset", "arguments": {"city": "Oslo"}, "id": "2"},
        {"name": "get_weather", "arguments": {"city": "Bergen"}, "id": "3"},
    ]
    server.enqueue(Reply.answer("Let me look.", tool_calls=calls))
    with server:
        printed = run("tool_loop")

    assert "→ get_weather({'city': 'Oslo', 'unit': 'kelvin'})\n" in printed
    assert "  get_weather: asking the station in Oslo\n" in printed
    assert "  get_weather: 270.15 kelvin\n" in printed
    assert "  get_weather: Error: the tool 'get_weather' raised KeyError: 'Bergen'\n" in printed
    assert printed.endswith("Air scatters blue light most.\n3 results, 14 tokens\n")
    results = server.requests[1].json["messages"][2:]
    assert ["1", "2", "3"] == [result["tool_call_id"] for result in results]
    assert '{"city":"Oslo","sunset":"15:12"}' == results[1]["content"]


def test_approval(server: ScriptedOllama, run: Run, tmp_path: Path) -> None:
    """approval.py runs what is allowed, with the arguments that are given back, and tells the model of a no."""
    call = {"name": "write_file", "arguments": {"name": "../sea.txt", "text": "\x1b[2JThe sea."}}
    server.enqueue(Reply.answer("May I?", tool_calls=[call] * 5))
    with server:
        printed = run("approval", stdin='y\n{"name": "tide.txt"}\nNot that.\n{oops\n')

    assert ["sea.txt", "tide.txt"] == sorted(path.name for path in tmp_path.iterdir())
    assert '\nwrite_file {"name": "../sea.txt", "text": "\\u001b[2JThe sea."}\n' in printed
    told = [message["content"] for message in server.requests[1].json["messages"][2:]]
    assert ["wrote 12 characters"] * 2 == told[:2]
    denied = "Error: this call of 'write_file' was not allowed"
    assert [f"{denied}: Not that.", f"{denied}: the answer was not JSON", denied] == told[2:]


def test_conversation(server: ScriptedOllama, run: Run, tmp_path: Path) -> None:
    """conversation.py goes on, forks, takes back, saves, and goes on with what was saved."""
    with server:
        printed = run("conversation")

    assert "(undone: How long is a year there?)\n2 turns here, 1 there\n" in printed
    assert printed.endswith("Air scatters blue light most.\n3 turns, 24 tokens\n")
    asked = [[each["content"] for each in seen.json["messages"] if each["role"] == "user"] for seen in server.requests]
    assert ["Name a planet.", "How long is a year there?"] == asked[2]
    assert ["Name a planet.", "How long is a day there?", "Could I live there?"] == asked[3]
    assert 1 + 4 == len((tmp_path / "conversation.jsonl").read_text("utf-8").splitlines())


def test_two_models(server: ScriptedOllama, run: Run) -> None:
    """two_models.py lets the first win and closes the other's request, then shows both beside each other."""
    asked: list[str] = []

    def answer(seen: SeenRequest) -> Reply:
        asked.append(seen.json["model"])
        reply = Reply.answer(f"It is {asked[-1]}.", model=asked[-1])
        return reply.stalled(0) if asked[-1] == "llama3.2" and asked.count("llama3.2") == 1 else reply

    server.always(answer)
    with server:
        printed = run("two_models", "Who?")
        loser = next(seen for seen in server.requests if seen.json["model"] == "llama3.2")
        loser.wait_left()

    assert printed.startswith("scripted was first: It is scripted.\n")
    assert "It is scripted. │ It is llama3.2." in printed
    assert ["llama3.2", "scripted"] * 2 == sorted(asked[:2]) + sorted(asked[2:])


def test_log_pipeline(server: ScriptedOllama, run: Run, tmp_path: Path) -> None:
    """log_pipeline.py writes JSON lines, and sums them up."""
    with server:
        printed = run("log_pipeline", "log.jsonl")

    assert "2 chats, 16 tokens, logged in log.jsonl\n" == printed
    assert "scatters" not in (tmp_path / "log.jsonl").read_text("utf-8")


def test_many_consumers(server: ScriptedOllama, run: Run) -> None:
    """many_consumers.py serves all from one request, and the broken one harms nobody."""
    with server:
        printed = run("many_consumers")

    # Two threads print, and a line's end may come after the other's line.
    assert "one consumer ended: this consumer is broken" in printed
    assert "Air scatters blue light most." in printed
    assert 1 == len(server.requests)


def test_asyncio_app(server: ScriptedOllama, run: Run) -> None:
    """asyncio_app.py asks two questions at once, and leaves the third when it is enough."""
    with server:
        printed = run("asyncio_app")

    lines = printed.splitlines()
    assert ["Air scatters blue light most."] * 2 == lines[:2]
    assert lines[2].endswith("...")
    assert 3 == len(server.requests)


def test_batch(server: ScriptedOllama, run: Run, tmp_path: Path) -> None:
    """batch.py answers every question without streaming, and one that fails does not stop the others."""
    (tmp_path / "questions.txt").write_text("\n".join(f"Question {number}?" for number in range(6)), "utf-8")
    server.enqueue(Reply.error(500, {"error": "out of memory"}))
    with server:
        printed = run("batch", "questions.txt")

    assert 5 == printed.count("Air scatters blue light most.")
    assert 1 == printed.count("failed: the server answered 500: out of memory")
    assert all(request.json["stream"] is False for request in server.requests)
    assert 6 == len(server.requests)


def test_mocked_server(server: ScriptedOllama, run: Run) -> None:
    """mocked_server.py tests a function against an answer of respx, and asks no server."""
    with server:
        printed = run("mocked_server")

    assert "Why is the sky blue? -> THE SKY IS BLUE.\n" == printed
    assert not server.requests


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_every_example_is_short_and_run(path: Path) -> None:
    """An example has 30 to 60 lines, says how to run it, and is run by a test of its name."""
    text = path.read_text("utf-8")

    assert 30 <= len(text.splitlines()) <= 60
    assert f"uv run python examples/{path.name}" in text
    assert f"test_{path.stem}" in globals()


def test_structured(server: ScriptedOllama, run: Run) -> None:
    """structured.py fills a table while the answer comes, and counts the typed values at the end."""
    rows = [
        {"name": "Oslo", "inhabitants": 717710, "known_for": "the fjord"},
        {"name": "Bergen", "inhabitants": 291940},
    ]
    text = json.dumps(rows)
    server.enqueue(Reply.answer([text[at : at + 5] for at in range(0, len(text), 5)], gap=0.005))
    with server:
        printed = run("structured", "Two cities")

    [request] = server.requests
    assert "array" == request.json["format"]["type"]
    assert "Two cities" in request.json["messages"][0]["content"]
    assert all(word in printed for word in ("complete", "Oslo", "717710", "the fjord", "Bergen"))
    assert printed.endswith("1,009,650 people in 2 cities\n")
