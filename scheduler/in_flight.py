"""What stays as it is while the rest of a rollout is planned anew. Pure.

A migration or a reboot that is under way is never taken back: the new plan is made around it. It
keeps its record, its id, its attempt and its order, so it is settled by the same rules as before;
steps of the new plan that have to wait for it name it in their needs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as Collection
from dataclasses import dataclass
from typing import Any, Protocol

from agents.wire import Kind
from planner.plan import Plan, StepKind
from scheduler.book import Book
from scheduler.draft import Draft
from scheduler.fleet_view import FleetDoubt
from scheduler.rollout import Step, StepState


class Kept(Protocol):
    """A plan that was made around steps under way (`scheduler.planned.Planned`)."""

    @property
    def plan(self) -> Plan:
        """The plan."""

    @property
    def kept(self) -> Mapping[str, str]:
        """Id in the plan -> id of the step under way."""


@dataclass(frozen=True)
class InFlight:
    """Steps that a new plan keeps, and hosts that it does without."""

    moves: tuple[Step, ...] = ()
    reboots: tuple[Step, ...] = ()  # in the order in which they were ordered
    lost: frozenset[str] = frozenset()
    frozen: tuple[str, ...] = ()  # both ends of moves with a host that was set aside

    def __bool__(self) -> bool:
        """Whether anything is under way."""
        return bool(self.moves or self.reboots)

    @property
    def away(self) -> tuple[str, ...]:
        """The hosts that reboot, in the order in which they began."""
        return tuple(step.host for step in self.reboots)


def in_flight(book: Book) -> InFlight:
    """What is under way, for a plan of the rest."""
    running = sorted(book.running(), key=lambda s: (s.ordered_at is None, s.ordered_at, s.id))
    moves = tuple(step for step in running if step.kind is Kind.MOVE)
    return InFlight(
        moves=moves,
        frozen=tuple(sorted({name for step in frozen_moves(book) for name in step.hosts})),
        reboots=tuple(step for step in running if step.kind is Kind.REBOOT),
        lost=frozenset(host.name for host in book.hosts.values() if host.lost),
    )


def frozen_moves(book: Book) -> list[Step]:
    """Moves of which nobody can tell how they go, as a host that was set aside is at an end.

    Room and places at both ends count as taken, so the other end is left as it is, too.
    """
    aside = _aside(book)
    moves = (step for step in book.running() if step.kind is Kind.MOVE)
    return [step for step in moves if not aside.isdisjoint(step.hosts)]


def only_frozen(book: Book) -> bool:
    """Whether all that is under way hangs on hosts that were set aside."""
    frozen = {step.id for step in frozen_moves(book)}
    aside = _aside(book)
    return bool(frozen) and all(s.id in frozen or _unplanned(s, aside) for s in book.running())


def left_alone(book: Book) -> set[str]:
    """Hosts that no new plan touches until the silent one is heard again."""
    return _aside(book).union(*(step.hosts for step in frozen_moves(book)))


def must_end_first(book: Book) -> list[str]:
    """What is under way, in words, that no plan is made around.

    A guest that is shut down comes back first; what is in doubt, or being cleaned up after, is
    clear first. Everything else that is short (stops, starts, live patches) is waited for, and
    moves of hosts that were left out, which no plan has.
    """
    down = [f"{g.name} is shut down on {g.host}" for _, g in sorted(book.guests.items()) if g.down]
    aside = _aside(book)
    left = [s for s in book.running() if not _keepable(s, aside) or _leaves_plan(book, s, aside)]
    return down + [f"{step.kind} of {step.guest or step.host} is {step.state}" for step in left]


def _aside(book: Book) -> set[str]:
    return {host.name for host in book.hosts.values() if host.aside}


def _keepable(step: Step, aside: Collection[str]) -> bool:
    if _unplanned(step, aside):
        return True
    if step.kind not in (Kind.MOVE, Kind.REBOOT):
        return False
    unclear = step.held_since is not None and aside.isdisjoint(step.hosts)
    settling = step.state is StepState.SETTLING and not unclear
    return settling or step.state in (StepState.ORDERED, StepState.RUNNING)


def _leaves_plan(book: Book, step: Step, aside: Collection[str]) -> bool:
    """Whether it is a move with a host that was left out; one that is silent is planned around."""
    ends = (book.hosts[name] for name in step.hosts if name in book.hosts)
    left_out = step.kind is Kind.MOVE and any(host.left_out for host in ends)
    return left_out and aside.isdisjoint(step.hosts)


def _unplanned(step: Step, aside: Collection[str]) -> bool:
    """Whether it goes on beside any plan: no plan has such steps, and none waits for it."""
    if step.kind is Kind.RETUNE:  # of a move that is over
        return True
    return step.kind is Kind.LIVEPATCH and step.host in aside


def hosts_to_see(book: Book, flight: InFlight) -> tuple[str, ...]:
    """The hosts that a plan of the rest needs fresh looks of; it does without those left out."""
    gone = flight.lost.union(flight.away) | _aside(book)
    left_out = {host.name for host in book.hosts.values() if host.left_out}
    return tuple(name for name in sorted(book.hosts) if name not in gone | left_out)


def document_around(document: bytes, flight: InFlight, before: Mapping[str, Any]) -> bytes:
    """A fleet's document with what is under way as the planner wants to see it.

    A guest on its way is on its source alone, whichever of its two halves were seen; a host that
    is away is there, empty and still to be rebooted. What cannot be seen of them now is taken from
    `before`, the document of the last plan. Raises FleetDoubt where that has nothing of them.
    """
    fleet = json.loads(document)
    known_hosts = {row["name"]: row for row in before.get("hosts", ())}
    known_guests = {row["name"]: row for row in before.get("guests", ())}
    away = {host: {"reboot": True} for host in flight.away}
    away |= {host: {"reboot": False} for host in flight.frozen}  # not by this plan
    known_hosts |= {row["name"]: row for row in fleet["hosts"]}
    fleet["hosts"] = [row for row in fleet["hosts"] if row["name"] not in away]
    missing = [host for host in away if host not in known_hosts]
    if missing:
        raise FleetDoubt([f"{host} is away, and nothing is known of it" for host in missing])
    rows = (known_hosts[host] | known for host, known in away.items())
    fleet["hosts"] += [_avoiding_others(row, fleet["guests"]) for row in rows]
    halves = {name for step in flight.moves for name in _half_names(step)}
    flying = {step.guest for step in flight.moves}
    seen = {row["name"]: row for row in fleet["guests"] if row["name"] in flying}
    fleet["guests"] = [row for row in fleet["guests"] if row["name"] not in flying | halves]
    for step in flight.moves:
        row = seen.get(step.guest) or known_guests.get(step.guest)
        if row is None:
            raise FleetDoubt([f"{step.guest} is on its way, and nothing is known of it"])
        fleet["guests"].append(row | {"host": step.host, "evacuation": "move"})
    return json.dumps(fleet).encode()


def _avoiding_others(row: Mapping[str, Any], guests: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The row of a host that is away, with the tags `not:NAME` that guests have got since then."""
    needs = {need for guest in guests for need in guest.get("needs", ())}
    tags = {need for need in needs if need.startswith("not:")} - {f"not:{row['name']}"}
    return {**row, "offers": sorted({*row.get("offers", ()), *tags})} if tags else dict(row)


def _half_names(step: Step) -> list[str]:
    """What `scheduler.fleet_view` calls the halves that a migration shows on its way."""
    return [
        f"{step.guest} ({kind} on {host})"
        for kind in ("incoming", "migratedaway", "suspended")
        for host in step.hosts
    ]


def kept_steps(plan: Plan, flight: InFlight) -> dict[str, str]:
    """Id in the plan -> id of the step under way that it stands for.

    Raises FleetDoubt where the plan has no such step: then it was made of something else.
    """
    found: dict[str, str] = {}
    moves = {(step.guest, step.host, step.destination): step.id for step in flight.moves}
    reboots = {step.host: step.id for step in flight.reboots}
    for step in plan.steps:
        if step.kind is StepKind.MOVE:
            name = moves.pop((step.guest, step.source or "", step.destination), None)
        else:
            name = reboots.pop(step.host or "", None) if step.kind is StepKind.REBOOT else None
        if name is not None:
            found[step.id] = name
    left = [*moves.values(), *reboots.values()]
    if left:
        raise FleetDoubt([f"step {name} is under way, and the new plan lacks it" for name in left])
    return found


def still_under_way(draft: Draft, planned: Kept) -> bool:
    """Whether what a plan was made around is just what is under way now."""
    aside = _aside(draft.book)
    known = {step.id for step in draft.book.running() if not _unplanned(step, aside)}
    return set(planned.kept.values()) == known


def keep(draft: Draft, planned: Kept, generation: int, waves_before: int = 0) -> None:
    """Give the steps under way their place in the new plan; what they do stays as it is."""
    for step in planned.plan.steps:
        if step.id in planned.kept:
            draft.put_step(
                draft.step(planned.kept[step.id]),
                generation=generation,
                wave=step.wave + waves_before,
                planned_start_s=step.start_s,
                planned_end_s=step.end_s,
            )
