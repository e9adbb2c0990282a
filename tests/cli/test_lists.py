"""The models and the pull, in a pipe."""

from __future__ import annotations

import pytest
from terminals import piped

from rxollama.testing import Recording, Reply, ScriptedOllama


def test_models(server: ScriptedOllama, recordings: dict[str, Recording]) -> None:
    """In a pipe there is a line for each model, tab-separated, with the size in bytes."""
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
    """A server without models leaves the pipe empty, and says so beside it."""
    done = piped("models", server=server)

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("this server has no models yet; fetch one")


def test_pull(server: ScriptedOllama, recordings: dict[str, Recording]) -> None:
    """In a pipe a pull has a line for each stage, and for each tenth of a layer."""
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
    """A pull that fails says so in the server's words."""
    server.always(Reply.of(recordings["pull-missing"], speed=None), path="/api/pull")

    done = piped("pull", "nobody", server=server)

    assert (done.returncode, done.stdout) == (1, "pulling manifest\n")
    assert done.stderr.startswith("rxollama: the server reported: pull model manifest")


def test_pull_without_a_name() -> None:
    """An empty name is refused by the library, before anything is asked."""
    done = piped("pull", " ")

    assert done.returncode == 1
    assert done.stderr.startswith("rxollama: model: expected a model name")


@pytest.mark.parametrize("host", ["ftp://box", "box:port"])
def test_wrong_host(host: str) -> None:
    """A host that is none is told in one line."""
    done = piped("models", "--host", host)

    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("rxollama: host: ")
