"""Bearer tokens of an identity provider: who comes in, and every forgery that does not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import jwt
import pytest
import redis
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from pydantic import ValidationError

from scheduler.oidc_settings import OidcSettings
from scheduler.service.access import Role
from scheduler.service.oidc import Oidc
from scheduler.settings import Settings
from tests.redis_fleet import RedisFleet
from tests.service_kit import REASON, Served, begun, served, small_fleet
from tests.sim import START
from tests.test_service_api import refused

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


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.close()


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


@pytest.fixture
def trusting(redis_client: redis.Redis, provider: Provider) -> Iterator[Trusting]:
    played = RedisFleet(redis_client, small_fleet())
    begun(played)
    with served(redis_client, played, log=[], oidc=settings_for(provider)) as running:
        yield Trusting(running, provider)


def settings_for(provider: Provider, **more: Any) -> OidcSettings:
    facts = {"issuer": provider.issuer, "audience": "xenroll", "roles": ROLES, "keys_again_s": 0.0}
    return OidcSettings.model_validate(facts | more)


# Who comes in.


def test_a_token_of_the_provider_lets_in_with_the_role_of_its_groups(trusting: Trusting) -> None:
    for groups, role in (
        (["xen-viewers"], "viewer"),
        (["others", "xen-oncall", "xen-viewers"], "on-call"),
        (["xen-security", "xen-oncall"], "security"),
    ):
        said = trusting.me(trusting.provider.token(trusting.claims(*groups))).json()
        assert said == {"name": "u-4711", "role": role}


def test_what_they_do_stands_in_the_audit_trail_under_their_name(trusting: Trusting) -> None:
    token = trusting.provider.token(trusting.claims("xen-oncall"))
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "key-of-oidc"}
    url = f"{trusting.running.url}/api/v1/rollouts/xsa-1/actions/pause"
    assert httpx.post(url, json=REASON, headers=headers, timeout=30).status_code == 202
    (line,) = trusting.running.get("/audit", Role.ADMIN).json()["items"]
    assert (line["who"], line["role"], line["action"]) == ("u-4711", "on-call", "pause")
    assert token not in str(trusting.running.played.client.xrange("xr:audit"))


def test_our_own_tokens_go_on_working_beside_it(trusting: Trusting) -> None:
    assert trusting.running.get("/me").json()["name"] == "t-viewer"
    assert trusting.provider.asked == []


def test_a_role_not_enough_is_403_and_no_role_is_401(trusting: Trusting) -> None:
    token = trusting.provider.token(trusting.claims("xen-viewers"))
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "key-of-oidc"}
    url = f"{trusting.running.url}/api/v1/rollouts/xsa-1/actions/pause"
    answer = httpx.post(url, json=REASON, headers=headers, timeout=30)
    refused(answer, 403, "forbidden", "role on-call")
    for groups in (["others"], "others", {"xen-oncall": 1}, [["xen-oncall"]], 7, None):
        token = trusting.provider.token(trusting.claims(groups=groups))
        trusting.refuses(token, "no role here", "groups")


# Forgeries.


def test_an_unsigned_token_lets_nobody_in(trusting: Trusting) -> None:
    for algorithm in ("none", "None", "NONE", ""):
        header, claims = {"alg": algorithm, "kid": "k1"}, trusting.claims("xen-security")
        parts = [encoded(header), encoded(claims)]
        trusting.refuses(".".join([*parts, ""]))
        trusting.refuses(".".join([*parts, "AAAA"]))


def test_the_public_key_is_no_shared_secret(trusting: Trusting) -> None:
    public = trusting.provider.keys["k1"].public_key()
    for form in (
        public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
        public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
        json.dumps(trusting.provider.public("k1")).encode(),
    ):
        body = f"{encoded({'alg': 'HS256', 'kid': 'k1'})}.{encoded(trusting.claims())}"
        signature = hmac.new(form, body.encode(), hashlib.sha256).digest()
        trusting.refuses(f"{body}.{letters(signature)}", "RS256, ES256 only")


def test_a_symmetric_key_in_the_key_set_is_not_used(trusting: Trusting) -> None:
    secret = b"s" * 32
    shown = {"kty": "oct", "k": letters(secret), "kid": "shared", "alg": "HS256"}
    answer = trusting.provider.answer
    trusting.provider.answer = lambda path: (  # type: ignore[method-assign]
        {"keys": [shown, *answer(path)["keys"]]} if path == "/keys" else answer(path)
    )
    token = jwt.encode(trusting.claims(), secret, "HS256", headers={"kid": "shared"})
    trusting.refuses(token, "only")
    for algorithm in ("RS256", "ES256"):
        body = f"{encoded({'alg': algorithm, 'kid': 'shared'})}.{encoded(trusting.claims())}"
        signature = hmac.new(secret, body.encode(), hashlib.sha256).digest()
        trusting.refuses(f"{body}.{letters(signature)}", "signature")


def test_a_key_that_the_token_brings_itself_is_never_used(trusting: Trusting) -> None:
    forger = rsa.generate_private_key(65537, 2048)
    shown = RSAAlgorithm.to_jwk(forger.public_key(), as_dict=True)
    elsewhere = f"{trusting.provider.issuer}/forged"
    for header in (
        {"kid": "k1", "jwk": shown},
        {"kid": "k1", "jku": elsewhere},
        {"kid": "k1", "x5u": elsewhere},
        {"kid": elsewhere},
        {"kid": "../../../../dev/null"},
    ):
        token = jwt.encode(trusting.claims(), forger, "RS256", headers=header)
        trusting.refuses(token)
    assert "/forged" not in trusting.provider.asked


def test_a_key_serves_its_own_algorithm_alone(trusting: Trusting) -> None:
    trusting.provider.keys["k2"] = ec.generate_private_key(ec.SECP256R1())
    assert trusting.me(trusting.provider.token(trusting.claims(), "k2")).status_code == 200
    body = f"{encoded({'alg': 'RS256', 'kid': 'k2'})}.{encoded(trusting.claims())}"
    trusting.refuses(f"{body}.{letters(b'x' * 64)}", "signature")


def test_each_claim_is_checked_and_the_reason_is_clear(trusting: Trusting) -> None:
    now = int(trusting.running.played.clock.now().timestamp())
    for changed, words in (
        ({"aud": "another"}, "`aud`"),
        ({"aud": ["another", "third"]}, "`aud`"),
        ({"aud": None}, "`aud`"),
        ({"iss": "https://elsewhere.example"}, "`iss`"),
        ({"iss": f"{trusting.provider.issuer}/"}, "`iss`"),
        ({"iss": None}, "`iss`"),
        ({"exp": now - 31}, "has ended"),
        ({"exp": None}, "`exp`"),
        ({"exp": "never"}, "no number"),
        ({"exp": float("inf")}, ""),
        ({"nbf": now + 60}, "not valid yet"),
        ({"iat": now + 60}, "not valid yet"),
        ({"sub": None}, "`sub`"),
        ({"sub": "a\nb"}, "not printable"),
        ({"sub": "x" * 5000}, "too long"),
    ):
        trusting.refuses(trusting.provider.token(trusting.claims(**changed)), words)
    for changed in ({"exp": now - 29}, {"nbf": now + 29}, {"aud": ["another", "xenroll"]}):
        token = trusting.provider.token(trusting.claims(**changed))
        assert trusting.me(token).status_code == 200, changed


def test_a_token_ends_by_our_clock(trusting: Trusting) -> None:
    token = trusting.provider.token(trusting.claims())
    assert trusting.me(token).status_code == 200
    trusting.running.played.clock.time += timedelta(seconds=631)
    trusting.refuses(token, "has ended")


def test_what_is_no_token_is_refused(trusting: Trusting) -> None:
    good = trusting.provider.token(trusting.claims())
    head, body, signature = good.split(".")
    changed = encoded(trusting.claims("xen-security"))
    for text in (
        "a.b.c",
        "..",
        f"{head}.{body}",
        f"{head}.{body}.{signature[:-4]}AAAA",
        f"{head}.{changed}.{signature}",
        f"{head}.{encoded('no object')}.{signature}",
        f"{encoded([])}.{body}.{signature}",
        f"{encoded({'alg': 'RS256'})}.{body}.{signature}",
        f"{encoded({'alg': 'RS256', 'kid': 7})}.{body}.{signature}",
        f"{encoded({'alg': 'RS256', 'kid': 'k1', 'crit': ['x'], 'x': 1})}.{body}.{signature}",
        good + "." + signature,
        "." * 9000,
    ):
        trusting.refuses(text)
    assert trusting.me(good).status_code == 200


# Keys.


def test_a_new_key_is_found_and_an_old_one_that_was_taken_away_ends(
    redis_client: redis.Redis, provider: Provider
) -> None:
    played = RedisFleet(redis_client, small_fleet())
    settings = settings_for(provider, keys_kept_s=0.2)
    with served(redis_client, played, log=[], oidc=settings) as running:
        trusting = Trusting(running, provider)
        old = provider.token(trusting.claims())
        assert trusting.me(old).status_code == 200
        provider.keys = {"k2": rsa.generate_private_key(65537, 2048)}
        assert trusting.me(provider.token(trusting.claims(), "k2")).status_code == 200
        trusting.refuses(old, "no key")


def test_keys_are_kept_and_made_up_names_of_keys_do_not_flood_the_provider(
    redis_client: redis.Redis, provider: Provider
) -> None:
    played = RedisFleet(redis_client, small_fleet())
    settings = settings_for(provider, keys_again_s=3600.0)
    with served(redis_client, played, log=[], oidc=settings) as running:
        trusting = Trusting(running, provider)
        for _ in range(3):
            assert trusting.me(provider.token(trusting.claims())).status_code == 200
        for number in range(5):
            token = provider.token(trusting.claims(), "k1", kid=f"made-up-{number}")
            trusting.refuses(token, "no key")
        assert provider.asked == ["/.well-known/openid-configuration", "/keys"]


def test_a_provider_that_is_away_is_503_and_those_with_known_keys_still_come_in(
    trusting: Trusting,
) -> None:
    good = trusting.provider.token(trusting.claims())
    trusting.provider.away = True
    refused(trusting.me(good), 503, "provider_away", "identity provider")
    asked = len(trusting.provider.asked)
    refused(trusting.me(good), 503, "provider_away")
    assert len(trusting.provider.asked) == asked  # left alone for a while
    trusting.provider.away = False
    trusting.running.played.clock.time += timedelta(seconds=6)
    assert trusting.me(trusting.provider.token(trusting.claims())).status_code == 200
    trusting.provider.away = True
    assert trusting.me(trusting.provider.token(trusting.claims())).status_code == 200


def test_a_discovery_document_of_somebody_else_is_not_believed(
    redis_client: redis.Redis, provider: Provider
) -> None:
    said = {"issuer": "https://elsewhere.example", "jwks_uri": f"{provider.issuer}/keys"}
    provider.answer = lambda path: said  # type: ignore[method-assign]
    played = RedisFleet(redis_client, small_fleet())
    log: list[str] = []
    with served(redis_client, played, log=log, oidc=settings_for(provider)) as running:
        trusting = Trusting(running, provider)
        refused(trusting.me(provider.token(trusting.claims())), 503, "provider_away")
    assert "elsewhere.example" in log[0]


# Settings.


def test_settings_come_from_the_environment_and_what_is_unsafe_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XENROLL_OIDC__ISSUER", "https://id.example")
    monkeypatch.setenv("XENROLL_OIDC__AUDIENCE", "xenroll")
    monkeypatch.setenv("XENROLL_OIDC__ROLES", '{"ops": "on-call"}')
    found = Settings().oidc
    assert found is not None and found.roles == {"ops": Role.ON_CALL}
    assert found.algorithms == ("RS256", "ES256")
    good = {"issuer": "https://id.example", "audience": "xenroll"}
    for wrong in (
        {"algorithms": ("HS256",)},
        {"algorithms": ("none",)},
        {"algorithms": ()},
        {"issuer": "http://id.example"},
        {"jwks_url": "http://id.example/keys"},
        {"jwks_url": "file:///etc/passwd"},
        {"issuer": "http://127.0.0.1.elsewhere.example"},
        {"audience": ""},
        {"roles": {"ops": "root"}},
        {"leeway_s": 3600},
    ):
        with pytest.raises(ValidationError):
            OidcSettings.model_validate(good | wrong)


def test_a_claim_inside_objects_and_another_name(provider: Provider) -> None:
    settings = settings_for(provider, role_claim="realm_access.roles", name_claim="email")
    oidc = Oidc(settings, lambda: 0.0, print)
    at = int(START.timestamp())
    claims = {
        "iss": provider.issuer,
        "aud": "xenroll",
        "sub": "u-1",
        "iat": at,
        "exp": at + 60,
        "email": "anna@example.net",
        "realm_access": {"roles": ["xen-security"]},
    }
    found = oidc.caller(provider.token(claims), START)
    assert (found.name, found.role) == ("anna@example.net", Role.SECURITY)


def letters(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def encoded(value: object) -> str:
    return letters(json.dumps(value).encode())
