"""The late wave: hosts that carry guests of a quarantined class, behind all others. Pure.

Nobody moves such a guest, so no plan empties its host. The host is not given up, though: it stands
in the last wave of the plan, which waits for a person. Whoever releases the class, or takes the
guests away by other means, has the rest planned anew, and these hosts come after all that are left.
Until then the rollout is not complete, and says who is concerned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from planner.plan import Plan
from scheduler.book import Book
from scheduler.draft import Draft
from scheduler.rollout import GuestRecord, Hold, HostState
from scheduler.waves import WaveRecord, WaveState

BY = "quarantine"
"""Who holds a rollout of which only the late wave is left."""

LISTED = 5
"""Names in a line before it ends in "and N more"."""


def put_off(plan: Plan, guests: Mapping[str, GuestRecord]) -> dict[str, str]:
    """Why each host of a plan waits in the late wave: it is blocked by guests at rest."""
    found = {
        blocked.host: [guests.get(reason.guest or "") for reason in blocked.reasons]
        for blocked in plan.blocked
    }
    reasons = ((host, _why(seen)) for host, seen in sorted(found.items()))
    return {host: why for host, why in reasons if why}


def _why(guests: Iterable[GuestRecord | None]) -> str:
    at_rest = (one for one in guests if one is not None and one.quarantine)
    return "; ".join(f"{one.name}: class {one.quarantine} is quarantined" for one in at_rest)


def late_record(number: int, generation: int, hosts: Iterable[str]) -> WaveRecord:
    """The late wave of a plan; it is never opened, as its hosts are planned anew instead."""
    return WaveRecord(number=number, generation=generation, hosts=tuple(sorted(hosts)), late=True)


def late_hosts(book: Book) -> frozenset[str]:
    """The hosts that wait in a late wave."""
    waves = {number for number, wave in book.waves.items() if _waits(wave)}
    hosts = book.hosts.values()
    return frozenset(
        one.name for one in hosts if one.wave in waves and one.state is HostState.WAITING
    )


def never_safe(book: Book) -> tuple[str, ...]:
    """Hosts that no step of the plan makes safe: blocked, or waiting in the late wave; by name."""
    blocked = {host.name for host in book.hosts.values() if host.state is HostState.BLOCKED}
    return tuple(sorted(blocked | late_hosts(book)))


def is_late(draft: Draft, name: str) -> bool:
    """Whether this host waits in a late wave, and was not left out."""
    host = draft.host(name)
    wave = draft.wave(host.wave) if host.wave is not None else None
    if wave is None or host.left_out is not None:
        return False
    return _waits(wave) and host.state is HostState.WAITING


def _waits(wave: WaveRecord) -> bool:
    return wave.late and wave.state is WaveState.WAITING


def resting(draft: Draft, hosts: Iterable[str]) -> list[GuestRecord]:
    """The guests of quarantined classes on these hosts, as last seen, by name."""
    known, wanted = draft.book.guests | draft.guests, set(hosts)
    return [one for _, one in sorted(known.items()) if one.quarantine and one.host in wanted]


def late_holds(draft: Draft, wave: WaveRecord) -> list[Hold]:
    """What holds a late wave: each class, since when, why, whose guests, and what would help."""
    waiting = [name for name in wave.hosts if is_late(draft, name)]
    by_class: dict[str, list[GuestRecord]] = {}
    for guest in resting(draft, waiting):
        by_class.setdefault(guest.quarantine, []).append(guest)
    found = [_hold(draft, name, guests) for name, guests in sorted(by_class.items())]
    # Between a release and the plan that takes it up nothing opens: there are no steps yet.
    return found or list(wave.holds) or [Hold(reason="planned anew", since=draft.now, by=BY)]


def _hold(draft: Draft, name: str, guests: list[GuestRecord]) -> Hold:
    known = draft.rollout.quarantines.get(name)
    why = f" by {known.by} ({known.reason})" if known else ""
    text = (
        f"class {name} is quarantined{why}: {whom(guests)}; to go on: "
        f"xenroll class release '{name}', or take these guests off their hosts"
    )
    return Hold(reason=text, since=known.since if known else draft.now, by=f"{BY} of {name}")


def whom(guests: list[GuestRecord]) -> str:
    """`db-1 on h3, db-2 on h4 and 3 more; owners: shop team, somebody unknown`."""
    places = [f"{one.name} on {one.host}" for one in guests]
    owners = sorted({one.owner or "somebody unknown" for one in guests})
    return f"{listed(places)}; {'owners' if len(owners) > 1 else 'owner'}: {listed(owners)}"


def listed(names: list[str]) -> str:
    """The first few, and how many more there are."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def only_late_left(draft: Draft) -> bool:
    """Whether a rollout without a step left waits for its late wave; it says so, once."""
    waiting = sorted(name for name in draft.book.hosts if is_late(draft, name))
    if not waiting:
        return False
    numbers = sorted({str(draft.host(name).wave) for name in waiting})
    text = (
        f"only wave {', '.join(numbers)} is left, {len(waiting)} hosts that stay exposed "
        f"({listed(waiting)}): {whom(resting(draft, waiting))}"
    )
    hold = draft.held(text, BY)
    if hold != draft.rollout.hold:
        draft.put_rollout(hold=hold)
        draft.say("waits", text)
    return True


def how_it_ended(draft: Draft) -> str:
    """What the end of a rollout comes to: also which hosts it leaves as they are, and whose."""
    left = sorted(h for h in draft.book.hosts if draft.host(h).state in LEFT)
    text = "every host is on a fixed build, or blocked with a reason"
    if not left:
        return text
    guests = resting(draft, left)
    concerned = f"; of quarantined classes: {whom(guests)}" if guests else ""
    return f"{text}; {len(left)} hosts are left as they were: {listed(left)}{concerned}"


LEFT = frozenset({HostState.BLOCKED, HostState.OPENED})
