"""The chat in a pipe: standard output holds only the answer."""

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
    """Standard output holds the content unchanged, and a line feed at its end."""
    server.enqueue(Reply.answer("One *two*\n\x1b[31mthree <b>", thinking="Hm."))

    done = piped("chat", "-m", "think", "--think", "high", "--system", "Be brief.", "Count.", server=server)

    assert (done.returncode, done.stdout, done.stderr) == (0, "One *two*\n\x1b[31mthree <b>\n", "")
    body = server.requests[0].json
    assert (body["model"], body["think"]) == ("think", "high")
    assert body["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Count."}]


def test_cut_prompt(server: ScriptedOllama) -> None:
    """A prompt that the server cut is noted in one line after the answer, in the terms of the command line."""
    server.enqueue(Reply.answer("Yes.", prompt_eval_count=2050))
    server.always(Reply.json({"models": [{"model": "think:latest", "context_length": 4096}]}), "/api/ps")

    done = piped("chat", "-m", "think", "word " * 3000, server=server)

    assert (done.returncode, done.stdout) == (0, "Yes.\n")
    assert done.stderr == (
        "the model did not read all of this: it is longer than the context window; ask for less, begin a new "
        "conversation, or start the server with a larger OLLAMA_CONTEXT_LENGTH\n"
    )


def test_call_without_tools(server: ScriptedOllama) -> None:
    """Without `--tools`, calls and their results are not shown."""
    server.enqueue(Reply.answer("Let me see.", tool_calls=[{"name": "f"}]), Reply.answer("I cannot."))

    done = piped("chat", "-m", "think", "Count.", server=server)

    assert (done.returncode, done.stdout, done.stderr) == (0, "Let me see.I cannot.\n", "")
    assert "there is no tool 'f'" in server.requests[1].json["messages"][-1]["content"]


def test_final_line_feed(server: ScriptedOllama) -> None:
    """No line feed is added to an answer that ends in one, nor to an empty answer."""
    server.enqueue(Reply.answer(["One.\n"]), Reply.answer(""))

    assert piped("chat", "-m", "think", "Count.", server=server).stdout == "One.\n"
    assert piped("chat", "-m", "think", "Count.", server=server).stdout == ""


def test_it_streams(server: ScriptedOllama) -> None:
    """Content is written as it arrives, while the server still answers."""
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
    """A note beside the answer says that it was cut off."""
    server.enqueue(Reply.answer("One", done_reason="length"))

    done = piped("chat", "-m", "think", "Count.", server=server)

    assert (done.returncode, done.stdout, done.stderr) == (0, "One\n", "cut off: length limit reached (length)\n")


def test_prompt_from_stdin(server: ScriptedOllama) -> None:
    """Without arguments, standard input is the prompt, and the first model that can chat is asked."""
    server.always(Reply.json(MODELS), path="/api/tags")
    server.enqueue(Reply.answer("Yes."), path="/api/chat")

    done = piped("chat", server=server, stdin="Is it\nso?\n")

    assert (done.stdout, done.stderr) == ("Yes.\n", "model qwen3:8b; choose another with -m or OLLAMA_MODEL\n")
    body = server.requests[1].json
    assert (body["model"], body["messages"]) == ("qwen3:8b", [{"role": "user", "content": "Is it\nso?"}])


def test_model_from_the_environment(server: ScriptedOllama) -> None:
    """OLLAMA_MODEL names the model unless an argument does."""
    server.enqueue(Reply.answer("Yes."))

    piped("chat", "Is it so?", server=server, OLLAMA_MODEL="gemma")

    assert server.requests[0].json["model"] == "gemma"


def test_nothing_to_ask(server: ScriptedOllama) -> None:
    """An empty prompt and a closed standard input are wrong usage."""
    words = "rxollama: there is no prompt: give one as an argument or on standard input\n"

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
    """A server without models is an error of its own, and says what to do."""
    done = piped("chat", "Hi.", server=server)

    assert done.returncode == 1
    assert done.stderr.startswith("rxollama: this server has no model to chat with: pull one")


@pytest.mark.parametrize("arguments", [["chat", "Hi."], ["chat", "-m", "think", "Hi."], ["models"], ["pull", "think"]])
def test_no_server(arguments: list[str], server: ScriptedOllama) -> None:
    """Without a server, one line says what to start or to set."""
    server.stop()

    done = piped(*arguments, server=server)

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(
        f"rxollama: cannot connect to {server.url}: connection refused; start Ollama there (`ollama serve`)"
    )
    assert "OLLAMA_HOST" in done.stderr


def test_broken_off(server: ScriptedOllama) -> None:
    """An answer that breaks off is written as far as it arrived, and a line says why it ended."""
    server.enqueue(Reply.answer("One two three.").with_error("llama runner\ndied", after=2))

    done = piped("chat", "-m", "think", "Count.", server=server)

    assert (done.returncode, done.stdout) == (1, "One two\n")
    assert done.stderr.splitlines()[0].startswith("broken off after")
    assert done.stderr.splitlines()[1].startswith("rxollama: the server reported: llama runner died")


def test_host(server: ScriptedOllama, recordings: dict[str, Recording]) -> None:
    """`--host` names the server, and a refused request shows the server's error."""
    server.always(Reply.of(recordings["no-model"]))

    done = piped("chat", "--host", server.url, "-m", "nobody", "Hi.", OLLAMA_HOST="localhost:1")

    assert done.returncode == 1
    assert "model 'nobody' not found" in done.stderr


def test_reader_leaves(server: ScriptedOllama) -> None:
    """A reader that leaves ends the program without an error, and the request is closed."""
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
def test_no_reader(arguments: list[str], server: ScriptedOllama) -> None:
    """A pipe without a reader causes no error, for the help and for an error."""
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
    """A reader that waits does not stop the server, and later reads all of the answer."""
    # More than the buffers between the two can hold, so that the program has to read it.
    words = [f"{number:07}" * 9362 for number in range(320)]
    server.enqueue(Reply.answer(words))

    with started("chat", "-m", "think", "Count.", server=server) as program:
        seen = server.wait_for(1, PATIENCE)[0]
        # The server has sent everything while nothing was read.
        seen.wait_finished(PATIENCE)
        output, errors = program.communicate(timeout=PATIENCE)
    assert output.decode() == "".join(words) + "\n"
    assert (program.returncode, errors) == (0, b"")


def test_interrupted_while_nobody_reads(server: ScriptedOllama) -> None:
    """Ctrl-C ends the program although nobody reads what it wrote."""
    server.enqueue(Reply.answer(["word " * 100_000] * 2))

    with started("chat", "-m", "think", "Count.", server=server) as program:
        server.wait_for(1, PATIENCE)[0].wait_finished(PATIENCE)
        assert program.stdout is not None
        assert program.stdout.read(1) == b"w"
        program.send_signal(signal.SIGINT)

        assert program.wait(PATIENCE) == 130


def test_json_log(server: ScriptedOllama, tmp_path: Path) -> None:
    """The log file gets a JSON line for each event, without the texts."""
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


def test_json_log_that_cannot_be_written(tmp_path: Path) -> None:
    """A log file that cannot be written is an error before any request."""
    done = piped("chat", "-m", "think", "--json-log", str(tmp_path / "no" / "log"), "Hi.")

    assert done.returncode == 1
    assert done.stderr == f"rxollama: cannot write the log {tmp_path}/no/log: No such file or directory\n"
