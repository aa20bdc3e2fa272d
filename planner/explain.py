"""Why a host is blocked, or why a guest goes where it goes: a plan read against its fleet.

Works from the two documents alone, so that it explains any plan, whoever made it. Every other host
of the pool is a candidate; for each it is said what speaks against it at that moment of the plan:
MiB or vCPUs short, a tag that is not offered, a guest to be apart from, a lower Xen, its reboot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from planner.explain_moment import Candidate, Moment
from planner.fleet import Evacuation, Fleet, Guest, Host
from planner.plan import Blocked, Plan, Step, StepKind


class NoSuchName(Exception):
    """The fleet has no host, or no guest, of this name."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a guest goes at some time (None: nowhere), and what was to be said of each host."""

    guest: str
    source: str
    destination: str | None
    at_s: float
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What happens to a host or a guest: in sentences, by decisions, and what would change it."""

    kind: str
    name: str
    told: tuple[str, ...]
    decisions: tuple[Decision, ...]
    remedies: tuple[str, ...]


def explain_guest(fleet: Fleet, plan: Plan, name: str) -> Explanation:
    """Each move of the guest with what spoke for and against each host; or why it stays.

    Raises NoSuchName.
    """
    guest = next((guest for guest in fleet.guests if guest.name == name), None)
    if guest is None:
        raise NoSuchName(f"no guest {name!r} in the fleet")
    moves = [step for step in plan.steps if step.kind is StepKind.MOVE and step.guest == name]
    if not moves:
        return _staying(fleet, plan, guest)
    decisions = tuple(_decision(fleet, plan, guest, step) for step in moves)
    told = [
        f"{name} moves from {step.source} to {step.destination} at {step.start_s:.0f} s, "
        f"for {step.end_s - step.start_s:.0f} s, in wave {step.wave}"
        for step in moves
    ]
    return Explanation("guest", name, (*told, *_whys(decisions)), decisions, ())


def _decision(fleet: Fleet, plan: Plan, guest: Guest, step: Step) -> Decision:
    moment = Moment(fleet, plan, step.start_s, before=step.id)
    source = step.source or guest.host
    candidates = moment.candidates(guest, source)
    return Decision(guest.name, source, step.destination, step.start_s, candidates)


def _whys(decisions: Sequence[Decision]) -> list[str]:
    """Per decision how many hosts would have done, and how many not for which reason."""
    return [
        f"at {decision.at_s:.0f} s {sum(c.fits for c in decision.candidates)} of "
        f"{len(decision.candidates)} hosts can take it"
        + _counted([c.obstacles[0] for c in decision.candidates if not c.fits])
        for decision in decisions
    ]


def _counted(obstacles: Sequence[str]) -> str:
    kinds: dict[str, int] = {}
    for obstacle in obstacles:
        kind = _kind(obstacle)
        kinds[kind] = kinds.get(kind, 0) + 1
    most = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    return ": " + ", ".join(f"{count} {kind}" for kind, count in most) if most else ""


def _kind(obstacle: str) -> str:
    """The obstacle without its amounts and names."""
    for word in ("short", "offer", "apart", "Xen", "reboot"):
        if word in obstacle:
            return {
                "short": "are short of room",
                "offer": "do not offer what it needs",
                "apart": "hold a guest that it has to be apart from",
                "Xen": "run a lower Xen",
                "reboot": "are barred by their reboot",
            }[word]
    return obstacle


def _staying(fleet: Fleet, plan: Plan, guest: Guest) -> Explanation:
    """Why a guest has no move."""
    host = next(host for host in fleet.hosts if host.name == guest.host)
    blocked = _blocked(plan, host.name)
    if guest.evacuation is Evacuation.HOLD:
        told = f"{guest.name} is to be left alone (evacuation: hold) on {host.name}"
    elif not host.reboot:
        told = f"{guest.name} stays: {host.name} needs no reboot"
    elif blocked is not None:
        told = f"{guest.name} stays: its host {host.name} is blocked"
    else:
        told = f"{guest.name} is shut down on {host.name} for its reboot and started there again"
    if blocked is None or guest.evacuation is not Evacuation.MOVE:
        return Explanation("guest", guest.name, (told, *_reasons(blocked)), (), ())
    decision = _stuck(fleet, plan, guest)
    remedies = tuple(_remedies(fleet, guest, decision))
    return Explanation(
        "guest", guest.name, (told, *_reasons(blocked), *_whys([decision])), (decision,), remedies
    )


def _blocked(plan: Plan, host: str) -> Blocked | None:
    return next((entry for entry in plan.blocked if entry.host == host), None)


def _reasons(blocked: Blocked | None) -> list[str]:
    if blocked is None:
        return []
    return [
        f"{reason.guest}: {reason.reason}" if reason.guest else reason.reason
        for reason in blocked.reasons
    ]


def _stuck(fleet: Fleet, plan: Plan, guest: Guest) -> Decision:
    """What each host is short of for the guest when the plan has ended."""
    end_s = max((step.end_s for step in plan.steps), default=0.0)
    moment = Moment(fleet, plan, end_s)
    at = moment.place[guest.name]
    return Decision(guest.name, at, None, end_s, moment.candidates(guest, at))


def _remedies(fleet: Fleet, guest: Guest, decision: Decision) -> list[str]:
    """What would let the guest leave its host, the least first."""
    if any(candidate.fits for candidate in decision.candidates):
        return []
    tight = [c for c in decision.candidates if c.only_room]
    tight.sort(key=lambda c: (_share(fleet, c), c.host))
    remedies = [f"free {candidate.short} on {candidate.host}" for candidate in tight[:1]]
    if not tight and decision.candidates:
        nearest = min(decision.candidates, key=lambda c: (len(c.obstacles), c.host))
        remedies.append(f"on {nearest.host}, change that {'; '.join(nearest.obstacles)}")
    return [*remedies, f"allow restart of {guest.name}"]


def _share(fleet: Fleet, candidate: Candidate) -> float:
    """How much the candidate is short of, by its size, in the scarcer resource."""
    host = next(host for host in fleet.hosts if host.name == candidate.host)
    vcpus = host.cpus * fleet.policy.vcpus_per_cpu
    return max(
        candidate.short_mib / max(1, host.memory_mib), candidate.short_vcpus / max(1.0, vcpus)
    )


def explain_host(fleet: Fleet, plan: Plan, name: str) -> Explanation:
    """When the host is emptied and rebooted; or why it cannot be, guest by guest.

    Raises NoSuchName.
    """
    host = next((host for host in fleet.hosts if host.name == name), None)
    if host is None:
        raise NoSuchName(f"no host {name!r} in the fleet")
    blocked = _blocked(plan, name)
    if blocked is not None:
        return _explain_blocked(fleet, plan, host, blocked)
    if not host.reboot:
        return Explanation("host", name, (f"{name} needs no reboot",), (), ())
    reboot = next(s for s in plan.steps if s.kind is StepKind.REBOOT and s.host == name)
    out = [s for s in plan.steps if s.source == name and s.start_s < reboot.start_s]
    told = [_drained(name, out)] if out else [f"{name} has no guest to move"]
    told.append(
        f"{name} reboots in wave {reboot.wave}, from {reboot.start_s:.0f} s to {reboot.end_s:.0f} s"
    )
    places: dict[str | None, int] = {}
    for step in out:
        places[step.destination] = places.get(step.destination, 0) + 1
    told += [
        f"{count} of its guests to {place}" for place, count in sorted(places.items(), key=str)
    ]
    return Explanation("host", name, tuple(told), (), ())


def _drained(name: str, out: Sequence[Step]) -> str:
    first_s, last_s = min(s.start_s for s in out), max(s.end_s for s in out)
    return f"{name} is emptied from {first_s:.0f} s to {last_s:.0f} s: {len(out)} moves"


def _explain_blocked(fleet: Fleet, plan: Plan, host: Host, blocked: Blocked) -> Explanation:
    end_s = max((step.end_s for step in plan.steps), default=0.0)
    moment = Moment(fleet, plan, end_s)
    there = [guest for guest in fleet.guests if moment.place[guest.name] == host.name]
    held = [guest for guest in there if guest.evacuation is Evacuation.HOLD]
    decisions = tuple(
        Decision(guest.name, host.name, None, end_s, moment.candidates(guest, host.name))
        for guest in there
        if guest.evacuation is Evacuation.MOVE and not held
    )
    remedies = [f"let {guest.name} be moved or restarted" for guest in held]
    by_name = {guest.name: guest for guest in there}
    for decision in decisions:
        remedies += _remedies(fleet, by_name[decision.guest], decision)
    if not remedies:
        remedies = _room_for_all([by_name[d.guest] for d in decisions], host)
    told = (f"{host.name} is blocked", *_reasons(blocked))
    return Explanation("host", host.name, told, decisions, tuple(remedies))


def _room_for_all(guests: Sequence[Guest], host: Host) -> list[str]:
    """Each guest fits alone: the room for all of them, and the guest that takes the most of it."""
    if not guests:
        return []
    need_mib, need_vcpus = sum(g.room_mib for g in guests), sum(g.vcpus for g in guests)
    largest = max(guests, key=lambda g: (g.room_mib, g.name))
    return [
        f"a host with {need_mib} MiB and {need_vcpus} vCPUs free in pool {host.pool}",
        f"allow restart of {largest.name} ({largest.room_mib} MiB, {largest.vcpus} vCPUs)",
    ]
