"""
A request to a pool: it is sent to one host after another, until one accepts it.

It is a context manager by its methods, and not by a generator: a generator in a generator in an `AsyncExitStack` costs
as much as the choice of the host.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from types import TracebackType

from msgspec.structs import replace

from rxollama._hosts import read_refusal
from rxollama.errors import ClientClosedError, StreamError
from rxollama.pool._failover import is_declined, may_go_elsewhere, most_useful, none_offers
from rxollama.pool._host_table import Claim
from rxollama.pool._members import Members
from rxollama.transport import Request, Response

__all__ = ("Exchange",)


class Exchange(AbstractAsyncContextManager[Response]):
    """
    A request to a pool, and its response.

    Args:
        request: The request.
        members: The hosts.
    """

    def __init__(self, request: Request, members: Members) -> None:
        self._request = request
        self._members = members
        self._table = members.table
        self._claim: Claim
        self._context: AbstractAsyncContextManager[Response]
        self._has_begun = self._is_refused = False

    async def __aenter__(self) -> Response:
        """Send the request, and wait for the head of a response."""
        await self._members.prepare(self._request)
        failures: dict[int, StreamError] = {}
        while (claim := self._table.claim(self._request, failures)) is not None:
            self._claim = claim
            if self._table.has_down:
                self._members.wait_for_down()
            try:
                return await self._send(claim)
            except StreamError as error:
                failures[claim.place] = error
                may_go_on = may_go_elsewhere(self._request, error)
            if not may_go_on:
                # It comes first among equals: this is where the request ended.
                raise most_useful({claim.place: failures[claim.place], **failures}.values())
        raise most_useful(failures.values()) if failures else none_offers(self._request.model)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        """End the response, and record how it ended."""
        try:
            return await self._context.__aexit__(kind, error, traceback)
        finally:
            self._end(error)

    async def _send(self, claim: Claim) -> Response:
        """Send the request to the host that was chosen. A response by which the host declines it is an error."""
        request = self._request
        if not claim.is_last_hope:
            request = replace(request, connect_timeout=self._members.connect_timeout)
        context = self._members.transports[claim.place].open(request)
        try:
            response = await context.__aenter__()
            if is_declined(response.status):
                await _decline(context, response)
        except BaseException as error:
            self._end(error)
            raise
        self._context = context
        self._has_begun, self._is_refused = True, response.status >= HTTPStatus.BAD_REQUEST
        self._table.answered(claim)
        return response

    def _end(self, error: BaseException | None) -> None:
        table, claim = self._table, self._claim
        if isinstance(error, StreamError):
            error.host = error.host or self._members.urls[claim.place]
            # A refusal that was passed on says that the request is wrong, and not the host.
            if not self._is_refused and not isinstance(error, ClientClosedError):
                table.failed(claim, error)
        elif error is not None and not self._has_begun:
            # A request that was given up before its answer began was given up for its silence, as by `timeouts`.
            table.tried_in_vain(claim)
        table.release(claim, is_whole=error is None)
        self._members.settle()


async def _decline(context: AbstractAsyncContextManager[Response], response: Response) -> None:
    """End a response that declines the request, and raise the error that it stands for."""
    try:
        await _raise_refusal(response)
    except BaseException as error:
        await context.__aexit__(type(error), error, error.__traceback__)
        raise


async def _raise_refusal(response: Response) -> None:
    raise await read_refusal(response)
