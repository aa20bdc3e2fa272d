"""OpenID Connect: bearer tokens that an identity provider signed, checked against its keys.

Off unless XENROLL_OIDC__ISSUER and XENROLL_OIDC__AUDIENCE are set. What a token itself says of
keys (`jwk`, `jku`, `x5u`) is never looked at: a key comes from the provider's key set alone, by the
token's `kid`, and serves only the algorithms that the settings allow, none of them symmetric.

The key set is kept for `keys_kept_s`; a `kid` that it lacks makes it be read again, at most once in
`keys_again_s`, so that keys can be changed and made-up ones cost nothing. Where the provider is
away, keys that were read go on working until they are too old.
"""

from __future__ import annotations

import json
import math
import threading
import urllib.request
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import jwt
from jwt.exceptions import (
    InvalidAudienceError,
    InvalidIssuerError,
    InvalidTokenError,
    MissingRequiredClaimError,
    PyJWKClientConnectionError,
    PyJWKClientError,
    PyJWKSetError,
    PyJWTError,
)

from scheduler.oidc_settings import OidcSettings
from scheduler.service.access import Caller, NotLetIn, ProviderAway, Role

TIMEOUT_S = 5.0
MAX_DOCUMENT_BYTES = 2**20
MOST_NAME = 200
AWAY_S = 5.0
"""After a reading that failed, the provider is left alone for this long."""


class Oidc:
    """Checks tokens of one provider."""

    def __init__(
        self,
        settings: OidcSettings,
        monotonic: Callable[[], float],
        log: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._monotonic = monotonic
        self._log = log
        self._lock = threading.Lock()
        self._client: jwt.PyJWKClient | None = None
        self._away_until_s = float("-inf")

    def caller(self, text: str, now: datetime) -> Caller:
        """Who this token lets in. Raises NotLetIn, ProviderAway."""
        claims = self._claims(text, now)
        name, role = self._name(claims), self._role(claims)
        if role is None:
            raise NotLetIn(f"{name} has no role here: `{self._settings.role_claim}` names none")
        return Caller(name, role, f"oidc-{claims['sub']}"[:MOST_NAME])

    def _claims(self, text: str, now: datetime) -> Mapping[str, Any]:
        try:
            header = jwt.get_unverified_header(text)
            if header.get("alg") not in self._settings.algorithms:
                raise NotLetIn(f"this service takes {', '.join(self._settings.algorithms)} only")
            kid = header.get("kid")
            if not isinstance(kid, str):
                raise NotLetIn("the token does not say which key signed it (`kid`)")
            claims = jwt.decode(
                text,
                self._key(kid),
                algorithms=list(self._settings.algorithms),
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                options={
                    "require": ["exp", "iat", "iss", "aud", "sub"],
                    # By our own clock, which is handed in.
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
            self._in_time(claims, now)
        except PyJWTError as error:
            raise NotLetIn(_why(error)) from None
        return claims

    def _in_time(self, claims: Mapping[str, Any], now: datetime) -> None:
        """Raises NotLetIn outside the token's time."""
        at, leeway_s = now.timestamp(), self._settings.leeway_s
        try:
            ends, begins = float(claims["exp"]), float(claims.get("nbf", 0))
            made = float(claims["iat"])
        except (TypeError, ValueError):
            raise NotLetIn("a time in the token is no number") from None
        if not all(map(math.isfinite, (ends, begins, made))):
            raise NotLetIn("a time in the token is no number")
        if not at < ends + leeway_s:
            raise NotLetIn("this token has ended")
        if not max(begins, made) <= at + leeway_s:
            raise NotLetIn("this token is not valid yet")

    def _key(self, kid: str) -> jwt.PyJWK:
        """The provider's key of that name, which is used with its own algorithm alone."""
        if self._monotonic() < self._away_until_s:
            raise ProviderAway(self._settings.issuer)
        try:
            return self._keys().get_signing_key(kid)
        except (PyJWKClientConnectionError, PyJWKSetError, ValueError) as error:
            said = f"the keys of {self._settings.issuer} cannot be read: {error}"
            raise self._away(said) from None
        except PyJWKClientError:
            raise NotLetIn("the provider has no key of this token's `kid`") from None

    def _keys(self) -> jwt.PyJWKClient:
        with self._lock:
            if self._client is None:
                self._client = jwt.PyJWKClient(
                    self._settings.jwks_url or self._discovered(),
                    lifespan=self._settings.keys_kept_s,
                    cooldown_duration=self._settings.keys_again_s,
                    timeout=TIMEOUT_S,
                )
            return self._client

    def _discovered(self) -> str:
        """Where the provider says that its keys are. Raises ProviderAway."""
        issuer = self._settings.issuer
        url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
                said = json.loads(answer.read(MAX_DOCUMENT_BYTES))
            if said["issuer"] != issuer:
                raise ValueError(f"it says that it is {said['issuer']!r}")
            found = OidcSettings(issuer=issuer, audience="-", jwks_url=said["jwks_uri"])
            return str(found.jwks_url)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._away(f"{url} does not say where the keys are: {error}") from None

    def _away(self, said: str) -> ProviderAway:
        self._log(said)
        self._away_until_s = self._monotonic() + AWAY_S
        return ProviderAway(self._settings.issuer)

    def _name(self, claims: Mapping[str, Any]) -> str:
        said = claims.get(self._settings.name_claim)
        name = said if isinstance(said, str) and said else str(claims["sub"])
        if not name.isprintable() or len(name) > MOST_NAME:
            raise NotLetIn("the token's name is not printable, or too long")
        return name

    def _role(self, claims: Mapping[str, Any]) -> Role | None:
        """The highest role that the claim's values stand for."""
        value: Any = claims
        for part in self._settings.role_claim.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        said = value if isinstance(value, list) else [value]
        names = [one for one in said if isinstance(one, str)]
        roles = [self._settings.roles[one] for one in names if one in self._settings.roles]
        return max(roles, key=list(Role).index, default=None)


def _why(error: PyJWTError) -> str:
    sentences: dict[type[PyJWTError], str] = {
        InvalidAudienceError: "this token is for another service (`aud`)",
        InvalidIssuerError: "this token is of another provider (`iss`)",
        InvalidTokenError: "this token's form or signature is wrong",
    }
    if isinstance(error, MissingRequiredClaimError):
        return f"the token says nothing of `{error.claim}`"
    found = (said for kind, said in sentences.items() if isinstance(error, kind))
    return next(found, "this token cannot be checked")
