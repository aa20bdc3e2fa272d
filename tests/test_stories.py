"""Every story of `tests/stories`, through the real controller, and with it killed at each write."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from tests.failure_tables import ROWS
from tests.stories import BadStory, Line, every, read
from tests.story_deaths import after_every_write
from tests.story_judge import complaints
from tests.story_log import Told, missing_line
from tests.story_player import Player

SMALL = "title: x\nhosts: {h0: 16}\nguests: {g0: h0 2}\nexpected: {state: done}\n"


def name_of(path: Path) -> str:
    return path.stem


def shown(player: Player) -> str:
    return "\n".join(f"{line.at_s:8.0f} s  {line.text}" for line in player.log)


@pytest.mark.parametrize("path", every(), ids=name_of)
def test_it_goes_as_the_story_says(redis_client: redis.Redis, path: Path) -> None:
    player = Player(redis_client, read(path))
    player.run()
    assert not complaints(player), shown(player)


@pytest.mark.parametrize("path", every(), ids=name_of)
def test_it_goes_the_same_way_with_a_controller_that_dies_after_every_write(
    redis_client: redis.Redis, path: Path
) -> None:
    player = Player(redis_client, read(path), fate=after_every_write)
    player.run()
    assert not complaints(player), shown(player)
    assert player.lives > 1


def test_there_are_at_least_a_hundred_and_fifty_stories_each_of_another_thing() -> None:
    titles = [read(path).title for path in every()]
    assert len(titles) == len(set(titles)) >= 150


def test_each_way_in_which_a_migration_can_fail_has_its_story() -> None:
    told = {row for path in every() for row in read(path).rows}
    assert sorted(set(ROWS) - told) == []


def test_a_line_that_does_not_come_is_named() -> None:
    log = [Told(10.0 * n, one) for n, one in enumerate(["started: a", "moved: a", "done: h0"])]
    assert missing_line(log, ["started: a", "done: h0"]) is None
    assert missing_line(log, ["done: h0", "moved: a"]) == "no line in its place: moved: a"


def test_a_line_that_comes_too_soon_or_too_late_or_after_another_is_named() -> None:
    log = [Told(10.0 * n, one) for n, one in enumerate(["started: a", "moved: a", "done: h0"])]
    soon = [Line(line="done: ", at_least_s=15), Line(line="done: ", at_least_s=25)]
    assert [missing_line(log, ["started: ", one]) for one in soon] == [
        None,
        "done:  comes after 20 s already",
    ]
    late = Line(line="done: ", at_most_s=15)
    assert missing_line(log, ["started: ", late]) == "done:  comes after 20 s only"
    alone = Line(line="done: ", without=["moved: "])
    assert missing_line(log, [alone]) == "before done:  comes moved: a"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("fault: {}", "fault: Extra inputs are not permitted"),
        ("faults: {g0: explodes}", 'faults.g0: no ending is called "explodes"'),
        ("faults: {g7: crashes}", "faults: there is no guest g7"),
        ("lost_hosts: [h9]", "lost_hosts: there is no host h9"),
        ("limits: {max_tries: 0}", "limits.max_tries: Input should be greater"),
        ("gates: {soak: 5}", "gates.soak: Extra inputs"),
        ("policy: {canary: 1}", "policy.canary: Extra inputs"),
        ("rows: [1.4/99]", 'rows: the tables have no row "1.4/99"'),
        ("hooks: {preflight h0: 1}", "hooks.preflight h0: gates.hooks names no hook"),
        ("hooks: {early h0: 1}", r"hooks.early h0: expected a stage \(preflight, "),
        ("timeline: [{pause: lunch}]", "timeline.1: say when, by one of at_s, after, every"),
        ("timeline: [{at_s: 1}]", "timeline.1: nothing happens"),
        ("timeline: [{at_s: 1, silent: [h9]}]", "timeline.1: there is no host h9"),
        ("timeline: [{at_s: 1, pause: x, of: h0}]", 'timeline.1.of: expected "rollout", "wave'),
        ("timeline: [{at_s: 1, approve: x}]", "timeline.1.approve: say which wave"),
        ("timeline: [{after: begun, pause: x}]", 'timeline.1.after: no line .* "begun:"'),
    ],
)
def test_a_file_that_is_no_story_says_what_is_wrong(tmp_path: Path, more: str, words: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(SMALL + more)
    with pytest.raises(BadStory, match=r"s\.yaml: " + words):
        read(path)


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        ("{state: over}", "expected.state: expected one of awaiting, running"),
        ("{state: done, gone: [g7]}", "expected.gone: there is no guest g7"),
        ("{state: done, log: [finished]}", 'expected.log: no line of the log begins with "fin'),
        ("", "expected: say how it has to end"),
    ],
)
def test_an_end_that_cannot_be_expected_is_refused(
    tmp_path: Path, expected: str, words: str
) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(SMALL.replace("{state: done}", expected))
    with pytest.raises(BadStory, match=words):
        read(path)
