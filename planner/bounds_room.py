"""Lower bounds on the makespan from room, counts and single hosts, proven one by one.

Words: a plan starts at 0 and ends at M. Host h starts to reboot at s_h, when all of its movable
guests have left it, and is back at s_h + R. C_h is all that it can hold of movable guests, S the
slack: what all hosts of the part can hold beyond their guests. No guest leaves the part, so the
slack never changes. Each bound holds for memory and for vCPUs.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from planner.arrays import Ints
from planner.bounds_part import Floats, Part

_LARGEST_SHARE = 8
"""Up to so many hosts at a time are told apart by the bounds on whole hosts."""


def room_bound_s(part: Part) -> float:
    """The largest of the bounds of this module, in seconds."""
    bounds = [_host_bound_s(part), _count_bound_s(part), *_group_bounds_s(part)]
    for resource in range(len(part.size)):
        if part.slack[resource] > 0:
            bounds += _slack_bounds_s(part, resource)
    return max(bounds)


def _host_bound_s(part: Part) -> float:
    """One host: its drain, its reboot, and the start of its guests.

    Hosts that are not in a gated first wave start no reboot before that wave is back.
    """
    policy = part.policy
    start_s = np.maximum(part.before_s, part.gate_s)
    late = np.sort(start_s + policy.reboot_s + policy.start_s * part.restarts)
    canaries = min(part.canary_hosts, part.n_hosts)
    early = part.before_s + policy.reboot_s + policy.start_s * part.restarts
    return float(max(late[: part.n_hosts - canaries].max(initial=0.0), early.max(initial=0.0)))


def _count_bound_s(part: Part) -> float:
    """Of all reboots only so many start within one reboot's time; canary hosts go before."""
    return _generations_s(part, part.n_hosts, part.started_together, part.first_s)


def _group_bounds_s(part: Part) -> Iterator[float]:
    """The same within each group, by its own limit."""
    limit = part.policy.max_hosts_away_per_group
    if limit is None:
        return
    for group in np.unique(part.group[part.group >= 0]):
        inside = part.group == group
        first_s = float(part.before_s[inside].min())
        yield _generations_s(part, int(inside.sum()), min(limit, part.started_together), first_s)


def _generations_s(part: Part, hosts: int, together: int, first_s: float) -> float:
    reboot_s = part.policy.reboot_s
    late = hosts - part.canary_hosts
    gated_s = part.gate_s + -(-late // together) * reboot_s if late > 0 else 0.0
    return max(gated_s, first_s + -(-hosts // together) * reboot_s)


def _slack_bounds_s(part: Part, resource: int) -> list[float]:
    hold, slack = part.hold[resource], int(part.slack[resource])
    if hold.max() > slack:
        # No plan empties such a host; then there is no makespan to bound.
        return [0.0]
    return [
        _room_time_s(part, resource),
        _ramps_s(part, resource),
        *(_whole_hosts_s(part, hold, slack, share) for share in range(1, _LARGEST_SHARE)),
        *(_chain_s(part, resource, share) for share in range(1, _LARGEST_SHARE)),
    ]


def _room_time_s(part: Part, resource: int) -> float:
    """Room times time: a host away takes C_h for R, a guest on its way its size once more.

    All of it fits under S x M, and all but the canary's reboots under S x (M - gate).
    """
    hold, slack = part.hold[resource], float(part.slack[resource])
    moved = part.home >= 0
    on_the_way = float((part.size[resource][moved] * part.move_s[moved]).sum())
    reboot_s = part.policy.reboot_s
    gated_s = part.gate_s + _all_but_canary(part, hold) * reboot_s / slack
    return max(gated_s, (float(hold.sum()) * reboot_s + on_the_way) / slack)


def _all_but_canary(part: Part, weights: Ints | Floats) -> float:
    """The least that the weights sum to without a canary wave's hosts."""
    return float(np.sort(weights)[: max(0, part.n_hosts - part.canary_hosts)].sum())


def _rate(part: Part, resource: int, streams: int) -> float:
    """The most that enters or leaves a host in a second, moves taken as a steady stream."""
    moved = part.size[resource] > 0
    if not moved.any():
        return np.inf
    with np.errstate(divide="ignore"):
        return float((part.size[resource][moved] / part.move_s[moved]).max()) * streams


def _ramps_s(part: Part, resource: int) -> float:
    """Room times time with the time to empty and to fill a host.

    Let a guest on its way count at source and destination by the share of the move that is done;
    both hosts are charged more. At t before its reboot a host holds at most rate x (s_h - t), at t
    after its return at most rate x t. So beside the reboot two triangles of room are unused, of
    C_h / rate each, and all of it together is at most S at any time. Only triangles that reach
    before the start (or the gate) or behind the end may be cut: there they sum to at most S, and
    each is at most C / rate long, so that S x C / (2 x rate) is lost at either end.
    """
    hold, slack = part.hold[resource], float(part.slack[resource])
    policy = part.policy
    inverse = 1.0 / _rate(part, resource, policy.max_moves_out_per_host)
    inverse += 1.0 / _rate(part, resource, policy.max_moves_in_per_host)
    area = hold * policy.reboot_s + hold.astype(np.float64) ** 2 * inverse / 2
    lost_s = float(hold.max()) * inverse / 2
    gated_s = part.gate_s + _all_but_canary(part, area) / slack - lost_s
    return max(gated_s, float(area.sum()) / slack - lost_s)


def _whole_hosts_s(part: Part, hold: Ints, slack: int, share: int) -> float:
    """Room times time in whole hosts: what of a host's size no other could use is counted too.

    The function f(x) = floor((k+1) x) / k (x itself where (k+1) x is whole) of the share x = C/S
    that a host takes is dual feasible (Fekete and Schepers, 2001): where sizes sum to at most 1,
    so do their values. So at any time the values of the hosts away sum to at most 1.
    """
    many = hold.astype(object) * (share + 1)
    values = np.array(
        [c / ((share + 1) * slack) if c % slack == 0 else (c // slack) / share for c in many]
    )
    reboot_s = part.policy.reboot_s
    gated_s = part.gate_s + _all_but_canary(part, values) * reboot_s
    return max(gated_s, part.first_s + float(values.sum()) * reboot_s)


def _chain_s(part: Part, resource: int, share: int) -> float:
    """Large hosts one after another, k at a time, with the time to empty the next ones.

    Take the hosts with C > S / (k+1), in the order of their reboots. Of k+1 that follow each other
    the first is back when the last starts, or all were empty at once. Let x be the time between.
    When the first comes back, those whose reboot is not over hold at most rate x x each, as in
    `_ramps_s`, and one that came back is empty: so sum of C - k rate x <= S. With k = 1 each host
    but the two at the ends counts twice in the sum of all pairs, and a host's guests to be shut
    down are so after its moves; with more, the least sum holds.
    """
    hold, slack = part.hold[resource], int(part.slack[resource])
    chosen = hold * (share + 1) > slack
    large = np.sort(hold[chosen])
    policy = part.policy
    links = (len(large) - 1) // share
    if links < 1:
        return 0.0
    stops_s = 0.0
    if share == 1:
        crowd = float(2 * large.sum() - large[-1] - large[-2] - links * slack)
        stops_s = policy.stop_s * max(0, int(part.restarts[chosen].sum()) - 1)
    else:
        crowd = float(links * max(0, large[: share + 1].sum() - slack)) / share
    rate = _rate(part, resource, policy.max_moves_out_per_host)
    return part.first_s + (links + 1) * policy.reboot_s + crowd / rate + stops_s
