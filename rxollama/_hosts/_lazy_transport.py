"""
The default transport, which is imported when a client first connects.

The import is a third of the library's import time, and programs that never connect do without it. It runs on a thread
of its own, so that the event loop of the first request goes on.

The law of forks: no process forks while that thread imports. A forked child has no such thread. It would inherit
modules that are half imported and locks that nobody releases, so its own first request would wait for good. So a fork
first waits for the import. Two alternatives do not hold: an import on the loop blocks it, and a child cannot repair
what it inherits, because Python offers no way to release the locks of modules.

The wait needs an end, because the import may need a lock that the forking thread holds. It ends when no module has been
added for some time. A limit for the whole import does not hold: on a busy machine the import takes many seconds. The
time is counted in short waits, of which a process that was stopped misses at most one. A child of a fork that did not
wait to the end gets an error for its requests, because it would otherwise hang.
"""

from __future__ import annotations

import asyncio
import codecs
import os
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

from rxollama._runtime import call_on
from rxollama.errors import ClientClosedError
from rxollama.transport import Request, Response

if TYPE_CHECKING:
    from rxollama._http import AsyncClient, HttpTransport

    Kind: TypeAlias = type[HttpTransport]

__all__ = ("LazyTransport",)

_WAIT_SECONDS = 0.1
_WAITS_WITHOUT_PROGRESS = 50


class LazyTransport:
    """
    The HTTP transport of a client, made when it is first used.

    Args:
        base_url: Scheme, host, port and path prefix of the server.
        api_key: The key, sent as Bearer.
        headers: More headers for each request.
        client: The HTTP client to use instead of an own one.
    """

    def __init__(
        self, base_url: str, api_key: str, headers: Mapping[str, str] | None, client: AsyncClient | None
    ) -> None:
        self._base_url = base_url
        self._api_key = api_key
        self._headers = headers
        self._client = client
        self._made: dict[None, HttpTransport] = {}
        self._is_closed = False

    def open(self, request: Request) -> AbstractAsyncContextManager[Response]:
        """Send a request; see `rxollama.transport.Transport`."""
        made = self._made.get(None)
        return self._open_first(request) if made is None else made.open(request)

    @asynccontextmanager
    async def _open_first(self, request: Request) -> AsyncGenerator[Response, None]:
        kind = await _http.imported()
        if self._is_closed:
            raise ClientClosedError("the client was closed: make a new one")
        fresh = kind(self._base_url, api_key=self._api_key, headers=self._headers, client=self._client)
        # A lock could stay locked in a forked child. `setdefault` is atomic, so two threads that are first share one.
        async with self._made.setdefault(None, fresh).open(request) as response:
            yield response

    def close(self) -> None:
        """Close the transport, if it was made."""
        self._is_closed = True
        for made in list(self._made.values()):
            made.close()

    async def aclose(self) -> None:
        """Close the transport, if it was made."""
        self._is_closed = True
        for made in list(self._made.values()):
            await made.aclose()


class _Attempt:
    """One try of the import. It has no lock, which a forked child could inherit locked."""

    def __init__(self) -> None:
        self.kind: Kind | None = None
        self.error: BaseException | None = None
        self.is_over = False
        self.waiting: list[Callable[[], None]] = []

    def end(self) -> None:
        """Wake up whoever waits for the end."""
        self.is_over = True
        for wake in self.waiting.copy():
            wake()

    async def over(self) -> None:
        """Wait for the end."""
        if self.is_over:
            return
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        self.waiting.append(lambda: call_on(loop, over.set))
        # It looks again after it has joined the others: an attempt that ended in between did not see it.
        if not self.is_over:  # pragma: no branch - It seldom ends just here.
            await over.wait()


class _Import:
    """The import of the HTTP transport, which all clients of the process share."""

    def __init__(self) -> None:
        self._attempts: dict[None, _Attempt] = {}
        # Held by who imports, and by who forks. A module that is imported may fork, so a thread may take it twice.
        self._turn = threading.RLock()
        self._is_cut = False

    async def imported(self) -> Kind:
        """
        Wait for the import, and return the class of the transport.

        Raises:
            ImportError: If the import failed, in which case the next request tries it again. Or if this process was
                forked in the middle of the import.
        """
        if self._is_cut:
            raise ImportError(
                "the HTTP transport cannot be imported: expected a fork before or after its import, got one that the "
                "import waited for; let a first request end before the process forks"
            )
        attempt = self._attempts.get(None) or self._begin()
        await attempt.over()
        if attempt.kind is None:
            error = attempt.error
            raise ImportError(
                f"the HTTP transport cannot be imported ({type(error).__name__}: {error}): "
                "expected the packages that rxollama depends on; install them again"
            ) from error
        return attempt.kind

    def _begin(self) -> _Attempt:
        fresh = _Attempt()
        attempt = self._attempts.setdefault(None, fresh)
        if attempt is fresh:  # pragma: no branch - Two threads seldom begin at once.
            try:
                # The interpreter waits for this thread as it exits, also if it begins on the background loop's thread,
                # a daemon. An executor's thread would outlive the import.
                threading.Thread(target=self._run, args=(fresh,), name="rxollama-import", daemon=False).start()
            except RuntimeError:
                # No thread can be started, as while the interpreter exits.
                self._run(fresh)
        return attempt

    def _run(self, attempt: _Attempt) -> None:
        try:
            with self._turn:
                # Python imports it late, for the first name that is resolved.
                codecs.lookup("idna")
                from rxollama._http import HttpTransport  # noqa: PLC0415 - See the head of this module.
            attempt.kind = HttpTransport
        except BaseException as error:  # noqa: BLE001 - It is raised where the import is awaited.
            attempt.error = error
            self._attempts.clear()
        attempt.end()

    def before_fork(self) -> None:
        """Wait for an import that runs on another thread, as long as it adds modules."""
        count, waits = len(sys.modules), 0
        while not self._turn.acquire(timeout=_WAIT_SECONDS) and waits < _WAITS_WITHOUT_PROGRESS:
            before, count = count, len(sys.modules)
            waits = waits + 1 if count == before else 0

    def after_fork_in_parent(self) -> None:
        """Let imports go on."""
        self._release_turn()

    def after_fork_in_child(self) -> None:
        """Forget an import that had not ended, whose thread the child does not have."""
        had_turn = self._release_turn()
        self._turn = threading.RLock()
        if (attempt := self._attempts.get(None)) is not None and not attempt.is_over:
            self._attempts.clear()
            self._is_cut = not had_turn

    def _release_turn(self) -> bool:
        """Release the turn of this thread, and return whether it had one: it had none if its wait was given up."""
        try:
            self._turn.release()
        except RuntimeError:
            return False
        return True


_http = _Import()
if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows has no forks.
    os.register_at_fork(
        before=_http.before_fork,
        after_in_parent=_http.after_fork_in_parent,
        after_in_child=_http.after_fork_in_child,
    )
