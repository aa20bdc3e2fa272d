"""The whole job, told once for two and for three hosts: drain, reboot, verify, use again."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.lab import moves
from deploy.lab.build_id import build_id
from deploy.lab.guests import Guest, create
from deploy.lab.lab import Lab
from deploy.lab.power import Power
from deploy.lab.sightings import Life, lives
from deploy.lab.watch import Watch
from scheduler.book import Book
from scheduler.rollout import ENDED, HostState, RolloutState
from tests.lab_judge import all_well, at_the_end, boots
from tests.lab_kit import say
from tests.lab_stage import ADVISORY, Stage, free_port, installed, now, staged

ROLLOUT_TIMEOUT_S = 3600.0
SETTLED_S = 15.0
"""How long the observer goes on looking when everything is over."""


@dataclass(frozen=True)
class Cast:
    """Who takes part: each guest with the host it starts on; the hypervisor that is fixed."""

    guests: dict[Guest, str]
    hosts: tuple[str, ...]
    fixed_xen: Path


def roll(lab: Lab, cast: Cast) -> None:
    """Every host of the lab emptied, rebooted on the fixed hypervisor, and used again."""
    with staged(lab, free_port(lab.layout)) as stage:
        began = now()
        for name in cast.hosts:
            stage.enroll(name)
        for guest, host in cast.guests.items():
            create(lab.remote(host), guest)
            say(f"{guest.name} runs on {host}")
        stage.wait_for_agents(cast.hosts, began)
        for name in cast.hosts:
            installed(lab, name, cast.fixed_xen)
        remotes = [lab.remote(name) for name in cast.hosts]
        with Power(lab, cast.hosts) as power, Watch(remotes) as watch:
            wait_for_sight(watch, cast.hosts)
            book = carry_out(stage, cast)
            verify(stage, cast)
            use_again(lab, watch, cast)
            time.sleep(SETTLED_S)
            sightings = watch.sightings()
        assert power.problems == []
    all_well(sightings, list(cast.guests), cast.hosts)
    compare_blackouts(book, lives(sightings))


def wait_for_sight(watch: Watch, hosts: Sequence[str]) -> None:
    while any(watch.latest(host) is None for host in hosts):
        time.sleep(0.5)


def carry_out(stage: Stage, cast: Cast) -> Book:
    """What a person does: say what is there, what is fixed, start, watch it end; how it ended."""
    stage.apply_inventory(cast.hosts)
    stage.obey("advisory", "add", ADVISORY, "--fixed-build", build_id(cast.fixed_xen))
    stage.obey("host", "list")
    stage.obey("rollout", "start", ADVISORY, "--reason", "the lab")
    started = time.monotonic()
    rollout_id = stage.store.ids()[-1]
    book = stage.follow(
        rollout_id,
        lambda book: book.rollout.state in {*ENDED, RolloutState.STOPPED},
        ROLLOUT_TIMEOUT_S,
    )
    stage.obey("rollout", "report")
    assert book.rollout.state is RolloutState.DONE, book.rollout.hold
    assert all(host.state is HostState.FIXED for host in book.hosts.values())
    say(f"the rollout took {time.monotonic() - started:.0f} s")
    stage.obey("rollout", "moves")
    return book


def compare_blackouts(book: Book, found: Mapping[str, Life]) -> None:
    """What xenroll tells of guests that stood still in moves, beside their silences.

    A guest that stands still gives no tick: its longest silence, as an observer outside saw it, is
    at least what xenroll says it stood still for at least, but for one tick. It may be far longer:
    the guest also freezes and wakes, and it is heard only when its dom0 has time for it.
    """
    silences = {name: life.longest_silence_s for life in found.values() for name in life.names}
    told = 0
    for step in book.steps.values():
        if step.blackout is None:
            continue
        low_s, high_s = step.blackout.at_least_s, step.blackout.at_most_s
        silence_s = silences[step.guest or ""]
        say(f"{step.guest}: {low_s:.1f} to {high_s:.1f} s still, of {silence_s:.1f} s of silence")
        assert low_s <= silence_s + 1.0
        told += 1
    say(f"{told} blackouts are known of {len(book.steps)} steps")


def verify(stage: Stage, cast: Cast) -> None:
    """By the hypervisor's own word on each host, past the agents."""
    wanted = build_id(cast.fixed_xen)
    for name in cast.hosts:
        shown = stage.lab.remote(name).check("xl info | grep ^build_id")
        assert wanted in shown, f"{name} runs {shown}"
    stage.obey("advisory", "show", ADVISORY)


def use_again(lab: Lab, watch: Watch, cast: Cast) -> None:
    """A host that is still empty takes a guest again, as an operator would send it one."""
    where = at_the_end(watch.sightings(), cast.hosts)
    for host in cast.hosts:
        if not where[host]:
            source = max(where, key=lambda name: len(where[name]))
            guest = where[source].pop()
            attempt = moves.migrate(lab.remote(source), guest, host)
            say(f"{host} is used again: {guest} from {source}, exit code {attempt.code}")
            assert attempt.code == 0, attempt.err
    for host in cast.hosts:
        assert len(boots(watch.sightings(), host)) == 2
