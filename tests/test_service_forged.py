"""Tokens that an identity provider never gave, or gave to somebody else, let nobody in."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import timedelta

import jwt
import pytest
import redis
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import RSAAlgorithm

from tests.oidc_kit import Provider, Trusting, provided, trusted


@pytest.fixture
def provider() -> Iterator[Provider]:
    with provided() as made:
        yield made


@pytest.fixture
def trusting(redis_client: redis.Redis, provider: Provider) -> Iterator[Trusting]:
    with trusted(redis_client, provider) as made:
        yield made


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


def letters(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def encoded(value: object) -> str:
    return letters(json.dumps(value).encode())
