"""Images as base64 text."""

from __future__ import annotations

import base64
import os
import traceback
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rxollama._invalid_value import InvalidValueError
from rxollama.messages import Message
from rxollama.messages._image import encode_image, encode_images

_PICTURE = b"\x89PNG\r\n\x1a\n\x00picture"
_BASE64 = base64.b64encode(_PICTURE).decode()


class _BytesPath:
    """A path object of bytes, as `os.scandir(b".")` yields."""

    def __fspath__(self) -> bytes:
        return b"/etc/hostname"


class TestEncodeImage:
    """`encode_image()` returns base64 text."""

    @pytest.mark.parametrize(
        "image",
        [
            _PICTURE,
            bytearray(_PICTURE),
            memoryview(_PICTURE),
            _BASE64,
            f"data:image/png;base64,{_BASE64}",
            f"data:;base64,{_BASE64}",
        ],
        ids=["bytes", "bytearray", "memoryview", "base64", "data URI", "data URI without a type"],
    )
    def test_takes_every_kind(self, image: Any) -> None:
        """Bytes are encoded, base64 stays, and a data URI loses its prefix."""
        assert encode_image(image) == _BASE64

    def test_reads_a_path_object(self, tmp_path: Path) -> None:
        """A path object is read as a file."""
        file = tmp_path / "picture.png"
        file.write_bytes(_PICTURE)

        assert encode_image(file) == _BASE64

    def test_reads_any_path_like_object(self, tmp_path: Path) -> None:
        """An entry of a directory is a path object too."""
        (tmp_path / "picture.png").write_bytes(_PICTURE)
        with os.scandir(tmp_path) as entries:
            entry = next(entries)

        assert encode_image(entry) == _BASE64

    def test_keeps_line_ends_inside_base64(self) -> None:
        """Line ends within base64 text are allowed, since the server ignores them."""
        assert encode_image("cGlj\r\ndHVy\nZQ==") == "cGlj\r\ndHVy\nZQ=="

    @given(st.binary(max_size=40))
    def test_loses_no_byte(self, data: bytes) -> None:
        """The encoded text decodes to the same bytes."""
        assert data == base64.b64decode(encode_image(data))

    def test_never_takes_text_for_a_path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A str is base64, even if a file of that name exists."""
        (tmp_path / "picture=").write_bytes(_PICTURE)
        monkeypatch.chdir(tmp_path)

        assert encode_image("picture=") == "picture="

    @pytest.mark.parametrize(
        "text",
        [
            "/etc/hostname",
            "./picture.png",
            "picture.png",
            "https://example.org/picture.png",
            "cGljdHVyZQ",
            "cGljdHVyZQ=",
            "cGlj dHVyZQ==",
            "cGlj-HVy_Q==",
            "Größe",
            "data:text/plain,plain",
            "data:text/plain;base64",
            "data:text/plain;base64,###",
        ],
    )
    def test_refuses_text_that_is_no_base64(self, text: str) -> None:
        """Paths, addresses, other alphabets and cut texts are refused without showing them."""
        with pytest.raises(InvalidValueError) as caught:
            encode_image(text)

        assert (caught.value.field, caught.value.given) == ("images", "str")
        assert "base64" in caught.value.allowed
        assert text not in "".join(traceback.format_exception(caught.value))
        assert caught.value.__suppress_context__ or caught.value.__context__ is None

    def test_says_how_to_pass_a_path(self) -> None:
        """The error for a path as a str names path objects."""
        with pytest.raises(InvalidValueError, match=r"pass pathlib\.Path\(\.\.\.\)"):
            encode_image("photo.jpeg")

    def test_refuses_a_missing_file(self, tmp_path: Path) -> None:
        """The error names the file that cannot be read, and the system's reason."""
        missing = tmp_path / "missing.png"

        with pytest.raises(InvalidValueError, match="No such file or directory") as caught:
            encode_image(missing, "messages[0].images")

        assert ("messages[0].images", repr(missing)[:80]) == (caught.value.field, caught.value.given[:80])

    @pytest.mark.parametrize("path", [Path("zero\0byte"), _BytesPath()], ids=["zero byte", "bytes"])
    def test_refuses_an_impossible_path(self, path: Any) -> None:
        """A path that no system can open is refused like a missing file."""
        with pytest.raises(InvalidValueError, match="a file that can be read"):
            encode_image(path)

    @pytest.mark.parametrize("image", [None, 1, ["aGVsbG8="], {"text": "secret"}])
    def test_refuses_what_is_no_image(self, image: Any) -> None:
        """The error for anything else shows its type only."""
        with pytest.raises(InvalidValueError) as caught:
            encode_image(image)

        assert caught.value.given == "None" if image is None else type(image).__name__


class TestEncodeImages:
    """`encode_images()` encodes several images."""

    def test_takes_any_iterable(self) -> None:
        """A generator works like a list."""
        assert encode_images(image for image in (_PICTURE, _BASE64)) == (_BASE64, _BASE64)

    @pytest.mark.parametrize("images", ["aGVsbG8=", b"bytes", bytearray(), memoryview(b""), Path("a.png"), {}, None, 3])
    def test_refuses_a_single_one(self, images: Any) -> None:
        """One image that is not in a list is refused."""
        with pytest.raises(InvalidValueError, match="a list or tuple") as caught:
            encode_images(images)

        assert caught.value.field == "images"

    def test_serves_messages(self) -> None:
        """A message holds base64 text for every kind of image."""
        assert Message.user("Look!", images=[_PICTURE]).images == (_BASE64,)
