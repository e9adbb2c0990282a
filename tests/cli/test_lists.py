"""The commands `models` and `pull` in a pipe."""

from __future__ import annotations

import pytest
from terminals import piped

from rxollama.testing import Recording, Reply, ScriptedOllama


def test_models(server: ScriptedOllama, recordings: dict[str, Recording]) -> None:
    """In a pipe each model is a line with tabs between its fields and its size in bytes."""
    server.always(Reply.of(recordings["tags"]), path="/api/tags")

    done = piped("models", server=server)

    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr, len(lines)) == (0, "", 9)
    assert lines[0].split("\t") == [
        "think:latest",
        "6511",
        "1K",
        "F32",
        "completion, tools, thinking",
        "2026-11-22T11:21:27.569762077Z",
    ]


def test_no_models(server: ScriptedOllama) -> None:
    """A server without models leaves the pipe empty, and a note says what to do."""
    done = piped("models", server=server)

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("this server has no models; pull one")


def test_pull(server: ScriptedOllama, recordings: dict[str, Recording]) -> None:
    """In a pipe a pull writes a line for each stage, and one for each tenth of a layer."""
    server.always(Reply.of(recordings["pull"], speed=None), path="/api/pull")

    done = piped("pull", "qwen3", server=server)

    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert lines[:3] == [
        "pulling manifest",
        "pulling 46567d646fab: 0 % of 64.0 MB",
        "pulling 46567d646fab: 10 % of 64.0 MB",
    ]
    assert lines[-4:] == [
        "pulling 46567d646fab: 90 % of 64.0 MB",
        "verifying sha256 digest",
        "writing manifest",
        "success",
    ]
    assert len(lines) == 14
    assert server.requests[0].json["model"] == "qwen3"


def test_pull_fails(server: ScriptedOllama, recordings: dict[str, Recording]) -> None:
    """A failed pull shows the server's error."""
    server.always(Reply.of(recordings["pull-missing"], speed=None), path="/api/pull")

    done = piped("pull", "nobody", server=server)

    assert (done.returncode, done.stdout) == (1, "pulling manifest\n")
    assert done.stderr.startswith("rxollama: the server reported: pull model manifest")


def test_pull_without_a_name() -> None:
    """An empty model name is an error before any request."""
    done = piped("pull", " ")

    assert done.returncode == 1
    assert done.stderr.startswith("rxollama: the model: expected a model name")


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("ftp://box", "expected a host with the scheme http or https, got 'ftp://box'"),
        ("box:port", "expected a host whose port is a number from 1 to 65535, got str"),
        (
            "http://user:secret@box",
            "expected a host without credentials, which are given as an API key or a header, got str",
        ),
    ],
)
def test_wrong_host(host: str, words: str) -> None:
    """A wrong address is reported in one line, with the option or the variable that gave it."""
    option = piped("models", "--host", host)
    variable = piped("models", OLLAMA_HOST=host)

    assert (option.returncode, option.stderr) == (1, f"rxollama: --host: {words}\n")
    assert (variable.returncode, variable.stderr) == (1, f"rxollama: OLLAMA_HOST: {words}\n")


def test_wrong_key() -> None:
    """A wrong key is reported with the variable that gave it."""
    done = piped("models", OLLAMA_API_KEY="secret\n\x07")

    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("rxollama: OLLAMA_API_KEY: expected ")
    assert "secret" not in done.stderr
