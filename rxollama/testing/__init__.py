"""
A scripted Ollama for tests: a real HTTP server that plays replies and recordings.

It answers Ollama's endpoints on loopback, records each request and when a client left, and misbehaves on request.
It is independent of the rest of rxollama and of any test framework, and needs aiohttp, which the extra `testing`
installs.

.. versionadded:: 0.1
"""

from rxollama._public import publish

try:
    from rxollama.testing._journal import SeenRequest
    from rxollama.testing._pieces import Piece
    from rxollama.testing._recording import RecordedRequest, Recording
    from rxollama.testing._reply import Reply
    from rxollama.testing._server import ScriptedOllama
except ModuleNotFoundError as _missing:
    if _missing.name != "aiohttp":
        raise
    raise ModuleNotFoundError(
        "rxollama.testing needs aiohttp: install it with pip install 'rxollama[testing]'", name="aiohttp"
    ) from None

__all__ = ("Piece", "RecordedRequest", "Recording", "Reply", "ScriptedOllama", "SeenRequest")

publish(globals())
