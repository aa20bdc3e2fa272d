"""What every document on the wire is made of; `agents.wire` has the documents."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

Name = Annotated[str, StringConstraints(min_length=1, max_length=255)]


class Wire(BaseModel):
    """Base of all that crosses: frozen, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
