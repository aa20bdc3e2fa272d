"""The base of everything that is stored."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Base of what is stored: frozen, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
