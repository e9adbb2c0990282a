"""Reading recordings."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from rxollama.testing import Recording

RECORDINGS = Path(__file__).parent.parent / "recordings"

EXCHANGE = {
    "about": "two reads",
    "request": {"method": "POST", "path": "/api/chat", "body": {"model": "plain"}},
    "status": 200,
    "headers": {"content-type": "application/x-ndjson"},
    "head_ns": 5,
    "reads": [[5, "one\n"], [9, {"base64": "8J+O"}]],
    "end_ns": 12,
    "ends": "reset",
    "expect": {"records": 1},
}


def test_all_fields() -> None:
    """A recording holds the request, the answer with its timing, and the expected values."""
    recording = Recording.load(RECORDINGS / "truncated.json")

    assert recording.name == "truncated"
    assert recording.about == "a clean end without done"
    assert recording.request.method == "POST"
    assert recording.request.path == "/api/chat"
    assert recording.request.body["model"] == "plain"
    assert recording.status == 200
    assert recording.headers["content-type"] == "application/x-ndjson"
    assert recording.head_ns == recording.reads[0][0] == 526489760
    assert recording.end_ns == 540639275
    assert recording.ends == "complete"
    assert recording.expect["content"] == "Half an answer"
    assert len(recording.reads) == 3


def test_pieces_that_are_no_text(tmp_path: Path) -> None:
    """A read that ends within a character is kept as base64. The body is all reads joined."""
    path = tmp_path / "broken.json"
    path.write_bytes(orjson.dumps(EXCHANGE))

    recording = Recording.load(path)

    assert recording.reads == ((5, b"one\n"), (9, b"\xf0\x9f\x8e"))
    assert recording.body == b"one\n\xf0\x9f\x8e"


def test_load_all() -> None:
    """All recordings of a folder are read, by name and in order."""
    recordings = Recording.load_all(RECORDINGS)

    assert len(recordings) == len(list(RECORDINGS.glob("*.json")))
    assert list(recordings) == sorted(recordings)
    assert all(name == recording.name for name, recording in recordings.items())


@pytest.mark.parametrize(
    "content",
    [
        b"no json",
        b"[]",
        b"{}",
        orjson.dumps(EXCHANGE | {"status": "fine"}),
        orjson.dumps(EXCHANGE | {"reads": [[5]]}),
        orjson.dumps(EXCHANGE | {"reads": [[5, {"base64": "?"}]]}),
    ],
)
def test_no_recording(tmp_path: Path, content: bytes) -> None:
    """A file that does not hold a recording is refused by its name."""
    path = tmp_path / "other.json"
    path.write_bytes(content)

    with pytest.raises(ValueError, match=r"other\.json: expected a recording"):
        Recording.load(path)


def test_no_file(tmp_path: Path) -> None:
    """A missing file is a FileNotFoundError."""
    with pytest.raises(FileNotFoundError):
        Recording.load(tmp_path / "none.json")
