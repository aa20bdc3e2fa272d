"""A path parameter that is any name at all: with slashes and line ends in it.

Starlette's own `path` ends at a line end, and a guest may be called anything.
"""

from __future__ import annotations

from starlette.convertors import Convertor, register_url_convertor


class AnyName(Convertor[str]):
    """`{name:any}`: everything up to the end of the path."""

    regex = r"[\s\S]+"

    def convert(self, value: str) -> str:
        """The name as it stands in the path."""
        return value

    def to_string(self, value: str) -> str:
        """The path of a name."""
        return value


register_url_convertor("any", AnyName())
ANY_NAME = "{name:any}"
"""Imported by who uses it, so that it is registered before a route is made."""
