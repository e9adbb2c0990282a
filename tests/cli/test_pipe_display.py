"""The chat in a pipe: the answer and nothing else."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from pathlib import Path

import orjson
import pytest
from terminals import PATIENCE, PROGRAM, ROOT, piped, settings, started

from rxollama.testing import Recording, Reply, ScriptedOllama

MODELS = {"models": [{"name": "embedder", "capabilities": ["embedding"]}, {"name": "qwen3:8b"}]}


def test_answer(server: ScriptedOllama) -> None:
    """The answer's content is all there is, as it is, ended by a line feed."""
    server.enqueue(Reply.answer("One *two*\n\x1b[31mthree <b>", thinking="Hm."))

    done = piped("chat", "-m", "think", "--think", "high", "--system", "Be brief.", "Count.", server=server)

    assert (done.returncode, done.stdout, done.stderr) == (0, "One *two*\n\x1b[31mthree <b>\n", "")
    body = server.requests[0].json
    assert (body["model"], body["think"]) == ("think", "high")
    assert body["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Count."}]


def test_call_of_what_was_not_offered(server: ScriptedOllama) -> None:
    """Where nothing was offered, a call and what comes of it are nothing to be told of."""
    server.enqueue(Reply.answer("Let me see.", tool_calls=[{"name": "f"}]), Reply.answer("I cannot."))

    done = piped("chat", "-m", "think", "Count.", server=server)

    assert (done.returncode, done.stdout, done.stderr) == (0, "Let me see.I cannot.\n", "")
    assert "there is no tool 'f'" in server.requests[1].json["messages"][-1]["content"]


def test_line_feed_of_its_own(server: ScriptedOllama) -> None:
    """An answer that ends in a line feed gets no second one, and an empty one none at all."""
    server.enqueue(Reply.answer(["One.\n"]), Reply.answer(""))

    assert piped("chat", "-m", "think", "Count.", server=server).stdout == "One.\n"
    assert piped("chat", "-m", "think", "Count.", server=server).stdout == ""


def test_it_streams(server: ScriptedOllama) -> None:
    """Words are handed on as they come, while the server is not through."""
    server.enqueue(Reply.answer(["One ", "two"]).stalled(1))

    with started("chat", "-m", "think", "Count.", server=server) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        assert program.stdout.read(4) == b"One "
        program.send_signal(signal.SIGINT)

        assert program.wait(PATIENCE) == 130
        assert program.stdout.read() == b""
        assert b"interrupted after" in program.stderr.read()
    server.requests[0].wait_left()


def test_cut_off(server: ScriptedOllama) -> None:
    """That an answer was cut off is said beside it."""
    server.enqueue(Reply.answer("One", done_reason="length"))

    done = piped("chat", "-m", "think", "Count.", server=server)

    assert (done.returncode, done.stdout, done.stderr) == (0, "One\n", "cut off: length limit reached (length)\n")


def test_prompt_from_stdin(server: ScriptedOllama) -> None:
    """Without an argument, standard input is the prompt, and the server's latest model that chats is asked."""
    server.always(Reply.json(MODELS), path="/api/tags")
    server.enqueue(Reply.answer("Yes."), path="/api/chat")

    done = piped("chat", server=server, stdin="Is it\nso?\n")

    assert (done.stdout, done.stderr) == ("Yes.\n", "model qwen3:8b; -m or OLLAMA_MODEL chooses another\n")
    body = server.requests[1].json
    assert (body["model"], body["messages"]) == ("qwen3:8b", [{"role": "user", "content": "Is it\nso?"}])


def test_model_from_the_environment(server: ScriptedOllama) -> None:
    """OLLAMA_MODEL names the model where no argument does."""
    server.enqueue(Reply.answer("Yes."))

    piped("chat", "Is it so?", server=server, OLLAMA_MODEL="gemma")

    assert server.requests[0].json["model"] == "gemma"


def test_nothing_to_ask(server: ScriptedOllama) -> None:
    """An empty prompt is wrong usage, and so is a standard input that is closed."""
    words = "rxollama: no prompt: give one as an argument or on standard input\n"

    done = piped("chat", server=server, stdin=" \n")
    closed = subprocess.run(
        ["/bin/sh", "-c", f"exec {shlex.join(PROGRAM)} chat <&-"],
        env=settings(server),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        cwd=ROOT,
    )

    assert (done.returncode, done.stderr) == (2, words)
    assert (closed.returncode, closed.stderr) == (2, words)


def test_no_model(server: ScriptedOllama) -> None:
    """A server without models is told apart from a server that is not there."""
    done = piped("chat", "Hi.", server=server)

    assert done.returncode == 1
    assert done.stderr.startswith("rxollama: this server has no model to chat with; fetch one")


@pytest.mark.parametrize("arguments", [["chat", "Hi."], ["chat", "-m", "think", "Hi."], ["models"], ["pull", "think"]])
def test_no_server(arguments: list[str], server: ScriptedOllama) -> None:
    """Without a server, one line says what to start or set."""
    server.stop()

    done = piped(*arguments, server=server)

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"rxollama: nothing listens at {server.url}: start Ollama there (`ollama serve`)")
    assert "OLLAMA_HOST" in done.stderr


def test_broken_off(server: ScriptedOllama) -> None:
    """Of an answer that breaks off there is what arrived, and a line that says why it ends."""
    server.enqueue(Reply.answer("One two three.").with_error("llama runner\ndied", after=2))

    done = piped("chat", "-m", "think", "Count.", server=server)

    assert (done.returncode, done.stdout) == (1, "One two\n")
    assert done.stderr.splitlines()[0].startswith("broken off after")
    assert done.stderr.splitlines()[1].startswith("rxollama: the server reported: llama runner died")


def test_host(server: ScriptedOllama, recordings: dict[str, Recording]) -> None:
    """`--host` names the server, and a refused request is told in the server's words."""
    server.always(Reply.of(recordings["no-model"]))

    done = piped("chat", "--host", server.url, "-m", "nobody", "Hi.", OLLAMA_HOST="localhost:1")

    assert done.returncode == 1
    assert "model 'nobody' not found" in done.stderr


def test_reader_leaves(server: ScriptedOllama) -> None:
    """A reader that has seen enough ends it quietly, and the request is closed."""
    server.enqueue(Reply.answer(["word\n"] * 10_000, gap=0.001))

    with started("chat", "-m", "think", "Count.", server=server) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        assert program.stdout.readline() == b"word\n"
        program.stdout.close()

        assert program.wait(PATIENCE) == 0
        assert program.stderr.read() == b""
    server.requests[0].wait_left()


@pytest.mark.parametrize("arguments", [["--help"], ["chat", "-m", "think", "Hi."]])
def test_reader_that_is_not_there(arguments: list[str], server: ScriptedOllama) -> None:
    """Neither help nor an error complains of a pipe that nobody reads."""
    server.stop()
    reading, writing = os.pipe()
    os.close(reading)

    done = subprocess.run(
        [*PROGRAM, *arguments],
        env=settings(server),
        stdin=subprocess.DEVNULL,
        stdout=writing,
        stderr=writing,
        timeout=PATIENCE,
        check=False,
        cwd=ROOT,
    )
    os.close(writing)

    assert done.returncode == 0


def test_reader_that_waits(server: ScriptedOllama) -> None:
    """While nobody reads the pipe the server is never held up, and in the end it is all there."""
    # More than all the buffers between the two could hold, so that somebody has to take it.
    words = [f"{number:07}" * 9362 for number in range(320)]
    server.enqueue(Reply.answer(words))

    with started("chat", "-m", "think", "Count.", server=server) as program:
        seen = server.wait_for(1, PATIENCE)[0]
        seen.wait_finished(PATIENCE)

        assert seen.longest_write_wait < 1
        output, errors = program.communicate(timeout=PATIENCE)
    assert output.decode() == "".join(words) + "\n"
    assert (program.returncode, errors) == (0, b"")


def test_interrupted_while_nobody_reads(server: ScriptedOllama) -> None:
    """Ctrl-C ends it, also where what was written is not taken."""
    server.enqueue(Reply.answer(["word " * 100_000] * 2))

    with started("chat", "-m", "think", "Count.", server=server) as program:
        server.wait_for(1, PATIENCE)[0].wait_finished(PATIENCE)
        assert program.stdout is not None
        assert program.stdout.read(1) == b"w"
        program.send_signal(signal.SIGINT)

        assert program.wait(PATIENCE) == 130


def test_json_log(server: ScriptedOllama, tmp_path: Path) -> None:
    """A log file gets a JSON line for each event, without what was said."""
    file = tmp_path / "chat.jsonl"
    file.write_text("{}\n")
    server.enqueue(Reply.answer("Secret.", thinking="Hm."))

    done = piped("chat", "-m", "think", "--json-log", str(file), "Hi.", server=server)

    assert (done.returncode, done.stdout, done.stderr) == (0, "Secret.\n", "")
    lines = [orjson.loads(line) for line in file.read_bytes().splitlines()]
    assert [line.get("event") for line in lines] == [None, "chat_started", "chat_first_token", "chat_finished"]
    assert lines[3]["level"] == "info"
    assert lines[3]["eval_count"] == 2
    assert "Secret" not in file.read_text()


def test_json_log_that_cannot_be(tmp_path: Path) -> None:
    """A log that cannot be written is an error before anything is asked."""
    done = piped("chat", "-m", "think", "--json-log", str(tmp_path / "no" / "log"), "Hi.")

    assert done.returncode == 1
    assert done.stderr == f"rxollama: cannot write the log {tmp_path}/no/log: No such file or directory\n"
