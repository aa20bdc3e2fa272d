"""The disks of the next moves are looked at before their turn, so that none waits for a look."""

from __future__ import annotations

from datetime import timedelta

from agents.wire import Disk, DiskFound, Domain, GuestSeen, Report
from planner.fleet import Fleet, Guest
from scheduler.draft import Draft
from scheduler.handout import AHEAD, hand_out
from scheduler.rollout import Change
from tests.make import fleet, guest, host
from tests.sim import Sim, SimHost


def path_of(guest_name: str) -> str:
    return f"/dev/san/{guest_name}"


class DiskSim(Sim):
    """Every guest has a disk; its hosts answer for those of `answered`."""

    answered: frozenset[str] = frozenset()

    def look(self, host: SimHost) -> Report:
        paths = map(path_of, sorted(self.answered))
        found = tuple(DiskFound(target=path, kind="device", size_bytes=10) for path in paths)
        return super().look(host).model_copy(update={"disks": found})

    def _seen(self, guest: Guest, domain: Domain, host: SimHost) -> GuestSeen:
        disk = Disk(vdev="xvda", target=path_of(guest.name), format="raw")
        return super()._seen(guest, domain, host).model_copy(update={"disks": (disk,)})

    def handed_out(self) -> Change:
        """What the steps that may start bring about now."""
        draft = Draft(self.book, self.now)
        hand_out(draft, self, self.limits)
        return draft.change()

    def answers_for(self, guests: frozenset[str]) -> None:
        """From now on a look at any host finds the disks of these guests."""
        self.answered = guests
        for one in self.hosts.values():
            one.report = None


def two_hosts() -> Fleet:
    guests = [guest(f"g{n}", "h0", gib=1) for n in range(5)]
    hosts = [host("h0", gib=16), host("h1", gib=16, reboot=False)]
    return fleet(hosts, guests, max_moves_out_per_host=1)


def moving(sim: DiskSim) -> set[str]:
    return {step.guest or "" for step in sim.book.running()}


def test_while_a_source_may_begin_no_more_the_disks_of_its_next_moves_are_asked_for() -> None:
    sim = DiskSim(two_hosts())
    sim.answers_for(frozenset(sim.guests))
    sim.run(3)
    (under_way,) = moving(sim)
    change = sim.handed_out()
    assert not change.orders and not change.looks, "nothing waits for these answers yet"
    asked = {path for _, paths in change.disks for path in paths}
    assert len(asked) == AHEAD and path_of(under_way) not in asked
    assert {host for host, _ in change.disks} == {"h0", "h1"}


def test_a_move_whose_disks_were_answered_ahead_begins_at_once_when_its_turn_comes() -> None:
    sim = DiskSim(two_hosts())
    sim.answers_for(frozenset(sim.guests))
    sim.run(3)
    first = moving(sim)
    ahead = {path for _, paths in sim.handed_out().disks for path in paths}
    sim.answers_for(frozenset(path.rpartition("/")[2] for path in ahead))
    while moving(sim) == first:
        sim.now += timedelta(seconds=1)
        sim.round()
    assert len(moving(sim)) == 1, "with the round that ended the first"


def test_a_move_without_an_answer_waits_for_one() -> None:
    sim = DiskSim(two_hosts())
    sim.run(30)
    assert not moving(sim)
    change = sim.handed_out()
    assert {host for host, _ in change.disks} == set(change.looks) == {"h0", "h1"}
