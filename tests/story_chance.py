"""Stories by chance: random fleets, policies, faults and wishes, played like those in files.

Nothing is expected of their log; what must hold is looked at from outside (`tests.sim_world`,
`tests.story_judge.always`) and here: every rollout comes to an end that somebody can understand.
The same seed gives the same story and the same deaths of its controllers:

    python -m tests.story_chance 17        its story as a file, its log, what is wrong with it
    python -m tests.story_chance 0-499     only the seeds at which something is wrong
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from random import Random

import redis
import yaml

from scheduler.book import Book
from scheduler.embedded import EmbeddedServer
from scheduler.holds import holds
from scheduler.outcomes import describe
from scheduler.rollout import ENDED, RolloutState, Step
from scheduler.wave_holds import BEFORE
from tests.story_deaths import Fate
from tests.story_draw import random_story
from tests.story_judge import complaints
from tests.story_player import Player

HELD = (RolloutState.STOPPED, RolloutState.PAUSED)


def random_fate(seed: int) -> Fate:
    """Deaths of controllers: none in a third of all stories, else at so many of their writes."""
    chance = Random(f"fate {seed}")
    share = chance.choice([0.0, 0.05, 0.3])
    return lambda when: chance.random() < share


def played(client: redis.Redis, seed: int) -> Player:
    """The story of a seed, played to its end."""
    player = Player(client, random_story(seed)[0], fate=random_fate(seed))
    player.run()
    return player


def wrongs(player: Player) -> list[str]:
    """What is wrong with a story's end, whatever the story is."""
    book, world = player.book(), player.world
    found = complaints(player)
    state = book.rollout.state
    if state not in (*ENDED, *HELD) and not _waits_for_a_person(book):
        found.append(f"it does not come to an end: {state} after {player.now_s:.0f} s")
    found += _unexplained(book)
    if state in ENDED:
        for name in world.guests:
            places = world.runs_on(name)
            if len(places) != 1 and name not in world.hurt | world.doubled:
                found.append(f"{name} runs on {places}, and nobody ended it")
    return found


def _unexplained(book: Book) -> list[str]:
    """Steps that could go on and do not, where nothing that is shown says why."""
    state = book.rollout.state
    if state in ENDED:
        return []
    found = holds(book)
    whole = state is not RolloutState.ABORTING and any(one.what == "rollout" for one in found)
    held = {one.what for one in found}
    steps = [*book.running(), *book.startable()]
    return [
        f"{describe(step)} is {step.state}, and nothing says why it does not go on"
        for step in steps
        if not (whole or held.intersection(_parts(step)) or step.reason)
    ]


def _parts(step: Step) -> set[str]:
    hosts = {f"host {name}" for name in step.hosts}
    return hosts | {f"wave {step.wave}", f"guest {step.guest}"}


def _waits_for_a_person(book: Book) -> bool:
    """A rollout may run for ever around what a hook or a person has stopped, and says so."""
    return any(one.what != "rollout" and one.by != BEFORE for one in holds(book))


def main(words: list[str]) -> None:
    """Play the seeds of the command line."""
    seeds = [n for word in words for n in _range(word)]
    with tempfile.TemporaryDirectory() as folder:
        server = EmbeddedServer(Path(folder) / "data")
        server.start()
        try:
            with redis.Redis.from_url(server.url) as client:
                for seed in seeds:
                    client.flushall()
                    _show(client, seed, whole=len(seeds) == 1)
        finally:
            server.stop()


def _range(word: str) -> range:
    first, _, last = word.partition("-")
    return range(int(first), int(last or first) + 1)


def _show(client: redis.Redis, seed: int, *, whole: bool) -> None:
    if whole:
        print(yaml.safe_dump(random_story(seed)[1], sort_keys=False, default_flow_style=None))
    player = played(client, seed)
    found = wrongs(player)
    if whole:
        for line in player.log:
            print(f"{line.at_s:8.0f} s  {line.text}")
        print(f"refused by hosts: {player.world.refusals}; lives: {player.lives}")
    hold = player.book().rollout.hold
    state = f"{player.book().rollout.state}{f' ({hold.reason[:90]})' if hold else ''}"
    print(f"seed {seed}: {state} after {player.now_s:.0f} s, {player.lives} lives", flush=True)
    for wrong in found:
        print(f"  -> {wrong}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
