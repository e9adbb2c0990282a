"""The server of the tests of the scripted server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from server_cases import RECORDINGS

from rxollama.testing import ScriptedOllama


@pytest.fixture
def server() -> Iterator[ScriptedOllama]:
    """Return a running server that plays recordings without pauses."""
    with ScriptedOllama(RECORDINGS, speed=None) as server:
        yield server
