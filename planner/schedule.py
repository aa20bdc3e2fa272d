"""When each step starts, by the estimate: list scheduling under the policy's limits.

A step starts as soon as its needs have ended and a slot is free; of several that wait for the
same slot, the one that was decided first. Serial and greedy: no step waits for a later decision.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from heapq import heappop, heappush

from planner.arrays import Arrays
from planner.needs import Draft
from planner.plan import StepKind


def durations_s(arrays: Arrays, drafts: Sequence[Draft]) -> list[float]:
    """How long each step lasts by the policy, in seconds."""
    policy = arrays.policy
    fixed = {
        StepKind.STOP: policy.stop_s,
        StepKind.START: policy.start_s,
        StepKind.REBOOT: policy.reboot_s,
    }
    move_s = arrays.guest_move_s
    return [
        move_s[draft.guest] if draft.kind is StepKind.MOVE else fixed[draft.kind]
        for draft in drafts
    ]


def schedule(arrays: Arrays, drafts: Sequence[Draft]) -> tuple[list[float], list[float]]:
    """Start and end of every draft, in seconds from the start of the rollout."""
    return _Schedule(arrays, drafts).run()


class _Schedule:
    def __init__(self, arrays: Arrays, drafts: Sequence[Draft]) -> None:
        self.drafts = drafts
        self.lasts_s = durations_s(arrays, drafts)
        self.starts: list[float] = [0.0] * len(drafts)
        self.ends: list[float] = [0.0] * len(drafts)
        self.missing = [len(draft.needs) for draft in drafts]
        self.dependents: list[list[int]] = [[] for _ in drafts]
        for step, draft in enumerate(drafts):
            for need in draft.needs:
                self.dependents[need].append(step)
        hosts = len(arrays.hosts)
        self.out_free = [arrays.policy.max_moves_out_per_host] * hosts
        self.in_free = [arrays.policy.max_moves_in_per_host] * hosts
        self.away_free = arrays.max_away
        per_group = arrays.policy.max_hosts_away_per_group
        self.group_of = arrays.host_group if per_group else [None] * hosts
        self.group_free = dict.fromkeys(self.group_of, per_group or 0)
        self.from_source: list[list[int]] = [[] for _ in range(hosts)]
        self.to_destination: list[list[int]] = [[] for _ in range(hosts)]
        self.to_reboot: list[int] = []
        self.running: list[tuple[float, int]] = []

    def run(self) -> tuple[list[float], list[float]]:
        ready = [step for step, missing in enumerate(self.missing) if not missing]
        now_s = 0.0
        self._arrive(ready, now_s)
        while self.running:
            now_s = self.running[0][0]
            ended = []
            while self.running and self.running[0][0] <= now_s:
                ended.append(heappop(self.running)[1])
            self._arrive(self._end(ended), now_s)
            self._refill(ended, now_s)
        return self.starts, self.ends

    def _start(self, step: int, now_s: float) -> None:
        self.starts[step] = now_s
        self.ends[step] = end_s = now_s + self.lasts_s[step]
        heappush(self.running, (end_s, step))

    def _end(self, ended: Sequence[int]) -> list[int]:
        """Give the slots back; the steps that have now all they need, first decided first."""
        ready = []
        for step in ended:
            draft = self.drafts[step]
            if draft.kind is StepKind.MOVE:
                self.out_free[draft.source] += 1
                self.in_free[draft.destination] += 1
            elif draft.kind is StepKind.REBOOT:
                self.away_free += 1
                self._free_group(draft.host, 1)
            for dependent in self.dependents[step]:
                self.missing[dependent] -= 1
                if not self.missing[dependent]:
                    ready.append(dependent)
        return sorted(ready)

    def _free_group(self, host: int, change: int) -> None:
        group = self.group_of[host]
        if group is not None:
            self.group_free[group] += change

    def _arrive(self, ready: Sequence[int], now_s: float) -> None:
        """Queue what is ready, or start what has no limit; moves start in `_refill`."""
        sources: dict[int, None] = {}
        for step in ready:
            draft = self.drafts[step]
            if draft.kind is StepKind.MOVE:
                insort(self.from_source[draft.source], step)
                insort(self.to_destination[draft.destination], step)
                sources[draft.source] = None
            elif draft.kind is StepKind.REBOOT:
                heappush(self.to_reboot, step)
            else:
                self._start(step, now_s)
        for host in sources:
            self._start_moves(self.from_source[host], now_s)
        self._start_reboots(now_s)

    def _refill(self, ended: Sequence[int], now_s: float) -> None:
        for step in ended:
            draft = self.drafts[step]
            if draft.kind is StepKind.MOVE:
                self._start_moves(self.to_destination[draft.destination], now_s)
                self._start_moves(self.from_source[draft.source], now_s)

    def _start_moves(self, queue: list[int], now_s: float) -> None:
        started = []
        for step in queue:
            draft = self.drafts[step]
            if self.out_free[draft.source] and self.in_free[draft.destination]:
                self.out_free[draft.source] -= 1
                self.in_free[draft.destination] -= 1
                self._start(step, now_s)
                started.append(step)
        for step in started:
            self.from_source[self.drafts[step].source].remove(step)
            self.to_destination[self.drafts[step].destination].remove(step)

    def _start_reboots(self, now_s: float) -> None:
        waiting = []
        while self.to_reboot and self.away_free:
            step = heappop(self.to_reboot)
            host = self.drafts[step].host
            group = self.group_of[host]
            if group is not None and not self.group_free[group]:
                waiting.append(step)
                continue
            self.away_free -= 1
            self._free_group(host, -1)
            self._start(step, now_s)
        for step in waiting:
            heappush(self.to_reboot, step)
