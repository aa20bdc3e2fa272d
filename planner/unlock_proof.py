"""Proofs that no plan empties a host, whatever it does first.

Each is a condition that any moment with the host empty has to meet: every movable guest of its
closed part of the fleet stands on another host that it can ever get to, and every host holds at
most what it takes, or what it held at the start. The conditions ask nothing of the way there,
so that failing one is a proof; passing all of them is none that a plan exists.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from planner.arrays import MOVE, Arrays, Bools, Ints
from planner.bounds_view import Numbers, View, numbers_of, views
from planner.cpsat_repack import Item, Outcome, Puzzle, solve
from planner.plan import Reason

_MOST_PLACES = 60_000
"""Guests times hosts of a part that CP-SAT is still asked about."""

_UNITS = ("MiB", "vCPUs")


class Proofs:
    """Looks for proofs on one fleet; made once, asked about as many hosts as are stuck."""

    def __init__(self, arrays: Arrays) -> None:
        self._numbers = numbers = numbers_of(arrays)
        self._views = [
            (part, [(view, _short(numbers, view)) for view in views(numbers, part)])
            for part in numbers.components
        ]

    def never(self, host: int, work: float = 0.0) -> tuple[Reason, ...]:
        """Why no plan at all empties the host; nothing where there is no proof.

        `work` above 0 also asks CP-SAT for a proof that the guests cannot be packed, in its
        deterministic time (about a second each).
        """
        alone = tuple(_homeless(self._numbers, host))
        if alone:
            return alone
        for part, its_views in self._views:
            if host not in part.hosts:
                continue
            for view, short in its_views:
                if host in view.hosts and (reason := _crowded(self._numbers, view, short, host)):
                    return (reason,)
            if work > 0 and len(part.hosts) * len(part.guests) <= _MOST_PLACES:
                return tuple(_unpackable(self._numbers, part, host, work))
        return ()


def can_ever_stand(numbers: Numbers, guest: int) -> Bools:
    """Per host: the guest's needs are offered, and the Xen before or after is not too low."""
    arrays = numbers.arrays
    now = np.array(arrays.level_now, dtype=np.int64)
    after = np.array(arrays.level_after, dtype=np.int64)
    best = np.where(numbers.must, np.maximum(now, after), now)
    home = arrays.guest_host[guest]
    fits: Bools = arrays.reaches[arrays.guest_reach[guest]] & (best >= now[home])
    return fits


def _homeless(numbers: Numbers, host: int) -> Iterator[Reason]:
    """Guests for which no other host is large enough, or offers what they need."""
    arrays = numbers.arrays
    for guest in arrays.guests_of[host]:
        if arrays.guest_kind[guest] != MOVE:
            continue
        others = can_ever_stand(numbers, guest)
        others[host] = False
        name = arrays.guests[guest].name
        if not others.any():
            yield Reason(name, "no plan: no other host of its pool offers what it needs at its Xen")
            continue
        short = numbers.size[:, [guest]] - (numbers.take - numbers.pin)[:, others]
        nearest = int(np.maximum(short, 0).sum(axis=0).argmin())
        if (short[:, nearest] > 0).any():
            best = arrays.hosts[int(np.flatnonzero(others)[nearest])].name
            lacks = _amounts(short[:, nearest])
            yield Reason(name, f"no plan: even with nothing else on it, {best} is {lacks} short")


def _amounts(short: Ints) -> str:
    return " and ".join(
        f"{amount} {unit}"
        for amount, unit in zip(short.tolist(), _UNITS, strict=True)
        if amount > 0
    )


def _most(numbers: Numbers) -> Ints:
    """What a host can hold of movable guests at any time, per resource."""
    most: Ints = np.maximum(numbers.take, numbers.used) - numbers.pin
    return most


def _short(numbers: Numbers, view: View) -> Ints:
    """What the view's hosts all together are short of for its guests (below 0: left over)."""
    short: Ints = numbers.size[:, view.guests].sum(axis=1) - _most(numbers)[:, view.hosts].sum(
        axis=1
    )
    return short


def _crowded(numbers: Numbers, view: View, short: Ints, host: int) -> Reason | None:
    """The other hosts together are too small for the guests that can stand on no further ones."""
    without = short + _most(numbers)[:, host]
    if (without <= 0).all():
        return None
    pool = numbers.arrays.hosts[host].pool
    return Reason(
        None,
        f"no plan: with it empty, the {len(view.guests)} guests that share its hosts in pool "
        f"{pool} are {_amounts(without)} short of room on the {len(view.hosts) - 1} others",
    )


def _unpackable(numbers: Numbers, part: View, host: int, work: float) -> Iterator[Reason]:
    answer = solve(_relaxed(numbers, part, host), work)
    if answer.outcome is Outcome.IMPOSSIBLE:
        yield Reason(
            None,
            f"no plan: its pool's {len(part.guests)} guests can be packed in no way onto the "
            f"{len(part.hosts) - 1} other hosts (proven by search), though their sums would fit",
        )


def _relaxed(numbers: Numbers, part: View, host: int) -> Puzzle:
    """All placements that a moment with the host empty could show, and more."""
    arrays = numbers.arrays
    most = _most(numbers)
    room = {int(h): (int(most[0, h]), int(most[1, h])) for h in part.hosts}
    shared = _together(arrays)
    items = []
    for guest in part.guests.tolist():
        home = arrays.guest_host[guest]
        places = np.flatnonzero(can_ever_stand(numbers, guest)).tolist()
        costs = {int(h): 0 for h in (home, *places) if int(h) in room}
        names = tuple(name for name in arrays.guest_apart[guest] if name not in shared)
        sizes = (arrays.guest_mib[guest], arrays.guest_vcpus[guest])
        items.append(Item(sizes, home, costs, names))
    return Puzzle(items, room, [host])


def _together(arrays: Arrays) -> set[int]:
    """Apart names that two guests of one host share already, or a guest that never moves has."""
    seen: set[tuple[int, int]] = set()
    shared = set()
    for guest, names in enumerate(arrays.guest_apart):
        for name in names:
            key = (name, arrays.guest_host[guest])
            if key in seen or arrays.guest_kind[guest] != MOVE:
                shared.add(name)
            seen.add(key)
    return shared
