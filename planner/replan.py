"""A new plan half way through a rollout, as close to the announced one as the world allows.

The plan is one for the fleet as it is, by the same rules and for the same checker: hosts that are
done need no reboot any more, and what is under way stands in it as steps that need nothing and
start at once (with their whole durations: the estimate is on the safe side). The scheduler adopts
those instead of starting them again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from planner.arrays import Arrays, arrays_of
from planner.bounds import bounds_of
from planner.evacuate import plan_of, unlock
from planner.fleet import Fleet
from planner.grow import Grower, Recipe
from planner.options import PlanOptions
from planner.place import Parking, Placement
from planner.plan import Plan, StepKind
from planner.portfolio import Candidate
from planner.unlock_small import MOST_STATES, search, small_parts

_NOBODY = -1

_Destinations = dict[tuple[int, int], int]
"""Guest and the host that it leaves, to the host where it goes."""


@dataclass(frozen=True, slots=True)
class Flight:
    """A live migration that is under way; by the fleet, the guest is still on its source."""

    guest: str
    destination: str


@dataclass(frozen=True, slots=True)
class Now:
    """What goes on while the new plan is made: names of hosts, and the moves under way.

    `away`: hosts that are rebooting, in the order in which they began; their guests are gone but
    for those that are shut down. `lost`: hosts that must not be touched (they do not report, or
    somebody looks after them): nothing moves there or from there but what is under way, for which
    both ends keep its room until it has ended; and they count as blocked.
    """

    flights: Sequence[Flight] = ()
    away: Sequence[str] = ()
    lost: Collection[str] = ()


class NothingToReboot(ValueError):
    """Guests are on their way, and no host is left that can be rebooted: a plan has no wave."""


def replan(
    fleet: Fleet, fleet_sha256: str, announced: Plan, now: Now, options: PlanOptions
) -> Plan:
    """The plan for the rest of the rollout.

    `fleet` is as it was just seen: a host that is done has `reboot` false and its new Xen, a guest
    is where it runs. Its policy says what still applies: once the canary is back, `canary_hosts`
    is 0. Hosts keep their announced wave and order, guests their announced destination, wherever
    that is still valid; hosts and guests that are new come after them. No extra move is spent on
    speed. Raises ValueError where `now` names something that the fleet does not have, where a host
    that is away holds a guest to be moved; NothingToReboot where guests are on their way and
    nothing is to be rebooted: a plan has no wave for their moves then.
    """
    began_s = options.clock()
    arrays = arrays_of(fleet)
    lost = [_host(arrays, name) for name in now.lost]
    grower = _adopted(arrays, now, lost)
    _follow(grower, announced)
    grower.finish()
    stuck = _stuck(grower)
    if stuck and not lost:
        others = (_repeated(arrays, now, announced), _searched(arrays, now, announced, stuck))
        grower = min((grower, *others), key=lambda one: len(_stuck(one)))
    if now.flights and not grower.waves():
        raise NothingToReboot("guests are on their way, and no host is left that can be rebooted")
    known = dict.fromkeys(lost, "is not to be touched: it does not report, or is looked after")
    return plan_of(
        Candidate(grower), bounds_of(arrays), fleet_sha256, known, lambda: options.clock() - began_s
    )


def _adopted(arrays: Arrays, now: Now, lost: Sequence[int]) -> Grower:
    grower = Grower(arrays, Recipe(extra=0), unlock)
    _leave_alone(grower, lost)
    _adopt(grower, now)
    for host in lost:  # whatever is on its way from there or to there
        grower.state.leave_alone(host)
    return grower


def _stuck(grower: Grower) -> list[int]:
    return [host for hosts in grower.waiting for host in hosts]


def _repeated(arrays: Arrays, now: Now, announced: Plan) -> Grower:
    """What is left of the announced plan, step by step, as far as it is still sound; then the rest.

    Where all goes as announced, this frees every host that the announced plan frees.
    """
    grower = _adopted(arrays, now, ())
    numbers = {guest.name: n for n, guest in enumerate(arrays.guests)}
    waves = {wave.number: arrays.host_index.get(wave.hosts[0], _NOBODY) for wave in announced.waves}
    for step in announced.steps:
        guest = numbers.get(step.guest or "")
        destination = arrays.host_index.get(step.destination or "")
        if step.kind is StepKind.MOVE and guest is not None and destination is not None:
            _repeat_move(grower, guest, step.source, destination, waves.get(step.wave, _NOBODY))
        elif step.kind is StepKind.REBOOT and step.host in arrays.host_index:
            _repeat_reboot(grower, arrays.host_index[step.host])
    grower.finish()
    return grower


def _repeat_move(
    grower: Grower, guest: int, source: str | None, destination: int, serves: int
) -> None:
    state, arrays = grower.state, grower.arrays
    where = state.guest_at[guest]
    if arrays.hosts[where].name == source and state.may_take(guest)[destination]:
        state.move(guest, destination, where if arrays.reboot[where] else serves)


def _repeat_reboot(grower: Grower, host: int) -> None:
    state, policy = grower.state, grower.arrays.policy
    if not grower.arrays.reboot[host]:
        return
    if state.is_open[host]:
        grower.wave_hosts[-1].append(host)  # away: it has its place in the wave, and no step more
    elif not state.barred[host] and not state.movable(host):
        grower.commit(Placement(host, [], 0, grower.last_s))
    is_canary = len(grower.wave_hosts) == 1 and policy.canary_hosts > 0
    if is_canary and len(grower.wave_hosts[0]) == policy.canary_hosts:
        grower.close_wave(gate=policy.gates != "none")


def _searched(arrays: Arrays, now: Now, announced: Plan, stuck: Sequence[int]) -> Grower:
    """The same, with small closed parts that have a stuck host as a search of all orders has them.

    The search begins where everything that is under way has ended.
    """
    grower, ways = _adopted(arrays, now, ()), []
    for part in small_parts(arrays, stuck):
        ways.append(search(grower.state, part.hosts.tolist(), (), MOST_STATES))
    aside = [(pool, h) for way in ways for h in way.hosts for pool in [arrays.host_pool[h]]]
    aside = [(pool, host) for pool, host in aside if host in grower.waiting[pool]]
    for pool, host in aside:
        del grower.waiting[pool][host], grower.longest[pool][host]
    _follow(grower, announced, {host for _, host in aside})
    grower.finish()
    for pool, host in aside:
        grower.waiting[pool][host] = grower.longest[pool][host] = None
    grower.follow([action for way in ways for action in way.actions])
    return grower


def _host(arrays: Arrays, name: str) -> int:
    number = arrays.host_index.get(name)
    if number is None:
        raise ValueError(f'no host "{name}" in the fleet')
    return number


def _leave_alone(grower: Grower, lost: Sequence[int]) -> None:
    for host in lost:
        grower.state.leave_alone(host)
        for hosts in (grower.waiting, grower.longest):
            hosts[grower.arrays.host_pool[host]].pop(host, None)


def _adopt(grower: Grower, now: Now) -> None:
    """Put what is under way at the beginning of the sequence."""
    arrays, state = grower.arrays, grower.state
    numbers = {guest.name: n for n, guest in enumerate(arrays.guests)}
    for flight in now.flights:
        if flight.guest not in numbers:
            raise ValueError(f'no guest "{flight.guest}" in the fleet')
        guest, destination = numbers[flight.guest], _host(arrays, flight.destination)
        # Serves no host of a wave: the first wave's steps wait for no gate.
        state.move(guest, destination, _NOBODY)
        grower.inbound.book(destination, arrays.guest_move_s[guest])
    for name in now.away:
        host = _host(arrays, name)
        if state.movable(host):
            raise ValueError(f'host "{name}" is away, and holds guests to be moved')
        grower.commit(Placement(host, [], 0, 0.0))
    # They go back to their announced waves when it is these waves' turn.
    grower.wave_hosts, grower.gates = [[]], []


def _follow(grower: Grower, announced: Plan, but: Collection[int] = ()) -> None:
    """Empty the hosts, but for some, in the announced order and waves, as far as they can be."""
    wanted = _destinations(grower.arrays, announced)
    waves = [[host for host in wave if host not in but] for wave in _waves(grower, announced)]
    if grower.arrays.policy.canary_hosts:
        for host in waves.pop(0) if waves else ():
            _empty(grower, host, wanted)
        grower.start(())
    for hosts in waves:
        for host in hosts:
            _empty(grower, host, wanted)
        if grower.wave_hosts[-1]:
            grower.close_wave(gate=grower.arrays.policy.gates == "every")


def _empty(grower: Grower, host: int, announced: _Destinations) -> None:
    state = grower.state
    # Away since before this plan; a canary that had to be replaced is in its wave already.
    if state.is_open[host] and not any(host in hosts for hosts in grower.wave_hosts):
        grower.wave_hosts[-1].append(host)
    if state.is_open[host] or state.barred[host]:
        return
    wanted = {g: announced[g, host] for g in state.movable(host) if (g, host) in announced}
    parks = state.is_open & False
    parks[[to for to in wanted.values() if not state.is_open[to] and not state.barred[to]]] = True
    placement = grower.placer.place(host, grower.base_s, Parking(parks), wanted=wanted)
    if placement is not None:
        grower.commit(placement)


def _waves(grower: Grower, announced: Plan) -> Iterator[list[int]]:
    """The hosts of each announced wave that are not back yet, in the order of their reboots.

    Hosts that are away though nothing was announced come first.
    """
    arrays = grower.arrays
    starts_s = {step.host: step.start_s for step in announced.steps if step.host}
    named = {name for wave in announced.waves for name in wave.hosts}
    strays = [
        number
        for number, host in enumerate(arrays.hosts)
        if host.reboot and grower.state.is_open[number] and host.name not in named
    ]
    if strays:
        yield strays
    for wave in announced.waves:
        names = [name for name in wave.hosts if name in arrays.host_index]
        names.sort(key=lambda name: starts_s.get(name, 0.0))
        yield [arrays.host_index[name] for name in names if arrays.reboot[arrays.host_index[name]]]


def _destinations(arrays: Arrays, announced: Plan) -> _Destinations:
    """Where each guest was to go from each host."""
    numbers = {guest.name: n for n, guest in enumerate(arrays.guests)}
    wanted: _Destinations = {}
    for step in announced.steps:
        guest = numbers.get(step.guest or "")
        source = arrays.host_index.get(step.source or "")
        destination = arrays.host_index.get(step.destination or "")
        if guest is not None and source is not None and destination is not None:
            wanted[guest, source] = destination
    return wanted
