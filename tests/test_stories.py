"""Every story of `tests/stories`, through the real controller, and with it killed at each write."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from tests.stories import BadStory, every, missing_line, read
from tests.story_player import Player, complaints


def name_of(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", every(), ids=name_of)
def test_it_goes_as_the_story_says(redis_client: redis.Redis, path: Path) -> None:
    player = Player(redis_client, read(path), mortal=False)
    player.run()
    assert not complaints(player), "\n".join(player.log)


@pytest.mark.parametrize("path", every(), ids=name_of)
def test_it_goes_the_same_way_with_a_controller_that_dies_after_every_write(
    redis_client: redis.Redis, path: Path
) -> None:
    player = Player(redis_client, read(path), mortal=True)
    player.run()
    assert not complaints(player), "\n".join(player.log)
    assert player.lives > 1


def test_there_are_at_least_sixty_stories_each_of_another_thing() -> None:
    titles = [read(path).title for path in every()]
    assert len(titles) == len(set(titles)) >= 60


def test_a_line_that_does_not_come_is_named() -> None:
    log = ["started: move a", "moved: a", "started: reboot h0"]
    assert missing_line(log, ["started: move", "started: reboot"]) is None
    assert missing_line(log, ["started: reboot", "moved: a"]) == "moved: a"


def test_a_file_that_is_no_story_says_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("title: x\nhosts: {h0: 16}\nguests: {}\nexpected: {state: done}\nfault: {}\n")
    with pytest.raises(BadStory, match=r"s\.yaml: fault: "):
        read(path)


def test_an_ending_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        "title: x\nhosts: {h0: 16}\nguests: {g0: h0 2}\nfaults: {g0: explodes}\n"
        "expected: {state: done}\n"
    )
    with pytest.raises(BadStory, match="explodes"):
        read(path)
