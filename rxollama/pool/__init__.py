"""Many hosts as one: a transport that chooses a host for each request."""

from rxollama._public import publish
from rxollama.pool._host import Host, HostState
from rxollama.pool._pool import Pool

__all__ = ("Host", "HostState", "Pool")

publish(globals())
