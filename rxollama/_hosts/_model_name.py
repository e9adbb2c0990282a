"""The full name of a model."""

from __future__ import annotations

__all__ = ("full_name",)


def full_name(model: str) -> str:
    """Return the name of a model as servers compare it: in lower case, with its tag, which is `latest` by default."""
    name = model.strip().lower()
    # A registry may have a port: "localhost:5000/qwen3" has no tag.
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"
