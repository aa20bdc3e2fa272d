"""How many hosts may reboot at once, in all and in one group: an estimate for growing a plan."""

from __future__ import annotations

from bisect import bisect_right, insort

from planner.arrays import Arrays


class Away:
    """Books reboots one after another, each at the first time when the limits allow it."""

    def __init__(self, arrays: Arrays) -> None:
        self._reboot_s = arrays.policy.reboot_s
        self._group_of = arrays.host_group
        self._limit = max(1, min(arrays.max_away, len(arrays.hosts)))
        per_group = arrays.policy.max_hosts_away_per_group
        self._group_limit = per_group and min(per_group, len(arrays.hosts))
        self._free = [0.0] * self._limit
        self._group_free: dict[int, list[float]] = {}

    def book(self, host: int, ready_s: float) -> float:
        """The time from which the host reboots, `ready_s` or later, in seconds."""
        queues = [self._free]
        group = self._group_of[host]
        if self._group_limit and group is not None:
            free = self._group_free.setdefault(group, [0.0] * self._group_limit)
            queues.append(free)
        start_s = max(ready_s, *(queue[0] for queue in queues))
        for queue in queues:
            # The slot that was freed last keeps the others for hosts that are ready earlier.
            queue.pop(bisect_right(queue, start_s) - 1)
            insort(queue, start_s + self._reboot_s)
        return start_s
