"""The client: chats and all other calls as observables."""

from rxollama._public import publish
from rxollama.client._client import Ollama
from rxollama.client._wait_estimates import WaitEstimates

__all__ = ("Ollama", "WaitEstimates")

publish(globals())
