"""The client: chats and all other calls as observables."""

from rxollama.client._client import Ollama

__all__ = ("Ollama",)
