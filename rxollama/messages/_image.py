"""Images: everything that a caller may give becomes base64 text."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import TypeAlias

from rxollama._checks import check_several
from rxollama._invalid_value import invalid_value

__all__ = ("Image", "encode_image", "encode_images")

Image: TypeAlias = "str | bytes | PathLike[str]"
"""An image: a path object, the bytes of a file, base64 text, or a `data:` URI."""

_ALLOWED = "a pathlib.Path, bytes, standard base64 text or a base64 data: URI"


def encode_images(images: Iterable[Image], field: str = "images") -> tuple[str, ...]:
    """
    Return several images as base64 texts.

    Args:
        images: The images.
        field: The name of the field, for the error.

    Returns:
        Standard, padded base64 texts.

    Raises:
        InvalidValueError: If this is not an iterable of images, a file cannot be read, or a text is not base64.
    """
    return tuple(encode_image(image, field) for image in check_several(field, images))


def encode_image(image: Image, field: str = "images") -> str:
    """
    Return an image as the base64 text that Ollama expects.

    A str is never a path: a server's reply passes here as well, and must not make the client read files.

    Args:
        image: The image.
        field: The name of the field, for the error.

    Returns:
        Standard, padded base64 text.

    Raises:
        InvalidValueError: If the file cannot be read, or the text is not base64.
    """
    if isinstance(image, str):
        return _checked(image, field)
    if isinstance(image, (bytes, bytearray, memoryview)):
        return base64.b64encode(image).decode("ascii")
    if isinstance(image, PathLike):
        try:
            return base64.b64encode(Path(image).read_bytes()).decode("ascii")
        except (OSError, TypeError, ValueError) as error:
            # A path of bytes is a TypeError, and one with a zero byte a ValueError.
            reason = getattr(error, "strerror", None) or error
            raise invalid_value(field, image, f"a file that can be read ({reason})") from error
    raise invalid_value(field, image, _ALLOWED, show=False)


def _checked(text: str, field: str) -> str:
    if text.startswith("data:"):
        head, comma, text = text.partition(",")
        if not comma or not head.endswith(";base64"):
            raise invalid_value(field, text, "a data: URI whose data is base64 (data:image/png;base64,...)", show=False)
    try:
        raw = text.encode("ascii")
        binascii.a2b_base64(raw.replace(b"\r", b"").replace(b"\n", b""), strict_mode=True)
    except ValueError:
        # Neither the text nor the reason, which quotes it, is shown: it may be private.
        raise invalid_value(
            field, text, f"{_ALLOWED}; for the path of a file pass pathlib.Path(...)", show=False
        ) from None
    return text
