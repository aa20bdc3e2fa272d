"""Which identity provider's tokens the service takes: `XENROLL_OIDC__ISSUER` and so on.

Apart from `scheduler.service.oidc`, so that a command that reads settings loads no cryptography.
"""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from scheduler.service.access import Role

Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]
"""None of these can be checked with what is public and signed with what is public, too."""

THIS_MACHINE = ("127.0.0.1", "::1", "localhost")


class OidcSettings(BaseModel):
    """Whose tokens count, and what makes which role of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str = Field(pattern=r"^https?://")
    audience: str = Field(min_length=1)  # what the provider calls this service
    jwks_url: str | None = Field(default=None, pattern=r"^https?://")  # None: by discovery
    role_claim: str = "groups"  # dots lead into objects: `realm_access.roles`
    roles: dict[str, Role] = {}  # a value of that claim -> the role
    name_claim: str = "sub"  # what people are called here; one that they cannot change themselves
    algorithms: tuple[Algorithm, ...] = Field(default=("RS256", "ES256"), min_length=1)
    leeway_s: float = Field(default=30.0, ge=0, le=300)
    keys_kept_s: float = Field(default=3600.0, gt=0)
    keys_again_s: float = Field(default=30.0, ge=0)

    @model_validator(mode="after")
    def _keys_come_encrypted(self) -> OidcSettings:
        for url in (self.issuer, self.jwks_url or ""):
            parts = urlsplit(url)
            if parts.scheme == "http" and parts.hostname not in THIS_MACHINE:
                raise ValueError(f"{url}: keys that come unencrypted prove nothing: use https")
        return self
