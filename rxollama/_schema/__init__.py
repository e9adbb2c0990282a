"""Python types as JSON: the schema of a type, and values of it from JSON."""

from rxollama._schema._describe import schema_of
from rxollama._schema._inline import inlined
from rxollama._schema._type_reader import Misfit, TypeReader, misfit_of

__all__ = ("Misfit", "TypeReader", "inlined", "misfit_of", "schema_of")
