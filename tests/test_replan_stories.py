"""Planning the rest anew while moves and reboots go on, in virtual time."""

from __future__ import annotations

from collections import Counter

import pytest

from agents.wire import Kind
from planner.fleet import Fleet
from scheduler.advance import Event, Replanned
from scheduler.limits import Limits
from scheduler.rollout import HostState, RolloutState, Step
from tests.make import fleet, guest, host
from tests.sim import Sim


class Watched(Sim):
    """A rollout that is looked at after every event."""

    kept: list[Step]

    def __init__(self, seen: Fleet, **more: object) -> None:
        self.kept = []
        super().__init__(seen, **more)  # type: ignore[arg-type]

    def feed(self, event: Event) -> None:
        before = {step.id: step for step in self.book.running()}
        super().feed(event)
        if isinstance(event, Replanned):
            self._nothing_under_way_was_touched(before)

    def _nothing_under_way_was_touched(self, before: dict[str, Step]) -> None:
        generation = self.book.rollout.generation
        assert set(before) == {step.id for step in self.book.running()}
        for name, step in before.items():
            after = self.book.steps[name]
            assert (after.state, after.attempt, after.ordered_at, after.needs) == (
                step.state,
                step.attempt,
                step.ordered_at,
                step.needs,
            )
            assert after.generation == generation
        self.kept += before.values()

    def round(self) -> None:
        super().round()
        assert_sound(self)


def assert_sound(sim: Sim) -> None:
    """What has to hold at every moment of every rollout."""
    names = Counter(name for one in sim.hosts.values() for name in one.domains)
    assert max(names.values(), default=0) <= 1, "a guest runs twice"
    head, steps = sim.book.rollout, sim.book.running()
    moves = [step for step in steps if step.kind is Kind.MOVE]
    assert max(Counter(s.host for s in moves).values(), default=0) <= head.max_moves_out_per_host
    into = Counter(step.destination for step in moves)
    assert max(into.values(), default=0) <= head.max_moves_in_per_host
    assert sum(step.kind is Kind.REBOOT for step in steps) <= head.max_hosts_away
    for one in sim.hosts.values():
        coming = [s.guest for s in moves if s.destination == one.name]
        taken = [*one.domains, *(name for name in coming if name not in one.domains)]
        held = sum(sim.guests[name or ""].room_mib for name in taken)
        assert held <= one.memory_mib, f"{one.name} holds too much"


def running(sim: Sim) -> Counter[str]:
    return Counter(name for one in sim.hosts.values() for name in one.domains)


def wide_fleet(**policy: object) -> Fleet:
    """Six hosts, of which three may be away at once; moves take from 6 to 15 seconds."""
    hosts = [host(f"h{n}", gib=32) for n in range(6)]
    guests = [guest(f"g{n}", f"h{n % 6}", gib=1 + n % 4) for n in range(30)]
    return fleet(hosts, guests, **{"max_hosts_away": 3} | policy)


def assert_all_fixed(sim: Sim) -> None:
    assert sim.book.rollout.state is RolloutState.DONE
    assert {one.state for one in sim.book.hosts.values()} == {HostState.FIXED}
    assert not any(one.closed for one in sim.book.hosts.values())
    assert all(one.boot == 2 for one in sim.hosts.values()), "every host rebooted just once"


@pytest.mark.parametrize("restarted", [False, True])
def test_a_failed_move_is_planned_around_while_others_go_on(restarted: bool) -> None:
    sim = Watched(
        wide_fleet(),
        faults={"g7": "refuses", "g14": "refuses"},
        consents=["g7", "g14"],
        restart_from_records=restarted,
    )
    sim.run()
    assert_all_fixed(sim)
    assert running(sim) == Counter(list(sim.guests))
    assert {step.kind for step in sim.kept} == {Kind.MOVE, Kind.REBOOT}, "both were kept"
    replans = [one for one in sim.happenings if one.kind == "replanned"]
    assert 1 <= len(replans) <= 4


def test_a_controller_killed_after_every_event_plans_the_same_rest() -> None:
    told = {"faults": {"g7": "refuses", "g20": "crashes"}, "consents": ["g7"]}
    whole = Watched(wide_fleet(), **told)
    killed = Watched(wide_fleet(), restart_from_records=True, **told)
    whole.run()
    killed.run()
    assert killed.ordered == whole.ordered
    assert killed.book.steps == whole.book.steps


def test_steps_of_the_new_plan_wait_for_those_that_were_kept() -> None:
    sim = Watched(wide_fleet(), faults={"g7": "refuses"}, consents=["g7"])
    while not sim.kept:
        sim.run(1)
    kept = {step.id for step in sim.kept}
    generation = sim.book.rollout.generation
    later = [s for s in sim.book.steps.values() if s.generation == generation and s.id not in kept]
    assert any(kept & set(step.needs) for step in later)
    assert not kept & {step.id for step in later}, "no id comes twice"
    sim.run()
    assert_all_fixed(sim)


def test_a_kept_move_that_breaks_is_tried_again_like_any_other() -> None:
    # g7 fails while g0 .. are on their way; what was kept then breaks too, and is retried.
    sim = Watched(wide_fleet(), faults={"g7": "refuses"}, consents=["g7"])
    while not sim.kept:
        sim.run(1)
    moving = [s for s in sim.kept if s.kind is Kind.MOVE and s.id in sim.book.under_way]
    assert moving
    sim.faults[moving[0].guest or ""] = "fails"
    sim.run()
    assert_all_fixed(sim)
    assert sim.book.steps[moving[0].id].attempt == 2
    assert running(sim) == Counter(list(sim.guests))


@pytest.mark.parametrize("restarted", [False, True])
def test_a_foreign_guest_on_a_closed_host_is_planned_away_at_once(restarted: bool) -> None:
    sim = Watched(wide_fleet(), restart_from_records=restarted)
    sim.run(2)
    closed = next(one.name for one in sim.book.hosts.values() if one.closed)
    sim.create("foreign", closed)
    sim.run(3)
    told = [one for one in sim.happenings if one.kind == "arrival"]
    assert [(one.host, one.guest) for one in told] == [(closed, "foreign")]
    assert any(s.guest == "foreign" and s.host == closed for s in sim.book.steps.values())
    assert sim.kept, "what was on its way went on"
    sim.run()
    assert_all_fixed(sim)
    assert running(sim) == Counter(list(sim.guests))


LENIENT = Limits(reboot_limit_s=600, max_lost_hosts=1)


def lost(sim: Sim) -> list[str]:
    return [one.name for one in sim.book.hosts.values() if one.lost]


def test_a_lost_host_that_is_heard_again_is_told_of_and_left_to_a_person() -> None:
    sim = Watched(wide_fleet(), lost_hosts=["h2"], limits=LENIENT)
    while not lost(sim):
        sim.run(1)
    sim.hosts["h2"].up = True
    sim.run()
    assert sim.book.rollout.state is RolloutState.DONE
    assert sim.book.hosts["h2"].state is HostState.BLOCKED


def test_guests_that_are_shut_down_come_back_before_the_rest_is_planned() -> None:
    guests = [guest(f"p{n}", f"h{n}", gib=1, evacuation="restart") for n in range(6)]
    guests += [guest(f"g{n}", f"h{n % 6}", gib=2) for n in range(18)]
    seen = fleet([host(f"h{n}", gib=32) for n in range(6)], guests, max_hosts_away=3)

    class NobodyDown(Watched):
        def feed(self, event: Event) -> None:
            if isinstance(event, Replanned):
                assert not [one.name for one in self.book.guests.values() if one.down]
            super().feed(event)

    sim = NobodyDown(seen, faults={"g9": "refuses", "g16": "refuses"}, consents=["g9", "g16"])
    sim.run()
    assert_all_fixed(sim)
    assert running(sim) == Counter(list(sim.guests))
    assert sim.book.rollout.generation > 1
