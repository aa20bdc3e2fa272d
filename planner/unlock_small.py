"""Looks at every order of moves and reboots in a small closed part of the fleet.

Growing decides host after host and takes no reboot back. What it does first can be what blocks
another host for good, above all where a guest reaches a newer Xen and can never leave it. In a
part of a few hosts all that can happen can be looked at: placements of the movable guests, and
which hosts are done. A* finds the sequence with the fewest moves that reboots every host wanted;
where there is none, all reachable placements were seen, which proves it, and the best of them
(fewest hosts left, then fewest moves) is what can be done.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import pairwise

from planner.arrays import MOVE, Arrays
from planner.bounds_view import View, numbers_of
from planner.state import Action, Move, Reboot, State
from planner.unlock_proof import Proofs

MOST_HOSTS, MOST_GUESTS = 6, 12
"""Parts that are larger are left alone."""

MOST_STATES = 40_000
"""Placements that are looked at for all parts of a fleet together, a second or two of one core."""

_Node = tuple[tuple[int, ...], int]
"""The place of each guest, and the hosts that are done as bits; both by numbers in the part."""


@dataclass(frozen=True, slots=True)
class Way:
    """What the search of a part came to.

    `actions` are sound one after another from the state that was given, and end with a reboot
    (none: no host can be rebooted, or the search ended too early to tell). `states` were looked
    at; `never` are the wanted hosts that no sequence empties (proven, so only where all was seen).
    """

    hosts: tuple[int, ...]
    actions: tuple[Action, ...]
    states: int
    never: frozenset[int]

    def left(self, arrays: Arrays) -> set[int]:
        """The hosts to reboot that it does not, without those that hold guests to be left alone."""
        done = {action.host for action in self.actions if isinstance(action, Reboot)}
        return {h for h in self.hosts if arrays.reboot[h] and not arrays.held[h]} - done


def ways_out(arrays: Arrays, stuck: Collection[int], most: int = MOST_STATES) -> list[Way]:
    """Ways for small closed parts of the fleet that leave fewer hosts than those of `stuck`."""
    return [
        way
        for way in searched(arrays, stuck, most)
        if len(way.left(arrays)) < len(set(stuck).intersection(way.hosts))
    ]


def impossible(arrays: Arrays, stuck: Collection[int], most: int = MOST_STATES) -> set[int]:
    """Hosts that no plan empties, of the small closed parts with a host of `stuck`.

    Proven by looking at all that can be reached in the part.
    """
    return {host for way in searched(arrays, stuck, most) for host in way.never}


def searched(arrays: Arrays, stuck: Collection[int], most: int) -> list[Way]:
    """The way of each small closed part with a host of `stuck` that no quick proof is known for.

    `most` states are looked at in all; parts that none are left for are left out.
    """
    proofs = Proofs(arrays)
    found = []
    for part in small_parts(arrays, stuck):
        hosts = part.hosts.tolist()
        hopeless = {host for host in hosts if host in stuck and proofs.never(host)}
        if most > 0 and not hopeless.issuperset(set(stuck).intersection(hosts)):
            found.append(search(State(arrays), hosts, hopeless, most))
            most -= found[-1].states
    return found


def small_parts(arrays: Arrays, stuck: Collection[int]) -> list[View]:
    """The closed parts with one of these hosts that are small enough to be searched."""
    return [
        part
        for part in numbers_of(arrays).components
        if len(part.hosts) <= MOST_HOSTS
        and len(part.guests) <= MOST_GUESTS
        and not set(stuck).isdisjoint(part.hosts.tolist())
    ]


def search(
    state: State, hosts: Sequence[int], hopeless: Collection[int] = (), most: int = MOST_STATES
) -> Way:
    """The way that leaves the fewest of the hosts, a closed part, to reboot; `state` is kept."""
    part = _part(state, hosts, hopeless)
    tree = _Tree(part)
    is_over = tree.grow(most)
    seen = 0
    for _, done in tree.before:
        seen |= done
    never = [h for n, h in enumerate(hosts) if is_over and part.wanted & ~seen & 1 << n]
    return Way(tuple(hosts), tree.actions(), len(tree.before), frozenset(never))


@dataclass(frozen=True)
class _Part:
    """A closed part of the fleet in small numbers; `room` is what movable guests may take."""

    state: State
    hosts: Sequence[int]
    guests: Sequence[int]
    room: Sequence[tuple[int, int]]
    sizes: Sequence[tuple[int, int]]
    names: Sequence[frozenset[int]]
    taken: Sequence[frozenset[int]]
    suits: Sequence[Sequence[int]]
    wanted: int

    def level(self, host: int, done: int) -> int:
        """The rank of the host's Xen version."""
        number = self.hosts[host]
        after = self.state.arrays.level_after
        return after[number] if done & 1 << host else int(self.state.level[number])

    def is_open(self, host: int, done: int) -> bool:
        """The host needs no reboot, or no more."""
        return bool(done & 1 << host or self.state.is_open[self.hosts[host]])

    def may_go(self, source: int, host: int, done: int) -> bool:
        """The way is allowed by Xen versions, and by what is rebooted."""
        if source == host or self.level(host, done) < self.level(source, done):
            return False
        is_back = self.is_open(source, done) and self.state.arrays.reboot[self.hosts[source]]
        return self.is_open(host, done) or not is_back


def _part(state: State, hosts: Sequence[int], hopeless: Collection[int]) -> _Part:
    arrays = state.arrays
    guests = [guest for host in hosts for guest in state.movable(host)]
    room, taken = [], []
    for host in hosts:
        own = state.movable(host)
        mib = int(state.free_mib[host]) + sum(arrays.guest_mib[g] for g in own)
        vcpus = int(state.free_vcpus[host]) + sum(arrays.guest_vcpus[g] for g in own)
        room.append((mib, vcpus))
        stay = [g for g in state.guests_on[host] if arrays.guest_kind[g] != MOVE]
        taken.append(frozenset(name for g in stay for name in arrays.guest_apart[g]))
    wanted = sum(
        1 << n
        for n, host in enumerate(hosts)
        if not (state.is_open[host] or state.barred[host] or host in hopeless)
    )
    return _Part(
        state,
        hosts,
        guests,
        room,
        [(arrays.guest_mib[g], arrays.guest_vcpus[g]) for g in guests],
        [frozenset(arrays.guest_apart[g]) for g in guests],
        taken,
        [
            [n for n, h in enumerate(hosts) if arrays.reaches[arrays.guest_reach[g]][h]]
            for g in guests
        ],
        wanted,
    )


def _next(part: _Part, place: tuple[int, ...], done: int) -> Iterator[_Node]:
    """All that one reboot or one move leads to.

    An empty host need not reboot at once: until then guests can still pass over it to hosts that
    are not done.
    """
    for host in range(len(part.hosts)):
        if part.wanted & ~done & 1 << host and host not in place:
            yield place, done | 1 << host
    free = [list(room) for room in part.room]
    names = [set(taken) for taken in part.taken]
    for guest, at in enumerate(place):
        free[at][0] -= part.sizes[guest][0]
        free[at][1] -= part.sizes[guest][1]
        names[at] |= part.names[guest]
    pairs = range(len(part.hosts))
    goes = [[part.may_go(source, host, done) for host in pairs] for source in pairs]
    for guest, at in enumerate(place):
        mib, vcpus = part.sizes[guest]
        for host in part.suits[guest]:
            if not goes[at][host] or mib > free[host][0] or vcpus > free[host][1]:
                continue
            if part.names[guest].isdisjoint(names[host]):
                yield (*place[:guest], host, *place[guest + 1 :]), done


@dataclass
class _Tree:
    """What was reached, from where (`before`) and with how many moves (`moves`)."""

    part: _Part
    before: dict[_Node, _Node | None] = field(default_factory=dict)
    moves: dict[_Node, int] = field(default_factory=dict)

    def grow(self, most: int) -> bool:
        """Reach a placement with all done, or all there are; False where it ended before that.

        Each guest on a wanted host has a move ahead: what A* may count on. Of equals, those with
        fewer hosts left come first.
        """
        part = self.part
        start = (tuple(part.hosts.index(part.state.guest_at[g]) for g in part.guests), 0)
        self.before[start], self.moves[start] = None, 0
        queue = [(self._ahead(start), part.wanted.bit_count(), 0, start)]
        closed: set[_Node] = set()
        while queue:
            node = heappop(queue)[3]
            if node in closed:
                continue
            closed.add(node)
            if node[1] == part.wanted:
                return True
            for after in _next(part, *node):
                moves = self.moves[node] + (after[1] == node[1])
                if moves < self.moves.get(after, moves + 1):
                    self.before[after], self.moves[after] = node, moves
                    left = (part.wanted & ~after[1]).bit_count()
                    heappush(queue, (moves + self._ahead(after), left, len(self.before), after))
            if len(self.before) >= most:
                return False
        return True

    def _ahead(self, node: _Node) -> int:
        todo = self.part.wanted & ~node[1]
        return sum(todo >> host & 1 for host in node[0])

    def actions(self) -> tuple[Action, ...]:
        """The way to the best placement that was reached."""
        wanted = self.part.wanted
        best = min(self.moves, key=lambda n: ((wanted & ~n[1]).bit_count(), self.moves[n]))
        path: list[_Node] = []
        node: _Node | None = best
        while node is not None:
            path.append(node)
            node = self.before[node]
        return tuple(reversed(list(self._backwards(path))))

    def _backwards(self, path: Sequence[_Node]) -> Iterator[Action]:
        """The actions from the last to the first; each move serves the reboot that is next."""
        part, serves = self.part, -1
        for (after, done), (place, earlier) in pairwise(path):
            if done != earlier:
                serves = part.hosts[(done ^ earlier).bit_length() - 1]
                yield Reboot(serves)
                continue
            n = next(n for n, at in enumerate(place) if after[n] != at)
            source, destination = part.hosts[place[n]], part.hosts[after[n]]
            yield Move(part.guests[n], source, destination, serves)
