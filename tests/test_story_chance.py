"""Random fleets, policies, faults and wishes, with controllers that die at random writes.

`python -m tests.story_chance 0-499` plays many more; STORY_SEED=n begins elsewhere.
"""

from __future__ import annotations

import os

import pytest
import redis

from tests.story_chance import played, wrongs
from tests.story_draw import random_story

FIRST = int(os.environ.get("STORY_SEED") or 0)
SEEDS = range(FIRST, FIRST + 12)


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_happens_what_can_be_seen_from_outside_is_right(
    redis_client: redis.Redis, seed: int
) -> None:
    print(f"seed {seed}: python -m tests.story_chance {seed}")
    player = played(redis_client, seed)
    assert not wrongs(player), "\n".join(line.text for line in player.log)


def test_random_stories_are_of_every_kind() -> None:
    told = [random_story(seed)[0] for seed in range(60)]
    fields = ("faults", "gates", "advisories", "hooks", "alerts", "lost_hosts", "timeline")
    for field in fields:
        assert any(getattr(story, field) for story in told), field
    deeds = {name for story in told for deed in story.timeline for name in deed.model_fields_set}
    assert {"pause", "abort", "silent", "dies", "create", "carry", "restarts"} <= deeds


def test_a_seed_gives_the_same_story_again() -> None:
    assert random_story(7) == random_story(7)
    assert random_story(7) != random_story(8)
