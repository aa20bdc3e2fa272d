"""An identity provider on a port of this machine, and a service that trusts it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import jwt
import redis
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from scheduler.oidc_settings import OidcSettings
from scheduler.service.access import Role
from tests.redis_fleet import RedisFleet
from tests.service_kit import Served, begun, refused, served, small_fleet

ROLES = {"xen-viewers": Role.VIEWER, "xen-oncall": Role.ON_CALL, "xen-security": Role.SECURITY}


class Provider:
    """An identity provider on a port of this machine: discovery, a key set, tokens."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {"k1": rsa.generate_private_key(65537, 2048)}
        self.asked: list[str] = []
        self.away = False
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked.append(self.path)
                said = provider.answer(self.path)
                self.send_response(503 if provider.away else 200 if said is not None else 404)
                self.end_headers()
                if said is not None and not provider.away:
                    self.wfile.write(json.dumps(said).encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def answer(self, path: str) -> Any:
        """What stands at a path."""
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"}
        if path == "/keys":
            return {"keys": [self.public(kid) for kid in self.keys]}
        return None

    def public(self, kid: str) -> dict[str, Any]:
        """One key as the key set shows it."""
        key = self.keys[kid]
        algorithm = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
        shown: dict[str, Any] = algorithm.to_jwk(key.public_key(), as_dict=True)
        return shown | {"kid": kid, "use": "sig"}

    def token(self, claims: dict[str, Any], key: str = "k1", **header: Any) -> str:
        """A token signed with one of the keys."""
        algorithm = "RS256" if isinstance(self.keys[key], rsa.RSAPrivateKey) else "ES256"
        headers = {"kid": key, **header}
        return jwt.encode(claims, self.keys[key], algorithm=algorithm, headers=headers)

    def close(self) -> None:
        """Away for good."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Trusting:
    """A service that trusts the provider."""

    def __init__(self, running: Served, provider: Provider) -> None:
        self.running = running
        self.provider = provider

    def claims(self, *groups: str, **changed: Any) -> dict[str, Any]:
        """What a good token says, with these changes; None takes one away."""
        now = int(self.running.played.clock.now().timestamp())
        good = {
            "iss": self.provider.issuer,
            "aud": "xenroll",
            "sub": "u-4711",
            "iat": now,
            "exp": now + 600,
            "groups": list(groups or ("xen-oncall",)),
        }
        return {name: value for name, value in (good | changed).items() if value is not None}

    def me(self, token: str) -> httpx.Response:
        """Who the service takes this token's bearer for."""
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.get(f"{self.running.url}/api/v1/me", headers=headers, timeout=30)

    def refuses(self, token: str, *words: str) -> None:
        """401, with these words, and in the header that programs read."""
        answer = self.me(token)
        refused(answer, 401, "unauthenticated", *words)
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def settings_for(provider: Provider, **more: Any) -> OidcSettings:
    facts = {"issuer": provider.issuer, "audience": "xenroll", "roles": ROLES, "keys_again_s": 0.0}
    return OidcSettings.model_validate(facts | more)


@contextmanager
def provided() -> Iterator[Provider]:
    """A provider, until the end of the block."""
    made = Provider()
    yield made
    made.close()


@contextmanager
def trusted(client: redis.Redis, provider: Provider) -> Iterator[Trusting]:
    """A service that trusts the provider, with a rollout that was just started."""
    played = RedisFleet(client, small_fleet())
    begun(played)
    with served(client, played, log=[], oidc=settings_for(provider)) as running:
        yield Trusting(running, provider)
