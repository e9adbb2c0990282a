"""`full_name`: the name of a model as servers compare it."""

from __future__ import annotations

import pytest

from rxollama._hosts import full_name


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("m", "m:latest"),
        ("m:8b", "m:8b"),
        (" Qwen3:8B ", "qwen3:8b"),
        ("host:80/team/m", "host:80/team/m:latest"),
        ("host:80/team/m:8b", "host:80/team/m:8b"),
    ],
)
def test_full_name(model: str, name: str) -> None:
    """A name has a tag, and the port of a registry is not one."""
    assert full_name(model) == name
