"""kill -9 of everything, at random, during a rollout: nothing runs twice, nothing is lost.

`make chaos` kills 50 times, `make test` a few times. CHAOS_SEED=n kills in the same order again.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from scheduler.demo.stage import Stage
from scheduler.rollout import RolloutState
from tests.chaos_kit import (
    KINDS,
    Killer,
    all_is_well,
    begin,
    claims,
    every_guest_runs_once,
    has_ended,
    has_ended_if_it_can_be_told,
    head,
    nothing_started_twice,
    plot,
    rest,
    started,
    until,
)

KILLS = int(os.environ.get("CHAOS_KILLS") or 14)
SEED = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
SPEED = 40.0
BETWEEN_S = (0.1, 1.5)
"""Seconds between two kills: less than anything needs to come back."""


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_a_rollout_survives_the_death_of_anything_and_everything(tmp_path: Path) -> None:
    print(f"CHAOS_SEED={SEED}")
    killer = Killer(random.Random(SEED))
    scene = plot(tmp_path / "state", SPEED)
    with Stage(scene) as stage:
        begin(stage)
        while killer.killed.total() < KILLS or set(killer.killed) != set(KINDS):
            assert not has_ended_if_it_can_be_told(stage), f"ended after {dict(killer.killed)}"
            rest(stage, killer.chance.uniform(*BETWEEN_S))
            killer.strike(stage)
        until(stage, lambda: has_ended(stage), 900.0, "the rollout's end")
        assert head(stage).state is RolloutState.DONE
    print(f"killed: {dict(killer.killed)}")
    all_is_well(scene)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_after_a_pause_nothing_starts_until_somebody_resumes(tmp_path: Path) -> None:
    scene = plot(tmp_path / "state", SPEED)
    with Stage(scene) as stage:
        rollout_id = begin(stage)
        until(stage, lambda: len(started(scene)) >= 8, 300.0, "some moves")
        code, said = stage.xenroll("rollout", "pause", "--reason", "a test")
        acknowledged_t = time.time()
        claimed = claims(stage)
        assert code == 0, said
        until(stage, lambda: head(stage).state is RolloutState.PAUSED, 120.0, "the pause")
        until(stage, lambda: stage.moves_under_way() == 0, 120.0, "the end of what ran")
        rest(stage, 5.0)
        late = [line for line in started(scene) if line["t"] > acknowledged_t]
        # The machines may see a start only of an attempt that had its permission before.
        assert [line for line in late if (line["host"], line.get("name", "")) not in claimed] == []
        before = len(started(scene))
        rest(stage, 3.0)
        assert len(started(scene)) == before
        code, said = stage.xenroll("rollout", "resume", rollout_id)
        assert code == 0, said
        until(stage, lambda: has_ended(stage), 900.0, "the rollout's end")
        assert head(stage).state is RolloutState.DONE
    all_is_well(scene)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_an_abort_opens_the_hosts_again_and_leaves_every_guest_running(tmp_path: Path) -> None:
    scene = plot(tmp_path / "state", SPEED)
    with Stage(scene) as stage:
        rollout_id = begin(stage)
        until(stage, lambda: len(started(scene)) >= 8, 300.0, "some moves")
        code, said = stage.xenroll("rollout", "abort", "--reason", "a test")
        assert code == 0, said
        until(stage, lambda: has_ended(stage), 300.0, "the abort")
        book = stage.store.book(rollout_id)
        assert book.rollout.state is RolloutState.ABORTED
        assert [host.name for host in book.hosts.values() if host.closed] == []
        assert [guest.name for guest in book.guests.values() if guest.down] == []
        before = len(started(scene))
        rest(stage, 3.0)
        assert len(started(scene)) == before
        code, said = stage.xenroll("rollout", "resume", rollout_id)
        assert code == 1 and "ended" in said
    every_guest_runs_once(scene)
    nothing_started_twice(scene)
