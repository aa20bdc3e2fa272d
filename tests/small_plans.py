"""Random plans of a few steps for random fleets of a few hosts: some valid, most nearly so."""

from __future__ import annotations

from random import Random

from planner.fleet import Evacuation, Fleet, Guest, Host
from planner.plan import Plan, StepKind
from tests.make import Draft, fleet, guest, host

MOST_STEPS = 8


def small_case(random: Random) -> tuple[Fleet, Plan]:
    """A fleet and a plan whose form, counts and estimate are right; its order may be unsafe."""
    if random.random() < 0.4:
        return crowded_case(random)
    seen = small_fleet(random)
    return seen, _Drafting(random, seen).plan()


def crowded_case(random: Random) -> tuple[Fleet, Plan]:
    """Guests that change places on nearly full hosts, none of which reboots (but an empty one).

    One after the other the moves are safe; how many needs that takes is left to chance.
    """
    hosts = [
        host(
            f"n{n}", gib=random.choice([5, 7, 9]) / 1024, cpus=random.choice([7, 20]), reboot=False
        )
        for n in range(random.randint(2, 3))
    ]
    guests = _filling(random, hosts)
    spare = host("spare", gib=0, cpus=0, pool="elsewhere")
    chosen = {
        "vcpus_per_cpu": random.choice([0.8, 1.0, 3.0]),
        "max_fill": random.choice([1.0, 0.8]),
    }
    limits = {"max_moves_in_per_host": 10, "max_moves_out_per_host": 10}
    seen = fleet([*hosts, spare], guests, **chosen, **limits)
    draft = Draft(seen).wave("spare").reboot("spare")
    where = {g.name: g.host for g in guests}
    keeps = random.choice([0.2, 0.5, 0.8, 1.0])
    for _ in range(random.randint(5, 40)):
        moved = random.choice(guests)
        to = random.choice(hosts)
        if len(draft.steps) < MOST_STEPS and _fits_now(seen, guests, where, moved, to):
            moves = [step for step in draft.steps if step.kind is StepKind.MOVE]
            own = [step.id for step in moves if step.guest == moved.name]
            # What left the place that this guest goes to is what it most likely waits for.
            freed = [step.id for step in moves if step.source == to.name]
            needs = {*own, *(step_id for step_id in freed if random.random() < keeps)}
            needs |= {step.id for step in moves if random.random() < 0.1}
            draft.move(moved.name, to.name, sorted(needs))
            where[moved.name] = to.name
    return seen, draft.plan()


def _filling(random: Random, hosts: list[Host]) -> list[Guest]:
    guests: list[Guest] = []
    for on in hosts:
        left_mib = on.memory_mib - random.choice([1, 2, 3, 4])
        while left_mib > 0:
            mib = random.randint(1, min(3, left_mib))
            apart = random.choice([[]] * 9 + [["p"]])
            vcpus = random.choice([1, 1, 2])
            name = f"g{len(guests)}"
            guests.append(guest(name, on.name, gib=mib / 1024, vcpus=vcpus, apart=apart))
            left_mib -= mib
    return guests


def _fits_now(
    seen: Fleet, guests: list[Guest], where: dict[str, str], moved: Guest, to: Host
) -> bool:
    if where[moved.name] == to.name:
        return False
    there = [moved, *(g for g in guests if where[g.name] == to.name)]
    names = [name for g in there for name in g.apart]
    return (
        sum(g.room_mib for g in there) <= seen.policy.max_fill * to.memory_mib
        and sum(g.vcpus for g in there) <= seen.policy.vcpus_per_cpu * to.cpus
        and len(names) == len(set(names))
    )


def small_fleet(random: Random) -> Fleet:
    """Two to four hosts with hardly any room to spare; memory in MiB of one digit."""
    hosts = [_host(random, number) for number in range(random.randint(2, 4))]
    guests: list[Guest] = []
    for number in range(random.randint(1, 5)):
        made = _guest(random, number, random.choice(hosts))
        taken = sum(other.room_mib for other in guests if other.host == made.host)
        has = next(h.memory_mib for h in hosts if h.name == made.host)
        if taken + made.room_mib <= has:
            guests.append(made)
    return fleet(
        hosts,
        guests,
        vcpus_per_cpu=random.choice([0.7, 1.0, 2.0]),
        max_fill=random.choice([1.0, 1.0, 0.75]),
        xen_after=random.choice([None, None, "4.18"]),
        max_hosts_away=10,
        max_moves_in_per_host=10,
        max_moves_out_per_host=10,
        gates=random.choice(["none", "none", "every"]),
    )


def _host(random: Random, number: int) -> Host:
    return host(
        f"n{number}",
        gib=random.choice([4, 6, 8]) / 1024,
        cpus=random.choice([4, 6, 10]),
        xen=random.choice(["4.17", "4.17", "4.17", "4.18"]),
        reboot=random.random() < 0.75,
        pool=random.choice(["a"] * 12 + ["b"]),
        offers=random.choice([["x"]] * 6 + [[]]),
    )


def _guest(random: Random, number: int, on: Host) -> Guest:
    return guest(
        f"g{number}",
        on.name,
        gib=random.choice([1, 2, 3]) / 1024,
        overhead_mib=random.choice([0, 0, 1]),
        vcpus=random.choice([1, 1, 2, 3]),
        needs=random.choice([[]] * 5 + [["x"]]),
        apart=random.choice([[]] * 3 + [["p"], ["q"], ["p", "q"]]),
        evacuation=random.choice(["move"] * 8 + ["restart", "restart", "hold"]),
    )


class _Drafting:
    """Empties host after host in a plausible order, then forgets some of the needs."""

    def __init__(self, random: Random, seen: Fleet) -> None:
        self.random, self.fleet = random, seen
        self.draft = Draft(seen)
        self.forgets = random.choice([0.0, 0.0, 0.05, 0.2, 0.6])
        self.keeps = random.choice([0.1, 0.4, 1.0])
        self.where = {g.name: g.host for g in seen.guests}
        self.back: set[str] = set()

    def plan(self) -> Plan:
        hosts = [h.name for h in self.fleet.hosts if h.reboot]
        self.random.shuffle(hosts)
        rebooted = hosts[: self.random.randint(1, 3)]
        gate = self.fleet.policy.gates == "every"
        for name in rebooted:
            self.draft.wave(name, gate=gate)
        for name in rebooted:
            self._empty(name)
        for name in hosts[len(rebooted) :]:
            self.draft.block(name, (None, "not tried"))
        return self.draft.plan()

    def _empty(self, name: str) -> None:
        restarts = []
        for seen in self.fleet.guests:
            if seen.evacuation is Evacuation.RESTART and seen.host == name:
                restarts.append(seen.name)
            elif self.where[seen.name] == name and len(self.draft.steps) < MOST_STEPS - 3:
                self._move(seen)
        for guest_name in restarts:
            self.draft.stop(guest_name, self._needs())
        self.draft.reboot(name, self._needs())
        self.back.add(name)
        for guest_name in restarts:
            self.draft.start(guest_name, self._needs())

    def _move(self, seen: Guest) -> None:
        if seen.evacuation is not Evacuation.MOVE:
            return
        others = [h.name for h in self.fleet.hosts if h.name != self.where[seen.name]]
        good = [name for name in others if name in self.back] or others
        to = self.random.choice(good if self.random.random() < 0.7 else others)
        self.draft.move(seen.name, to, self._needs())
        self.where[seen.name] = to

    def _needs(self) -> list[str]:
        """Some of the steps so far: those of consequence nearly always, the others at times."""
        needs = []
        for step in self.draft.steps:
            chance = self.keeps if step.kind is not StepKind.REBOOT else 1.0
            if self.random.random() < chance * (1 - self.forgets):
                needs.append(step.id)
        return needs
