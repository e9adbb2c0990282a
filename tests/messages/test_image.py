"""Images on their way into a message."""

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
    """A path object of bytes, as `os.scandir(b".")` gives."""

    def __fspath__(self) -> bytes:
        return b"/etc/hostname"


class TestEncodeImage:
    """`encode_image()` makes base64 text of whatever a caller has."""

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
        """Bytes are encoded, base64 stays, a data URI loses its head."""
        assert encode_image(image) == _BASE64

    def test_reads_a_path_object(self, tmp_path: Path) -> None:
        """A path object is read as a file."""
        file = tmp_path / "picture.png"
        file.write_bytes(_PICTURE)

        assert encode_image(file) == _BASE64

    def test_reads_any_path_like_object(self, tmp_path: Path) -> None:
        """An entry of a folder is a path object as well."""
        (tmp_path / "picture.png").write_bytes(_PICTURE)
        with os.scandir(tmp_path) as entries:
            entry = next(entries)

        assert encode_image(entry) == _BASE64

    def test_keeps_line_ends_inside_base64(self) -> None:
        """Line ends within base64 text are no reason to refuse it: the server passes over them."""
        assert encode_image("cGlj\r\ndHVy\nZQ==") == "cGlj\r\ndHVy\nZQ=="

    @given(st.binary(max_size=40))
    def test_loses_no_byte(self, data: bytes) -> None:
        """What was encoded decodes to the same bytes."""
        assert data == base64.b64decode(encode_image(data))

    def test_never_takes_text_for_a_path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Text is base64, even where a file of that name exists."""
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
        """Paths, addresses, other alphabets and cut texts are refused, with the way out and without the text."""
        with pytest.raises(InvalidValueError) as caught:
            encode_image(text)

        assert (caught.value.field, caught.value.given) == ("images", "str")
        assert "base64" in caught.value.allowed
        assert text not in "".join(traceback.format_exception(caught.value))
        assert caught.value.__suppress_context__ or caught.value.__context__ is None

    def test_says_how_to_pass_a_path(self) -> None:
        """Who passes a path as text is told about path objects."""
        with pytest.raises(InvalidValueError, match=r"pass pathlib\.Path\(\.\.\.\)"):
            encode_image("photo.jpeg")

    def test_refuses_a_missing_file(self, tmp_path: Path) -> None:
        """A file that cannot be read is named, with the system's reason."""
        missing = tmp_path / "missing.png"

        with pytest.raises(InvalidValueError, match="No such file or directory") as caught:
            encode_image(missing, "messages[0].images")

        assert ("messages[0].images", repr(missing)[:80]) == (caught.value.field, caught.value.given[:80])

    @pytest.mark.parametrize("path", [Path("zero\0byte"), _BytesPath()], ids=["zero byte", "bytes"])
    def test_refuses_an_impossible_path(self, path: Any) -> None:
        """A path that no system would open is refused like a missing file."""
        with pytest.raises(InvalidValueError, match="a file that can be read"):
            encode_image(path)

    @pytest.mark.parametrize("image", [None, 1, ["aGVsbG8="], {"text": "secret"}])
    def test_refuses_what_is_no_image(self, image: Any) -> None:
        """Anything else is refused by its type alone."""
        with pytest.raises(InvalidValueError) as caught:
            encode_image(image)

        assert caught.value.given == "None" if image is None else type(image).__name__


class TestEncodeImages:
    """`encode_images()` takes several."""

    def test_takes_any_iterable(self) -> None:
        """A generator is as good as a list."""
        assert encode_images(image for image in (_PICTURE, _BASE64)) == (_BASE64, _BASE64)

    @pytest.mark.parametrize("images", ["aGVsbG8=", b"bytes", bytearray(), memoryview(b""), Path("a.png"), {}, None, 3])
    def test_refuses_a_single_one(self, images: Any) -> None:
        """One image that is not in a list is refused, not taken apart."""
        with pytest.raises(InvalidValueError, match="a list or tuple") as caught:
            encode_images(images)

        assert caught.value.field == "images"

    def test_serves_messages(self) -> None:
        """A message holds base64 texts, whatever it was given."""
        assert Message.user("Look!", images=[_PICTURE]).images == (_BASE64,)
