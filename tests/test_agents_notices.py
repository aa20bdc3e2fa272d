"""Notices in a guest's xenstore: written, moved away from, removed; harmless where it fails."""

from __future__ import annotations

import json
import logging
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import redis

from agents.keys import keys
from agents.notices import MOST_AT_ONCE, REST_S, Notice, Notices
from agents.settings import Settings
from agents.wire import GuestSeen, Kind, Report
from tests.agents_dom0 import Dom0
from tests.agents_kit import NOON, report
from tests.agents_pair import Pair
from tests.agents_process import Agent
from tests.waiting import until

NODE = "data/xenroll/notice"


@pytest.fixture
def pair(tmp_path: Path, redis_client: redis.Redis) -> Iterator[Pair]:
    yield Pair(tmp_path, redis_client)


def notice(guest: str = "db", minutes: int = 5) -> Notice:
    at = NOON + timedelta(minutes=minutes)
    return Notice(guest=guest, action="move", not_before=NOON, expected_at=at)


def want(client: redis.Redis, host: str, *told: Notice) -> None:
    client.delete(keys.notices(host))
    for one in told:
        client.hset(keys.notices(host), one.guest, one.model_dump_json())


def program(pair: Pair, host: str, name: str) -> str:
    return str(Path(pair.world.host_dir(host)) / "bin" / name)


def settings(pair: Pair, host: str) -> Settings:
    """The stand-in's xenstore programs of this host."""
    facts = {
        "xenstore_write": (program(pair, host, "xenstore-write"),),
        "xenstore_rm": (program(pair, host, "xenstore-rm"),),
    }
    return pair.settings[host].model_copy(update=facts)


def said(pair: Pair, host: str, node: str = NODE) -> str | None:
    """What the guest reads."""
    path = f"/local/domain/{pair.look(host).guests[0].domid}/{node}"
    argv = [program(pair, host, "xenstore-read"), path]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def test_a_guest_reads_what_comes_and_no_longer_when_it_is_over(pair: Pair) -> None:
    notices = Notices(settings(pair, "n1"))
    want(pair.client, "n1", notice(), notice("another"))
    notices.tend(pair.client, pair.look("n1"), 0.0)
    assert json.loads(said(pair, "n1") or "") == {
        "schema": "xenroll.notice/1",
        "action": "move",
        "not_before": "2026-11-22T12:00:00+00:00",
        "expected_at": "2026-11-22T12:05:00+00:00",
    }
    listed = subprocess.run(
        [
            program(pair, "n1", "xenstore-ls"),
            "-p",
            f"/local/domain/{pair.look('n1').guests[0].domid}",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (line,) = [one for one in listed.splitlines() if "notice = " in one]
    assert f"(n{pair.look('n1').guests[0].domid}" in line, "it is the guest's to read"
    want(pair.client, "n1", notice(minutes=9))
    notices.tend(pair.client, pair.look("n1"), 1.0)
    assert "12:09" in (said(pair, "n1") or "")
    want(pair.client, "n1")
    notices.tend(pair.client, pair.look("n1"), 2.0)
    assert said(pair, "n1") is None


def test_where_it_arrives_there_is_no_notice_and_nothing_is_removed(pair: Pair) -> None:
    notices, there = Notices(settings(pair, "n1")), Notices(settings(pair, "n2"))
    want(pair.client, "n1", notice())
    notices.tend(pair.client, pair.look("n1"), 0.0)
    assert said(pair, "n1") is not None
    pair.moves()
    assert pair.where() == ["n2"] and said(pair, "n2") is None
    want(pair.client, "n1")
    notices.tend(pair.client, pair.look("n1"), 1.0)
    there.tend(pair.client, pair.look("n2"), 1.0)
    assert pair.where() == ["n2"]


def test_a_guest_with_a_notice_moves_as_any_other(pair: Pair) -> None:
    want(pair.client, "n1", notice())
    Notices(settings(pair, "n1")).tend(pair.client, pair.look("n1"), 0.0)
    attempt, _ = pair.moves()
    assert attempt.exit_code == 0 and pair.where() == ["n2"]


def guest(name: str, domid: int) -> GuestSeen:
    uuid = f"00000000-0000-0000-0000-{domid:012}"
    facts = {"type": "pvh", "vcpus": 1, "memory_mib": 64, "overhead_mib": 1}
    return GuestSeen(name=name, uuid=uuid, domid=domid, **facts)


class Fake:
    """A host whose xenstore-write is this shell script; its calls are lines of a file."""

    def __init__(self, base: Path, script: str) -> None:
        self.calls = base / "calls"
        self.calls.touch()
        file = base / "xenstore-write"
        file.write_text(f'#!/bin/sh\necho "$1" >> {self.calls}\n{script}\n')
        file.chmod(0o755)
        self.settings = Settings(
            host="n1", redis_url="unix:///x", xenstore_write=(str(file),), xenstore_rm=("/none",)
        )

    def lines(self) -> int:
        return len(self.calls.read_text().splitlines())


def seen(count: int) -> Report:
    return report("n1").model_copy(
        update={"guests": tuple(guest(f"g{n}", n + 1) for n in range(count))}
    )


@pytest.mark.parametrize("script", ["exit 1", "sleep 30"])
def test_a_failure_is_logged_and_nothing_is_tried_for_a_minute(
    redis_client: redis.Redis, tmp_path: Path, script: str, caplog: pytest.LogCaptureFixture
) -> None:
    host = Fake(tmp_path, script)
    notices = Notices(host.settings)
    want(redis_client, "n1", *(notice(f"g{n}") for n in range(5)))
    with caplog.at_level(logging.WARNING):
        notices.tend(redis_client, seen(5), 0.0)
    assert host.lines() == 1 and "a guest was not told" in caplog.text
    notices.tend(redis_client, seen(5), REST_S - 1)
    assert host.lines() == 1
    notices.tend(redis_client, seen(5), REST_S)
    assert host.lines() == 2


def test_many_notices_do_not_hold_up_a_look_and_each_is_written_once(
    redis_client: redis.Redis, tmp_path: Path
) -> None:
    host = Fake(tmp_path, "exit 0")
    notices = Notices(host.settings)
    want(redis_client, "n1", *(notice(f"g{n}") for n in range(2 * MOST_AT_ONCE)))
    for turn, written in enumerate((MOST_AT_ONCE, 2 * MOST_AT_ONCE, 2 * MOST_AT_ONCE)):
        notices.tend(redis_client, seen(2 * MOST_AT_ONCE), float(turn))
        assert host.lines() == written


def test_what_is_no_notice_and_who_is_not_here_is_left_alone(
    redis_client: redis.Redis, tmp_path: Path
) -> None:
    host = Fake(tmp_path, "exit 0")
    redis_client.hset(keys.notices("n1"), "g0", "{not json")
    redis_client.hset(keys.notices("n1"), "elsewhere", notice("elsewhere").model_dump_json())
    Notices(host.settings).tend(redis_client, seen(1), 0.0)
    assert host.lines() == 0
    quiet = Notices(host.settings.model_copy(update={"xenstore_write": ()}))
    want(redis_client, "n1", notice("g0"))
    quiet.tend(redis_client, seen(1), 0.0)
    assert host.lines() == 0


def test_an_agent_tells_its_guests_and_reports_all_the_same(
    tmp_path: Path, redis_url: str, redis_client: redis.Redis
) -> None:
    from tests.agents_kit import domain

    host = Fake(tmp_path, "exit 0")
    write = list(host.settings.xenstore_write)
    dom0 = Dom0(tmp_path / "dom0", redis_url, report_interval_s=0.3, xenstore_write=write)
    dom0.shows(domain())
    agent = Agent(dom0)
    want(redis_client, "n1", notice("db-3"))
    agent.start()
    try:
        until(lambda: host.lines() == 1, "the notice")
        until(lambda: redis_client.get(keys.report("n1")) is not None, "the report")
    finally:
        agent.stop()


def test_a_shutdown_has_its_own_word() -> None:
    said = notice().model_copy(update={"action": "restart"}).text()
    assert json.loads(said)["action"] == "restart" and Kind.STOP not in said
