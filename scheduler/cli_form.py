"""In which form a command prints what it found; apart, so that nothing is loaded to know it."""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """How a command prints what it found."""

    TABLE = "table"
    WIDE = "wide"  # a table with more columns
    JSON = "json"
    YAML = "yaml"

    @property
    def for_programs(self) -> bool:
        """Whether everything is printed as one document."""
        return self in (Format.JSON, Format.YAML)
