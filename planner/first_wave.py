"""The hosts of the canary wave: those that tell most about the rollout at a price that is paid."""

from __future__ import annotations

from planner.arrays import Arrays
from planner.canary import choose_canary
from planner.grow import Grower, Recipe
from planner.place import Parking

# So many hosts are looked at, those with the fewest guests to move.
_LOOKED_AT = 300


def canary_of(arrays: Arrays, extra: int) -> list[int]:
    """The canary hosts, the cheapest to empty first; none where the policy wants none.

    Of all hosts that can be emptied before any other; at least one of them costs at most `extra`
    extra moves, so that the others can follow onto it for none.
    """
    many = arrays.policy.canary_hosts
    if many == 0:
        return []
    parks = _parks(arrays)
    cheap = [host for host, parked in parks.items() if parked <= extra]
    chosen = choose_canary(arrays, list(parks), many)
    if cheap and not set(cheap) & set(chosen):
        chosen = choose_canary(arrays, cheap, many)
    return sorted(chosen, key=lambda host: (parks[host], host))


def _parks(arrays: Arrays) -> dict[int, int]:
    """For each host that can be emptied first, how many extra moves that takes."""
    grower = Grower(arrays, Recipe(extra=0))
    hosts = sorted(
        (host for hosts in grower.waiting for host in hosts),
        key=lambda host: (len(arrays.movable(host)), host),
    )
    parks: dict[int, int] = {}
    for host in hosts[:_LOOKED_AT]:
        placement = grower.placer.place(host, 0.0, Parking(grower.parks([host])))
        if placement is not None:
            parks[host] = placement.parked
    return parks
