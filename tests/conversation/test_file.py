"""Saving and loading a conversation."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from time import thread_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import json_objects, texts, tool_calls

from rxollama import Conversation, Ollama
from rxollama.conversation import Turn
from rxollama.conversation._file import SavedConversation, read, write
from rxollama.errors import InvalidValueError
from rxollama.messages import Message, Metrics

HEADER = b'{"rxollama":"conversation","version":1,"model":"m","system":"","options":{},"messages":%d}\n'
HI = b'{"turn":1,"message":{"role":"user","content":"Hi"}}\n'
HELLO = b'{"turn":1,"message":{"role":"assistant","content":"Hello."}}\n'

_messages = st.builds(
    Message,
    st.sampled_from(["user", "assistant", "tool", "critic"]),
    texts(),
    texts(),
    st.sampled_from([(), ("aGVsbG8=",)]),
    st.lists(tool_calls(), max_size=2).map(tuple),
    texts(),
    texts(),
)
_metrics = st.sampled_from([Metrics(), Metrics(eval_count=1), Metrics(eval_count=1) + Metrics(wall_duration=2)])
_turns = st.builds(Turn, st.lists(_messages, min_size=1, max_size=4).map(tuple), st.booleans(), _metrics)
_saved = st.builds(
    SavedConversation,
    st.sampled_from(["m", "qwen3:8b"]),
    texts(),
    st.sampled_from(
        [
            {},
            {
                "after_break": "continue",
                "max_thinking": 7,
                "think": "high",
                "options": {"num_ctx": 8},
                "keep_alive": 5,
                "format": {"type": "object"},
            },
        ]
    ),
    st.lists(_turns, max_size=3).map(tuple),
)


@pytest.fixture
def client() -> Ollama:
    """Return a client that sends nothing."""
    return Ollama("http://localhost:1")


@given(saved=_saved, extra=json_objects())
def test_identity(tmp_path_factory: pytest.TempPathFactory, saved: SavedConversation, extra: dict[str, Any]) -> None:
    """The loaded value equals the saved one."""
    path = tmp_path_factory.getbasetemp() / "identity.jsonl"
    saved = SavedConversation(saved.model, saved.system, {**saved.options, "extra": extra}, saved.turns)
    write(path, saved)

    assert read(path) == saved


def test_lines(tmp_path: Path, client: Ollama) -> None:
    """A file has a header and a line per message, for people and other programs."""
    path = tmp_path / "talk.jsonl"
    history = [Message.user("Hi"), Message.assistant("Hello."), Message.user("é?")]
    Conversation(client, "m", system="Be brief.", messages=history, keep_alive=timedelta(minutes=5)).save(path)

    assert path.read_text("utf-8").splitlines() == [
        (
            '{"rxollama":"conversation","version":1,"model":"m","system":"Be brief.",'
            '"options":{"keep_alive":300.0},"messages":3}'
        ),
        '{"turn":1,"message":{"role":"user","content":"Hi"},"done":true}',
        '{"turn":1,"message":{"role":"assistant","content":"Hello."}}',
        '{"turn":2,"message":{"role":"user","content":"é?"},"done":true}',
    ]


def test_load(tmp_path: Path, client: Ollama) -> None:
    """A loaded conversation is the saved one, except for the arguments of load."""
    path = tmp_path / "talk.jsonl"
    saved = Conversation(client, "m", system="Be brief.", messages="Hi", think=True, options={"seed": 1})
    saved.save(path)
    same = Conversation.load(path, client)
    other = Conversation.load(str(path), client, model="n", system="", think=False, max_messages=3)
    other.save(tmp_path / "other.jsonl")

    assert (same.model, same.system, same.turns) == ("m", "Be brief.", saved.turns)
    assert (other.model, other.system, other.turns) == ("n", "", saved.turns)
    assert read(path).options == {"think": True, "options": {"seed": 1}}
    assert read(tmp_path / "other.jsonl").options == {"think": False, "options": {"seed": 1}}


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (b"", 1, "truncated"),
        (b"\n", 1, "truncated"),
        (b"[]\n", 1, "Expected `object`"),
        (HI, 1, "missing required field `rxollama`|unknown field"),
        (HEADER.replace(b"1", b"2") % 0, 1, "Invalid enum value 2"),
        (HEADER.replace(b'"version"', b'"version ') % 0, 1, "malformed"),
        (HEADER.replace(b'"m"', b'""') % 0, 1, "model: "),
        (HEADER.replace(b"{}", b'{"color":1}') % 0, 1, "unknown options: color"),
        (HEADER.replace(b"{}", b'{"think":1}') % 0, 1, "think: "),
        (HEADER.replace(b'"messages":%d', b'"messages":0,"more":1'), 1, "unknown field `more`"),
        (HEADER % 2 + HI + HELLO[:-10], 3, "truncated"),
        (HEADER % 2 + HI, 2, "expected 2 messages in the file, got 1"),
        (HEADER % 1 + HI + HELLO, 3, "expected 1 messages in the file, got 2"),
        (HEADER % 2 + HI + b"\n" + HELLO, 3, "truncated"),
        (HEADER % 1 + HI.replace(b"Hi", b"\xff"), 2, "."),
        (HEADER % 1 + b"[" * 100_000, 2, "."),
        (HEADER % 1 + HI.replace(b'"Hi"', b"5"), 2, "messages.content: expected a str, got int"),
        (HEADER % 1 + HI.replace(b"content", b"contents"), 2, "unknown fields of a message: contents"),
        (HEADER % 1 + HI.replace(b"user", b" "), 2, "role"),
        (HEADER % 1 + HI.replace(b'"turn":1', b'"turn":2'), 2, "turn 2 after turn 0"),
        (HEADER % 1 + HI.replace(b'"turn":1', b'"turn":0'), 2, "turn 0 after turn 0"),
        (HEADER % 2 + HI + HELLO.replace(b'"turn":1', b'"turn":3'), 3, "turn 3 after turn 1"),
        (HEADER % 2 + HI + HELLO.replace(b'"turn":1', b'"turn":1,"done":false'), 3, "belong on the first line"),
        (
            HEADER % 2 + HI + HELLO.replace(b'"turn":1', b'"turn":1,"metrics":{"eval_count":1}'),
            3,
            "belong on the first line",
        ),
        (HEADER % 1 + HI.replace(b'"turn"', b'"day":1,"turn"'), 2, "unknown field `day`"),
    ],
)
def test_broken(tmp_path: Path, client: Ollama, text: bytes, line: int, reason: str) -> None:
    """A broken, incomplete or unknown file is refused with its name and the line."""
    path = tmp_path / "talk.jsonl"
    path.write_bytes(text)

    with pytest.raises(InvalidValueError, match=f"talk.jsonl, line {line}: .*({reason})") as raised:
        Conversation.load(path, client)
    assert raised.value.field == f"line {line}"


def test_every_cut_is_noticed(tmp_path: Path, client: Ollama) -> None:
    """A file that is cut off anywhere is refused. Only the last line end may be missing."""
    path = tmp_path / "talk.jsonl"
    Conversation(client, "m", messages=[Message.user("Hi"), Message.assistant("Hello.")]).save(path)
    whole = path.read_bytes()
    for end in range(len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(InvalidValueError, match="line"):
            Conversation.load(path, client)
    path.write_bytes(whole[:-1])

    assert Conversation.load(path, client).messages[1].content == "Hello."


def test_no_file(tmp_path: Path, client: Ollama) -> None:
    """A missing file is a FileNotFoundError."""
    with pytest.raises(FileNotFoundError):
        Conversation.load(tmp_path / "none", client)


def test_messages_beside_a_file(tmp_path: Path, client: Ollama) -> None:
    """A history beside that of the file is refused."""
    options: Any = {"messages": "Hi"}
    Conversation(client, "m").save(tmp_path / "talk.jsonl")

    with pytest.raises(InvalidValueError, match=r"messages: expected no messages=, which the file holds"):
        Conversation.load(tmp_path / "talk.jsonl", client, **options)


def test_long_turn(tmp_path: Path, client: Ollama) -> None:
    """The time to load a turn grows in proportion to its messages."""
    path = tmp_path / "talk.jsonl"

    def seconds(count: int) -> float:
        Conversation(client, "m", messages=[Message.user("")] * count).save(path)
        start = thread_time()
        Conversation.load(path, client)
        return thread_time() - start

    # 20 times the messages. A quadratic reader would take some 400 times as long.
    assert min(seconds(40_000) for _ in range(2)) < 80 * min(seconds(2_000) for _ in range(3))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes with names in folders")
def test_pipe(tmp_path: Path, client: Ollama) -> None:
    """A pipe or a device is written to and not replaced."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        Conversation(client, "m", messages="Hi").save(path)
        written = os.read(reader, 1 << 12)
    finally:
        os.close(reader)

    assert written.splitlines(keepends=True)[1:] == [HI.replace(b"}}", b'},"done":true}')]
    assert path.is_fifo()


def test_full_disk(tmp_path: Path, client: Ollama) -> None:
    """If the disk is full, the old file stays and no other is left."""
    path = tmp_path / "talk.jsonl"
    resource = pytest.importorskip("resource", reason="Windows has no limit of file sizes")
    Conversation(client, "m", messages="Old").save(path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            Conversation(client, "m", messages="New" * 1000).save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert list(tmp_path.iterdir()) == [path]
    assert Conversation.load(path, client).messages == (Message.user("Old"),)


def test_not_replaced(tmp_path: Path, client: Ollama) -> None:
    """If a folder is in the way, it stays as it is and no other file is left."""
    path = tmp_path / "talk.jsonl"
    (path / "inside").mkdir(parents=True)

    with pytest.raises(OSError, match="talk"):
        Conversation(client, "m", messages="New").save(path)
    assert list(tmp_path.iterdir()) == [path]
    assert list(path.iterdir()) == [path / "inside"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda: {"messages": "\ud800"}, r"turns\[0\]"),
        (lambda: {"messages": "Hi", "system": "\ud800"}, "the header"),
    ],
)
def test_unwritable(tmp_path: Path, client: Ollama, change: Callable[[], Any], field: str) -> None:
    """Text that JSON cannot hold is refused before the file is touched."""
    with pytest.raises(InvalidValueError, match=f"{field}: expected values that JSON can hold"):
        Conversation(client, "m", **change()).save(tmp_path / "talk.jsonl")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
def test_rights(tmp_path: Path, client: Ollama) -> None:
    """Only its owner can read a new file. A replaced file keeps its rights, and a link stays a link."""
    path, link = tmp_path / "talk.jsonl", tmp_path / "link"
    conversation = Conversation(client, "m", messages="Hi")
    conversation.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    link.symlink_to(path)
    conversation.save(link)

    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize("path", ["talk\0.jsonl", "\ud800.jsonl", 5, b"talk.jsonl"])
def test_impossible_path(client: Ollama, path: Any) -> None:
    """A value that cannot name a file is refused by save and load."""
    conversation = Conversation(client, "m")

    with pytest.raises(InvalidValueError, match="path: "):
        conversation.save(path)
    with pytest.raises(InvalidValueError, match="path: "):
        Conversation.load(path, client)


@pytest.mark.skipif(os.name == "nt", reason="Windows lets only some users make links")
def test_link_to_itself(tmp_path: Path, client: Ollama) -> None:
    """A link that leads to itself is an OSError, and stays."""
    link = tmp_path / "link"
    link.symlink_to(link)

    with pytest.raises(OSError, match="link"):
        Conversation(client, "m").save(link)
    with pytest.raises(OSError, match="link"):
        Conversation.load(link, client)
    assert list(tmp_path.iterdir()) == [link]
    assert link.is_symlink()


@pytest.mark.skipif(os.name == "nt", reason="Windows lets only some users make links")
def test_link_to_nothing(tmp_path: Path, client: Ollama) -> None:
    """A link to a missing file stays a link, and the file is written."""
    path, link = tmp_path / "talk.jsonl", tmp_path / "link"
    link.symlink_to(path)
    Conversation(client, "m", messages="Hi").save(link)

    assert link.is_symlink()
    assert Conversation.load(path, client).messages == (Message.user("Hi"),)


# Saves to the file until it is killed in the middle of a save.
_KILLED = """
import os, signal, sys
from rxollama import Conversation, Ollama

os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
Conversation(Ollama("http://localhost:1"), "m", messages="Hi").save(sys.argv[1])
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_killed(tmp_path: Path, client: Ollama) -> None:
    """A killed save leaves the old file, and a later save removes the temporary one when it is stale."""
    path = tmp_path / "talk.jsonl"
    conversation = Conversation(client, "m", messages="Old")
    conversation.save(path)
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(path)], check=False)
    [left] = set(tmp_path.iterdir()) - {path}
    assert killed.returncode == -signal.SIGKILL
    assert Conversation.load(path, client).messages == (Message.user("Old"),)

    conversation.save(path)
    assert left.exists(), "a save that may be in progress was disturbed"
    an_hour_ago = path.stat().st_mtime - 3700
    os.utime(left, (an_hour_ago, an_hour_ago))
    conversation.save(path)
    assert list(tmp_path.iterdir()) == [path]


def test_two_at_once(tmp_path: Path, client: Ollama) -> None:
    """Two savers of one file do not disturb each other, and the file is one whole conversation at any moment."""
    path = tmp_path / "talk.jsonl"
    conversations = [Conversation(client, "m", messages=text * 5000) for text in ("one ", "two ")]
    conversations[0].save(path)
    known = {conversation.messages for conversation in conversations}

    def save(conversation: Conversation) -> None:
        for _ in range(30):
            conversation.save(path)

    with ThreadPoolExecutor(2) as pool:
        saves = [pool.submit(save, conversation) for conversation in conversations]
        while not all(each.done() for each in saves):
            assert Conversation.load(path, client).messages in known

    assert [each.exception() for each in saves] == [None, None]
    assert list(tmp_path.iterdir()) == [path]


def test_files_that_are_kept(tmp_path: Path, client: Ollama) -> None:
    """Old files that a save of this target cannot have left are kept."""
    path = tmp_path / "talk.jsonl"
    names = [".talk.jsonl.backup", ".talk.jsonl.tmp", ".other.jsonl.abcdefgh.tmp", ".talk.jsonl.b.abcdefgh.tmp"]
    for name in names:
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    # A folder of a stale file's name cannot be removed, and does not fail the save.
    (tmp_path / ".talk.jsonl.abcdefgh.tmp").mkdir()
    os.utime(tmp_path / ".talk.jsonl.abcdefgh.tmp", (0, 0))
    Conversation(client, "m").save(path)

    assert {each.name for each in tmp_path.iterdir()} == {path.name, ".talk.jsonl.abcdefgh.tmp", *names}
