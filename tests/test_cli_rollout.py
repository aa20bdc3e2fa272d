"""The commands for people: what they print, and with which code they end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from agents.keys import keys
from agents.wire import Wanted
from scheduler.rollout import RolloutState
from tests.make import fleet, guest, host
from tests.redis_fleet import RedisFleet
from tests.sim import NEW

ROOT = Path(__file__).resolve().parent.parent


def xenroll(
    url: str, *arguments: str, stdin: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """The real command, as a person calls it."""
    return subprocess.run(
        [sys.executable, "-m", "scheduler", *arguments],
        cwd=ROOT,
        env={**os.environ, "XENROLL_REDIS_URL": url, "COLUMNS": "200", **environment},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def said(result: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert result.returncode == code, (result.stdout, result.stderr)
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stdout + result.stderr


@pytest.fixture
def played(redis_client: redis.Redis) -> RedisFleet:
    """A fleet of two hosts that have reported, with its inventory applied."""
    guests = [guest("g1", "h0", gib=2), guest("g2", "h1", gib=2)]
    played = RedisFleet(redis_client, fleet([host("h0"), host("h1")], guests))
    played.store.apply_inventory(played.sim.inventory.model_dump_json(by_alias=True).encode())
    played.publish()
    return played


def test_a_server_that_is_away_is_named(tmp_path: Path) -> None:
    url = f"unix://{tmp_path}/nothing.sock"
    for command in (["rollout", "list"], ["host", "list"], ["rollout", "pause"]):
        said(xenroll(url, *command), 6, "nothing.sock", "does not answer")


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    result = xenroll(f"redis://user:secret@127.0.0.1:{1}/0", "rollout", "list")
    said(result, 6, "127.0.0.1:1")
    assert "secret" not in result.stdout + result.stderr


def test_an_address_that_is_none_is_refused() -> None:
    said(xenroll("nonsense", "rollout", "list"), 6, "XENROLL_REDIS_URL")


def test_a_setting_out_of_range_is_named(redis_url: str) -> None:
    result = xenroll(redis_url, "rollout", "list", XENROLL_TICK_S="0")
    said(result, 2, "XENROLL_TICK_S")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("XENROLL_TWO_PEPOLE", "XENROLL_TWO_PEPOLE: there is no such setting; XENROLL_TWO_PEOPLE"),
        ("XENROLL_LIMITS_MAX_TRIES", "no such setting; XENROLL_LIMITS__MAX_TRIES is one"),
        ("XENROLL_LIMITS__MAX_TRY", "XENROLL_LIMITS__MAX_TRY: Extra inputs"),
        ("XENROLL_ZEAL", "XENROLL_ZEAL: there is no such setting"),
    ],
)
def test_a_setting_that_is_none_is_named(redis_url: str, name: str, words: str) -> None:
    said(xenroll(redis_url, "rollout", "list", **{name: "2"}), 2, words)


def test_variables_of_the_lab_and_of_hooks_are_no_settings(redis_url: str) -> None:
    said(xenroll(redis_url, "rollout", "list", XENROLL_LAB_DIR="x", XENROLL_HOOK_RUN="y"), 0)


def test_an_unknown_rollout_is_named(played: RedisFleet, redis_url: str) -> None:
    said(xenroll(redis_url, "rollout", "status"), 8, "there is no rollout yet")
    played.begin()
    for command in ("status", "pause", "resume", "abort", "report"):
        said(xenroll(redis_url, "rollout", command, "xsa-9"), 8, "no rollout xsa-9")


def test_what_makes_no_sense_in_a_state_is_refused(played: RedisFleet, redis_url: str) -> None:
    played.begin()
    said(xenroll(redis_url, "rollout", "resume"), 1, "nothing to resume")
    said(xenroll(redis_url, "rollout", "pause", "--reason", "look"), 0, "paused")
    said(xenroll(redis_url, "rollout", "pause"), 1, "already")
    said(xenroll(redis_url, "rollout", "resume"), 0, "resumed")
    played.run(played.controller())
    assert played.head().state is RolloutState.DONE
    for command in ("pause", "resume", "abort"):
        said(xenroll(redis_url, "rollout", command), 1, "has ended (done)")


def test_an_abort_cannot_be_taken_back(played: RedisFleet, redis_url: str) -> None:
    played.begin()
    said(xenroll(redis_url, "rollout", "abort", "--reason", "bad build"), 0, "aborted")
    said(xenroll(redis_url, "rollout", "resume"), 1, "cannot be taken back")
    assert played.store.control(played.head().id)["wanted"] == Wanted.ABORT
    assert played.store.control(played.head().id)["reason"] == "bad build"


def test_status_and_report_as_text_and_json(played: RedisFleet, redis_url: str) -> None:
    rollout = played.begin()
    said(xenroll(redis_url, "rollout", "status"), 0, "hosts 0/2 fixed", "running")
    status = xenroll(redis_url, "rollout", "status", "--json")
    assert json.loads(status.stdout)["hosts_to_fix"] == 2
    played.run(played.controller())
    said(xenroll(redis_url, "rollout", "status"), 0, "done")
    said(xenroll(redis_url, "rollout", "status", "--watch"), 0, "done")
    said(xenroll(redis_url, "rollout", "report"), 0, "moves")
    report = json.loads(xenroll(redis_url, "rollout", "report", "--json").stdout)
    assert report["moves"] == 3 and report["moves_lower_bound"] == 3
    assert report["hosts"] == {"fixed": 2}
    said(xenroll(redis_url, "rollout", "list"), 0, rollout.id, "done")
    assert json.loads(xenroll(redis_url, "rollout", "list", "--json").stdout)[0]["id"] == rollout.id


def test_hosts_and_guests_are_shown(played: RedisFleet, redis_url: str) -> None:
    said(xenroll(redis_url, "host", "list"), 0, "h0", "4.17.7")
    said(xenroll(redis_url, "host", "show", "h1"), 0, "Xen 4.17.7", "g2")
    said(xenroll(redis_url, "host", "show", "h9"), 8, "no host h9")
    said(xenroll(redis_url, "guest", "list"), 0, "g1", "h0", "g2", "h1")
    said(xenroll(redis_url, "guest", "show", "g1"), 0, "guest g1 on h0")
    said(xenroll(redis_url, "guest", "show", "g9"), 8, "no guest g9")
    assert len(json.loads(xenroll(redis_url, "host", "list", "--json").stdout)) == 2
    assert len(json.loads(xenroll(redis_url, "guest", "list", "--json").stdout)) == 2


def test_without_an_inventory_there_is_no_fleet(redis_client: redis.Redis, redis_url: str) -> None:
    for command in (["host", "list"], ["rollout", "start", "XSA-1", "--fixed-build", NEW]):
        said(xenroll(redis_url, *command), 2, "xenroll inventory apply")


def test_a_broken_inventory_is_refused_with_the_path(redis_url: str, tmp_path: Path) -> None:
    file = tmp_path / "inventory.json"
    for text, words in (
        ("{", "inventory.json"),
        ('{"hosts": [{"name": "h1"}, {"name": "h1"}]}', 'hosts[1].name: "h1" is there twice'),
        ('{"hosts": [{"name": "h1", "rack": "r1"}]}', "hosts[0].rack"),
        ('{"guests": [{"name": "g1", "if_refused": "kill"}]}', "guests[0].if_refused"),
    ):
        file.write_text(text)
        said(xenroll(redis_url, "inventory", "apply", str(file)), 2, words)
    said(xenroll(redis_url, "inventory", "apply", str(tmp_path / "none.json")), 2, "none.json")
    said(xenroll(redis_url, "inventory", "show"), 8, "no inventory yet")
    good = '{"hosts": [{"name": "h1"}]}'
    said(xenroll(redis_url, "inventory", "apply", "-", stdin=good), 0, "1 hosts")
    said(xenroll(redis_url, "inventory", "show"), 0, '"h1"')


def test_a_host_that_does_not_look_keeps_a_rollout_from_starting(
    played: RedisFleet, redis_url: str
) -> None:
    start = ["rollout", "start", "XSA-1", "--fixed-build", NEW]
    result = xenroll(redis_url, *start, XENROLL_LOOK_WAIT_S="1")
    said(result, 4, "nothing was started", "h0", "h1")
    said(xenroll(redis_url, *start, "--without-host", "h9"), 4, "no host h9")
    assert not played.store.ids()


def test_hostile_names_are_made_visible(played: RedisFleet, redis_url: str) -> None:
    result = xenroll(redis_url, "guest", "show", "\x1b[31mred\nnext")
    said(result, 8, "\\x1b[31mred\\x0anext")
    assert "\x1b" not in result.stderr


def test_a_forecast_names_both_quantiles_and_what_would_help(
    played: RedisFleet, redis_url: str
) -> None:
    said(xenroll(redis_url, "rollout", "forecast"), 8, "there is no rollout yet")
    played.begin()
    said(
        xenroll(redis_url, "rollout", "forecast"), 0, "p50: ", "p90: ", "WHAT IF", "max_hosts_away"
    )
    found = json.loads(xenroll(redis_url, "rollout", "forecast", "xsa-1", "-o", "json").stdout)
    assert found["reboots_left"] == 2 and found["p50_s"] <= found["p90_s"]


def test_the_status_of_a_rollout_shows_the_controllers_forecast(
    played: RedisFleet, redis_url: str
) -> None:
    played.begin()
    controller = played.controller()
    for _ in range(3):  # the first rounds are for hearing every host
        played.round(controller)
    found = json.loads(xenroll(redis_url, "rollout", "status", "--json").stdout)
    assert found["outlook"]["p50_at"] <= found["outlook"]["p90_at"]


def test_a_wave_and_a_host_are_paused_resumed_aborted_and_approved(
    played: RedisFleet, redis_url: str
) -> None:
    rollout = played.begin()
    command = ["rollout", "pause", rollout.id, "--reason", "smoke"]
    said(xenroll(redis_url, *command, "--wave", "1"), 0, "wave 1 paused: no new step starts")
    said(xenroll(redis_url, *command, "--wave", "1"), 1, "wave 1 is paused already")
    said(xenroll(redis_url, *command, "--host", "h1"), 0, "host h1 paused")
    said(xenroll(redis_url, *command, "--wave", "7"), 8, "has no wave 7; there are 1")
    said(xenroll(redis_url, *command, "--host", "h7"), 8, "has no host h7")
    said(xenroll(redis_url, *command, "--host", "h1", "--wave", "1"), 2, "not both")
    said(xenroll(redis_url, *command, "--wave", "0"), 2, "--wave")
    wish = json.loads(played.store.control(rollout.id)["wave:1"])
    assert (wish["wanted"], wish["reason"]) == ("pause", "smoke")
    said(xenroll(redis_url, "rollout", "resume", "--wave", "1"), 0, "wave 1 resumed")
    said(xenroll(redis_url, "rollout", "resume", "--wave", "1"), 1, "is not paused")
    said(xenroll(redis_url, "rollout", "approve", "--wave", "1"), 0, "wave 1 is approved")
    said(xenroll(redis_url, "rollout", "approve", "--wave", "7"), 8, "no wave 7")
    said(xenroll(redis_url, "rollout", "approve"), 1, "there is nothing to approve")
    said(xenroll(redis_url, "rollout", "abort", "--host", "h1"), 0, "host h1 aborted")
    said(xenroll(redis_url, "rollout", "resume", "--host", "h1"), 1, "cannot be taken back")
    played.run(played.controller())
    assert played.head().state is RolloutState.DONE
    assert {h.name: h.state for h in played.store.book(rollout.id).hosts.values()} == {
        "h0": "blocked",
        "h1": "opened",
    }


def test_who_pauses_is_told_what_it_costs_and_may_ask_before(
    played: RedisFleet, redis_url: str
) -> None:
    played.begin()
    controller = played.controller()
    for _ in range(3):
        played.round(controller, 1.0)
    asked = xenroll(redis_url, "rollout", "forecast", "--if-paused-s", "600")
    said(asked, 0, "a pause of 10:00 makes the end come p50", "stay closed half emptied: h")
    as_json = xenroll(redis_url, "rollout", "forecast", "--if-paused-s", "600", "-o", "json")
    assert json.loads(as_json.stdout)["pause"]["half_drained"]
    said(xenroll(redis_url, "rollout", "pause"), 0, "no new step", "a pause of 1:00:00 makes")


def test_a_pause_says_what_may_still_be_starting(
    played: RedisFleet, redis_client: redis.Redis, redis_url: str
) -> None:
    rollout = played.begin()
    claims = keys.claims("h1")
    redis_client.hset(claims, f"{rollout.id}-g2-1-a1", "2026-11-22T22:00:00Z")
    said(xenroll(redis_url, "rollout", "pause"), 0, "1 steps that were allowed a moment before")
    redis_client.hset(claims, f"{rollout.id}-g2-1-a1", "settled")
    said(xenroll(redis_url, "rollout", "resume"), 0, "resumed")
    assert "allowed" not in xenroll(redis_url, "rollout", "pause").stdout
