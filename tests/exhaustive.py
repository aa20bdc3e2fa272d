"""The true minimum of migrations and of the makespan of a tiny fleet, by looking at every plan.

Shares nothing with the planner but the fleet's nouns, and reads the rules in the way that allows
most: moves may belong to any wave. Whatever a bound says has to be at most what is found here.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import count

from planner.fleet import Fleet, Gates
from tests.tiny_rules import Place, Rules


class TooMany(Exception):
    """More states than asked for."""


def fewest_moves(fleet: Fleet, blocked: Collection[str] = ()) -> int | None:
    """Migrations of the plan that has the fewest; None where no plan reboots all these hosts."""
    rules = Rules(fleet, blocked)
    todo = frozenset(n for n, goal in enumerate(rules.goal) if goal)
    first = (rules.start, frozenset[int]())
    seen = {first: 0}
    queue = deque([(0, *first)])
    while queue:
        moves, place, rebooted = queue.popleft()
        if seen[place, rebooted] < moves:
            continue
        if rebooted == todo:
            return moves
        emptied = _emptied(rules, place, todo - rebooted)
        if emptied:
            # An empty host that reboots at once can only do good: it never takes longer in moves.
            _visit(seen, queue, moves, place, rebooted | emptied, now=True)
            continue
        for after in _moved(rules, place, rebooted):
            _visit(seen, queue, moves + 1, after, rebooted, now=False)
    return None


Seen = dict[tuple[Place, frozenset[int]], int]
Queue = deque[tuple[int, Place, frozenset[int]]]


def _visit(
    seen: Seen, queue: Queue, moves: int, place: Place, rebooted: frozenset[int], now: bool
) -> None:
    if seen.get((place, rebooted), moves + 1) <= moves:
        return
    seen[place, rebooted] = moves
    (queue.appendleft if now else queue.append)((moves, place, rebooted))


def _emptied(rules: Rules, place: Place, todo: frozenset[int]) -> frozenset[int]:
    full = {host for guest, host in enumerate(place) if rules.moves[guest]}
    return todo - full


def _moved(rules: Rules, place: Place, rebooted: frozenset[int]) -> Iterator[Place]:
    for guest, source in enumerate(place):
        if not rules.moves[guest]:
            continue
        for target in range(len(rules.hosts)):
            if not rules.suits(guest, source, target, rebooted):
                continue
            there = [g for g, host in enumerate(place) if host == target]
            if rules.fits(guest, target, there):
                yield (*place[:guest], target, *place[guest + 1 :])


@dataclass(frozen=True)
class Moment:
    """What is so at one time: guests at rest or on their way, hosts by how far they are.

    `going` and `away` hold (guest or host, target, seconds left). `stopped`: the host's guests to
    restart are shut down. `wave` counts the hosts of the current wave, `gated` whether it ends
    with a gate. `tail_s`: starts of guests that are still under way. `last`: the number of the
    last thing that was started at this time, so that every set is started in one order only.
    """

    place: Place
    going: tuple[tuple[int, int, float], ...] = ()
    stopping: tuple[tuple[int, float], ...] = ()
    away: tuple[tuple[int, float], ...] = ()
    stopped: frozenset[int] = frozenset()
    rebooted: frozenset[int] = frozenset()
    wave: int = 0
    first_wave: bool = True
    tail_s: float = 0.0
    last: int = -1
    moves_left: int | None = None


def shortest_makespan_s(
    fleet: Fleet,
    blocked: Collection[str] = (),
    most_states: int = 200_000,
    most_moves: int | None = None,
) -> float | None:
    """Seconds that the shortest plan takes; None where no plan reboots all these hosts.

    `most_moves`: of the plans that have at most so many migrations (None: of all).

    Steps start at 0 or when another ends: in any plan each can be put forward to such a time.
    Raises TooMany when more than `most_states` moments would have to be looked at.
    """
    rules = Rules(fleet, blocked)
    todo = frozenset(n for n, goal in enumerate(rules.goal) if goal)
    order = count()
    queue = [(0.0, next(order), Moment(rules.start, moves_left=most_moves))]
    seen: set[Moment] = set()
    while queue:
        now, _, moment = heapq.heappop(queue)
        if moment in seen:
            continue
        seen.add(moment)
        if len(seen) > most_states:
            raise TooMany
        if moment.rebooted == todo and not moment.tail_s and not moment.away:
            return now
        for later_s, after in _next(rules, moment, todo):
            heapq.heappush(queue, (now + later_s, next(order), after))
    return None


def _next(rules: Rules, moment: Moment, todo: frozenset[int]) -> Iterator[tuple[float, Moment]]:
    for after in (
        *_start_moves(rules, moment),
        *_start_stops(rules, moment, todo),
        *_start_reboots(rules, moment, todo),
    ):
        yield 0.0, after
    if _may_close_wave(rules, moment):
        yield 0.0, replace(moment, wave=0, first_wave=False, last=-1)
    yield from _wait(rules, moment)


def _start_moves(rules: Rules, moment: Moment) -> Iterator[Moment]:
    if moment.moves_left == 0:
        return
    left = None if moment.moves_left is None else moment.moves_left - 1
    on_the_way = {guest for guest, _, _ in moment.going}
    shut = moment.stopped | {h for h, _ in moment.stopping} | {h for h, _ in moment.away}
    for guest, source in enumerate(moment.place):
        if guest in on_the_way or not rules.moves[guest]:
            continue
        out = sum(moment.place[g] == source for g in on_the_way)
        if out >= rules.policy.max_moves_out_per_host:
            continue
        for target in range(len(rules.hosts)):
            number = guest * len(rules.hosts) + target
            if number <= moment.last or target in shut:
                continue
            if _may_come(rules, moment, guest, source, target):
                step = (guest, target, rules.seconds[guest])
                going = tuple(sorted([*moment.going, step]))
                yield replace(moment, going=going, last=number, moves_left=left)


def _may_come(rules: Rules, moment: Moment, guest: int, source: int, target: int) -> bool:
    coming = [g for g, to, _ in moment.going if to == target]
    if len(coming) >= rules.policy.max_moves_in_per_host:
        return False
    if not rules.suits(guest, source, target, moment.rebooted):
        return False
    there = [g for g, host in enumerate(moment.place) if host == target]
    return rules.fits(guest, target, [*there, *coming])


def _is_empty(rules: Rules, moment: Moment, host: int) -> bool:
    at_rest = any(h == host and rules.moves[g] for g, h in enumerate(moment.place))
    return not at_rest and not any(target == host for _, target, _ in moment.going)


def _start_stops(rules: Rules, moment: Moment, todo: frozenset[int]) -> Iterator[Moment]:
    busy = moment.stopped | moment.rebooted | {h for h, _ in moment.stopping}
    busy |= {h for h, _ in moment.away}
    for host in todo - busy:
        number = 1000 + host
        if rules.restarts[host] and number > moment.last and _is_empty(rules, moment, host):
            stops = tuple(sorted([*moment.stopping, (host, rules.policy.stop_s)]))
            yield replace(moment, stopping=stops, last=number)


def _start_reboots(rules: Rules, moment: Moment, todo: frozenset[int]) -> Iterator[Moment]:
    if len(moment.away) >= rules.fleet.max_hosts_away or _wave_is_full(rules, moment):
        return
    for host in todo - moment.rebooted - {h for h, _ in moment.away}:
        number = 2000 + host
        ready = host in moment.stopped if rules.restarts[host] else True
        if number <= moment.last or not ready or not _is_empty(rules, moment, host):
            continue
        if _group_is_full(rules, moment, host):
            continue
        away = tuple(sorted([*moment.away, (host, rules.policy.reboot_s)]))
        yield replace(moment, away=away, wave=moment.wave + 1, last=number)


def _group_is_full(rules: Rules, moment: Moment, host: int) -> bool:
    limit, group = rules.policy.max_hosts_away_per_group, rules.hosts[host].group
    if limit is None or group is None:
        return False
    return sum(rules.hosts[h].group == group for h, _ in moment.away) >= limit


def _is_gated(rules: Rules, moment: Moment) -> bool:
    policy = rules.policy
    if policy.gates is Gates.EVERY:
        return True
    return policy.gates is Gates.CANARY and moment.first_wave and policy.canary_hosts > 0


def _wave_is_full(rules: Rules, moment: Moment) -> bool:
    if not _is_gated(rules, moment):
        return False
    is_canary = moment.first_wave and rules.policy.canary_hosts > 0
    return moment.wave >= (rules.policy.canary_hosts if is_canary else rules.policy.wave_hosts)


def _may_close_wave(rules: Rules, moment: Moment) -> bool:
    return _is_gated(rules, moment) and moment.wave > 0 and not moment.away


def _wait(rules: Rules, moment: Moment) -> Iterator[tuple[float, Moment]]:
    """On to the next time at which something ends."""
    left = [s for *_, s in moment.going] + [s for *_, s in moment.stopping]
    left += [s for *_, s in moment.away] + ([moment.tail_s] if moment.tail_s else [])
    if not left:
        return
    step_s = min(left)
    place = list(moment.place)
    for guest, target, seconds in moment.going:
        if seconds <= step_s:
            place[guest] = target
    back = {host for host, seconds in moment.away if seconds <= step_s}
    starting = rules.policy.start_s if any(rules.restarts[h] for h in back) else 0.0
    yield (
        step_s,
        Moment(
            place=tuple(place),
            going=tuple((g, to, s - step_s) for g, to, s in moment.going if s > step_s),
            stopping=tuple((h, s - step_s) for h, s in moment.stopping if s > step_s),
            away=tuple((h, s - step_s) for h, s in moment.away if s > step_s),
            stopped=(moment.stopped | {h for h, s in moment.stopping if s <= step_s}) - back,
            rebooted=moment.rebooted | back,
            wave=moment.wave,
            first_wave=moment.first_wave,
            tail_s=max(starting, moment.tail_s - step_s),
            moves_left=moment.moves_left,
        ),
    )
