"""Rollouts with hooks that are real commands: each runs once, and holds its host when it fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from agents.wire import Wanted
from planner.fleet import Fleet
from scheduler.control import Controller
from scheduler.gates import GatePolicy, Hook, Hooks, HookStage, HookState
from scheduler.hook_runner import verdicts_key
from scheduler.rollout import HostState, RolloutState
from scheduler.wishes import Part, wish
from tests.hook_kit import script
from tests.make import fleet, guest, host
from tests.redis_fleet import RedisFleet
from tests.waiting import until


def small_fleet() -> Fleet:
    hosts = [host(f"h{n}", gib=16) for n in range(3)]
    return fleet(hosts, [guest(f"g{n}", f"h{n}", gib=2) for n in range(3)])


def begin(client: redis.Redis, **hooks: Hook) -> RedisFleet:
    played = RedisFleet(client, small_fleet(), gates=GatePolicy(hooks=Hooks(**hooks)))
    played.begin()
    return played


def play(played: RedisFleet, controller: Controller, true: Callable[[], object]) -> None:
    """Rounds until it is so; hooks take real time, so the rounds are spread over it."""

    def one() -> object:
        played.round(controller, step_s=2.0)
        return true()

    until(one)


def ended(played: RedisFleet) -> bool:
    return played.head().state is RolloutState.DONE


def test_a_rollout_with_real_hooks_runs_each_once_and_tells_it_the_codename_only(
    redis_client: redis.Redis, tmp_path: Path
) -> None:
    hook = script(tmp_path / "hook", f"cat > {tmp_path}/document.$$")
    stages = {stage.value: hook for stage in HookStage}
    played = begin(redis_client, **stages)
    controller = played.controller()
    play(played, controller, lambda: ended(played))
    controller.outside.close()
    documents = [json.loads(one.read_text()) for one in tmp_path.glob("document.*")]
    seen = sorted((one["host"], one["stage"]) for one in documents)
    assert seen == sorted((f"h{n}", stage) for n in range(3) for stage in stages)
    assert {one["rollout"] for one in documents} == {played.head().id}
    assert {one["format"] for one in documents} == {"xenroll.hook/1"}
    assert redis_client.hgetall(verdicts_key(played.head().id)) == {}
    assert all(h.build == "f" * 40 for h in played.sim.hosts.values())


def test_a_verdict_given_while_no_controller_ran_is_found_by_the_next_and_not_asked_again(
    redis_client: redis.Redis, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    body = f"echo run >> {tmp_path}/runs; while [ ! -e {go} ]; do sleep 0.05; done"
    played = begin(redis_client, preflight=script(tmp_path / "hook", body))
    first = played.controller()
    runs = tmp_path / "runs"
    play(played, first, lambda: runs.exists() and len(runs.read_text().split()) == 3)
    go.touch()  # the first controller makes no round any more
    until(lambda: redis_client.hlen(verdicts_key(played.head().id)) == 3)
    assert not played.sim.started
    second = played.controller()
    play(played, second, lambda: ended(played))
    assert len(runs.read_text().split()) == 3
    first.outside.close()
    second.outside.close()


def test_a_hook_cut_off_by_the_end_of_its_controller_runs_again(
    redis_client: redis.Redis, tmp_path: Path
) -> None:
    runs, go = tmp_path / "runs", tmp_path / "go"
    body = f"echo run >> {runs}; while [ ! -e {go} ]; do sleep 0.05; done"
    played = begin(redis_client, preflight=script(tmp_path / "hook", body))
    first = played.controller()
    play(played, first, lambda: runs.exists() and len(runs.read_text().split()) == 3)
    first.outside.close()
    assert redis_client.hlen(verdicts_key(played.head().id)) == 0
    go.touch()
    second = played.controller()
    play(played, second, lambda: ended(played))
    second.outside.close()
    assert len(runs.read_text().split()) == 6


def test_a_slow_hook_holds_its_host_and_never_the_controller(
    redis_client: redis.Redis, tmp_path: Path
) -> None:
    body = f'grep -q \'"host": "h1"\' && while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; exit 0'
    played = begin(redis_client, after_reboot=script(tmp_path / "hook", body))
    controller = played.controller()

    def others_back() -> bool:
        hosts = played.store.book(played.head().id).hosts
        return hosts["h1"].state is HostState.FIXED and hosts["h1"].closed

    play(played, controller, others_back)
    for _ in range(20):
        played.round(controller)
    assert played.store.book(played.head().id).hosts["h1"].closed
    (tmp_path / "go").touch()
    play(played, controller, lambda: ended(played))
    controller.outside.close()
    assert not any(h.closed for h in played.store.book(played.head().id).hosts.values())


def test_a_failed_hook_is_run_again_when_a_person_resumes_the_host(
    redis_client: redis.Redis, tmp_path: Path
) -> None:
    body = 'grep -q \'"host": "h1"\' || exit 0\n'
    body += f"test -e {tmp_path}/fixed || {{ echo no disk; exit 9; }}"
    played = begin(redis_client, before_drain=script(tmp_path / "hook", body))
    controller = played.controller()

    def stopped() -> bool:
        return played.store.book(played.head().id).hosts["h1"].stopped is not None

    play(played, controller, stopped)
    record = played.store.book(played.head().id).hosts["h1"]
    assert record.stopped and record.stopped.reason == "hook before_drain ended with 9: no disk"
    assert record.hooks[0].state is HookState.FAILED and not record.closed
    (tmp_path / "fixed").touch()
    wish(
        played.store,
        played.head().id,
        Part(host="h1"),
        Wanted.RUN,
        "on-call",
        "new disk",
        played.clock.now(),
    )
    play(played, controller, lambda: ended(played))
    controller.outside.close()
    hosts = played.store.book(played.head().id).hosts.values()
    assert {one.state for one in hosts} == {HostState.FIXED}


def test_a_hook_that_fails_in_its_thread_holds_its_host_and_says_why(
    redis_client: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = script(tmp_path / "hook", "exit 0")
    played = begin(redis_client, before_drain=hook)
    controller = played.controller()

    def stopped() -> list[str]:
        hosts = played.store.book(played.head().id).hosts.values()
        return [host.stopped.reason for host in hosts if host.stopped]

    with monkeypatch.context() as full:
        full.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
        play(played, controller, stopped)
    controller.outside.close()
    words = f"hook before_drain failed: {hook.argv[0]}: FileNotFoundError"
    assert all(reason.startswith(words) for reason in stopped())
    assert not played.sim.started and played.head().state is RolloutState.RUNNING
