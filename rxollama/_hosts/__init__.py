"""A host: its address, its headers, its transport, the names of its models, and its refusals."""

from rxollama._hosts._address import base_url
from rxollama._hosts._headers import header_fields, key_of
from rxollama._hosts._lazy_transport import LazyTransport
from rxollama._hosts._model_name import full_name
from rxollama._hosts._refusal import read_refusal

__all__ = ("LazyTransport", "base_url", "full_name", "header_fields", "key_of", "read_refusal")
