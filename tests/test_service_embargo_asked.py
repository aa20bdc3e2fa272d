"""Embargo: whoever asks for a name learns nothing from how it is answered."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import quote

import httpx
import pytest
import redis

from scheduler.service.access import Role
from tests.embargo_kit import SECRET, embargoed
from tests.service_kit import Served
from tests.sim import START


@pytest.fixture
def running(redis_client: redis.Redis) -> Iterator[Served]:
    """A rollout for an advisory under embargo, half way."""
    with embargoed(redis_client) as made:
        yield made


@pytest.mark.parametrize("asked", ["/rollouts/XSA-470", "/hosts/CVE-2026-99999", "/?x=xsa470-4.17"])
def test_nobody_learns_by_asking_to_be_logged_in_which_names_are_secret(
    running: Served, asked: str
) -> None:
    """The login page says again where it leads; a codename there would tell that it is one."""
    browser = {"Accept": "text/html"}
    with httpx.Client(base_url=running.url, timeout=30, headers=browser) as client:
        form = {"token": "wrong", "next": asked}
        answers = [
            client.get("/login", params={"next": asked}),
            client.post("/login", data=form),
            client.get(asked),
        ]
    for answer in answers:
        assert "otter" not in f"{answer.headers} {answer.text}".lower()
    assert all(f'value="{asked}"' in answer.text for answer in answers[:2])
    assert answers[2].headers["location"] == f"/login?next={quote(asked)}"


def test_nobody_learns_from_an_address_that_is_none_which_titles_are_secret(
    running: Served,
) -> None:
    with httpx.Client(base_url=running.url, timeout=30) as client:
        for title in (SECRET.title, "another one"):
            answer = client.get(f"/{quote(title)}")
            assert answer.json()["detail"] == "GET of this address: Not Found"


def test_a_codename_is_understood_by_everybody_also_after_the_hour(running: Served) -> None:
    def called(role: Role) -> tuple[str, set[str]]:
        one = running.get("/advisories/Silent%20Otter", role).json()
        hosts = running.get("/advisories/Silent%20Otter/hosts", role).json()["items"]
        return one["name"], {host["advisory"] for host in hosts}

    assert called(Role.VIEWER) == ("Silent Otter", {"Silent Otter"})
    assert called(Role.SECURITY) == ("XSA-470", {"XSA-470"})
    running.played.clock.time = START + timedelta(hours=30)
    running.tokens[Role.VIEWER] = running.token(Role.VIEWER)
    assert called(Role.VIEWER) == ("XSA-470", {"XSA-470"})
