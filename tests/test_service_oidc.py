"""Bearer tokens of an identity provider: who comes in, with which keys, and how it is set up."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
import redis
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import ValidationError

from scheduler.oidc_settings import OidcSettings
from scheduler.service.access import Role
from scheduler.service.oidc import Oidc
from scheduler.settings import Settings
from tests.oidc_kit import Provider, Trusting, provided, settings_for, trusted
from tests.redis_fleet import RedisFleet
from tests.service_kit import REASON, refused, served, small_fleet
from tests.sim import START


@pytest.fixture
def provider() -> Iterator[Provider]:
    with provided() as made:
        yield made


@pytest.fixture
def trusting(redis_client: redis.Redis, provider: Provider) -> Iterator[Trusting]:
    with trusted(redis_client, provider) as made:
        yield made


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
