"""Python types as JSON: their schema, and values of them read from what a model wrote."""

from rxollama._schema._describe import schema_of
from rxollama._schema._inline import inlined
from rxollama._schema._type_reader import Misfit, TypeReader

__all__ = ("Misfit", "TypeReader", "inlined", "schema_of")
