"""When a rollout will have ended, which hosts miss the deadline, and what would make it. Pure.

What is left of the plan is played many times over with times drawn from what this rollout has
shown so far (`forecast_speeds`, `forecast_runs`), with soak times, maintenance windows and notices
(`forecast_gates`). Chance comes in as a seed: the same records give the same forecast. What waits
for somebody is taken to go on at once, and told in `assuming`. What cannot be known is left out:
that a person will pause, that an alert will fire, that hosts have to be planned anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from agents.wire import Kind
from scheduler.book import Book
from scheduler.forecast_assumed import assumed
from scheduler.forecast_exposure import guest_hours_ahead, guest_hours_gone
from scheduler.forecast_runs import Ceilings, Chance, Floats, Work, ends
from scheduler.forecast_speeds import Speeds, speeds
from scheduler.forecast_works import SAFE_AFTER, ceilings, works_of
from scheduler.frozen import Frozen
from scheduler.late_wave import never_safe
from scheduler.outlook import Assumed
from scheduler.rollout import Outlook, Rollout, RolloutState
from scheduler.service.exposure import SAFE

RUNS = 200
REMEDY_RUNS = 100
POINTS = 60
MOST_WORTH_S = 1e9


class HostForecast(Frozen):
    """When a host will be safe: in half of the runs by `p50_at`, in nine of ten by `p90_at`."""

    host: str
    wave: int | None
    p50_at: datetime
    p90_at: datetime


class Remedy(Frozen):
    """What another limit would change; times in seconds, gains against the forecast."""

    change: str
    p50_s: float
    p90_s: float
    gain_p50_s: float
    gain_p90_s: float
    late_hosts: int
    in_time: bool | None  # p90 by the deadline; None: there is none


class ConePoint(Frozen):
    """Exposed hosts at a moment to come: in one run of ten fewer, in the middle, in nine."""

    at_s: float  # since the epoch
    hosts_p10: float
    hosts_p50: float
    hosts_p90: float


class Forecast(Frozen):
    """What is to be expected of a rollout; seconds from `made_at`."""

    rollout: str
    made_at: datetime
    held: bool  # paused or stopped: told as if it went on at once
    assuming: tuple[Assumed, ...] = ()  # what waits for somebody, taken to go on at once
    runs: int
    moves_left: int
    reboots_left: int
    p50_s: float
    p90_s: float
    p50_at: datetime
    p90_at: datetime
    deadline: datetime | None
    chance_in_time: float | None  # share of runs that end by the deadline
    late_hosts: tuple[HostForecast, ...]  # those whose p90 is past the deadline, latest first
    never: tuple[str, ...]  # blocked hosts: no step of the plan makes them safe
    remedies: tuple[Remedy, ...]
    cone: tuple[ConePoint, ...]
    guest_hours_so_far: float | None  # of guests on exposed hosts; None: nobody knows where guests
    guest_hours_to_come: float | None  # were; mean of the runs, to the end of the rollout
    speeds: Speeds


@dataclass(frozen=True)
class Asked:
    """What a forecast is made with. `at_start`: guest -> host when the rollout began, if known."""

    seed: int = 1
    runs: int = RUNS
    backoff_s: float = 30.0
    max_tries: int = 3
    remedies: bool = False
    at_start: Mapping[str, str] | None = None

    def chance(self, runs: int | None = None) -> Chance:
        """What is drawn."""
        return Chance(self.seed, runs or self.runs, self.backoff_s, self.max_tries)


def deadline_of(rollout: Rollout) -> datetime | None:
    """When every host must be safe: the first deadline of its advisories."""
    return min((one.deadline for one in rollout.advisories if one.deadline), default=None)


def forecast(book: Book, now: datetime, asked: Asked) -> Forecast:
    """What is to be expected of this rollout from now on."""
    rollout, works = book.rollout, works_of(book, now)
    measured, limits = speeds(book), ceilings(rollout)
    found = ends(works, limits, measured, asked.chance())
    last = finish(found, asked.runs)
    p50_s, p90_s = _quantiles(last)
    deadline = deadline_of(rollout)
    left_s = (deadline - now).total_seconds() if deadline else None
    safe = safe_times(works, found)
    starts = asked.at_start
    held = rollout.state in (RolloutState.PAUSED, RolloutState.STOPPED)
    return Forecast(
        rollout=rollout.id,
        made_at=now,
        held=held,
        assuming=assumed(book),
        runs=asked.runs,
        moves_left=sum(work.kind is Kind.MOVE for work in works),
        reboots_left=sum(work.kind is Kind.REBOOT for work in works),
        p50_s=p50_s,
        p90_s=p90_s,
        p50_at=now + timedelta(seconds=p50_s),
        p90_at=now + timedelta(seconds=p90_s),
        deadline=deadline,
        chance_in_time=None if left_s is None else float((last <= left_s).mean()),
        late_hosts=_late(book, now, safe, left_s),
        never=never_safe(book),
        remedies=_remedies(works, limits, measured, asked, left_s) if asked.remedies else (),
        cone=_cone(book, now, safe, p90_s),
        guest_hours_so_far=guest_hours_gone(book, starts, now) if starts else None,
        guest_hours_to_come=guest_hours_ahead(book, starts, works, found, last) if starts else None,
        speeds=measured,
    )


def outlook(book: Book, now: datetime, asked: Asked) -> Outlook:
    """The forecast in short, as the rollout's head keeps it."""
    works = works_of(book, now)
    found = ends(works, ceilings(book.rollout), speeds(book), asked.chance())
    p50_s, p90_s = _quantiles(finish(found, asked.runs))
    deadline = deadline_of(book.rollout)
    left_s = (deadline - now).total_seconds() if deadline else None
    return Outlook(
        made_at=now,
        p50_at=now + timedelta(seconds=p50_s),
        p90_at=now + timedelta(seconds=p90_s),
        deadline=deadline,
        late_hosts=len(_late_names(safe_times(works, found), left_s)),
        assuming=assumed(book),
    )


def finish(found: Mapping[str, Floats], runs: int) -> Floats:
    """When the last step ends, in each run."""
    last = np.zeros(runs)
    for one in found.values():
        np.maximum(last, one, out=last)
    return last


def _quantiles(last: Floats) -> tuple[float, float]:
    p50_s, p90_s = np.quantile(last, (0.5, 0.9))
    return float(p50_s), min(float(p90_s), MOST_WORTH_S)


def safe_times(works: Iterable[Work], found: Mapping[str, Floats]) -> dict[str, Floats]:
    """Host -> when it is safe in each run, for every host that a step of the plan makes safe."""
    return {work.host: found[work.id] for work in works if work.kind in SAFE_AFTER}


def _late_names(safe: Mapping[str, Floats], left_s: float | None) -> list[tuple[float, str]]:
    if left_s is None:
        return []
    late = ((float(np.quantile(at, 0.9)), host) for host, at in safe.items())
    return sorted((one for one in late if one[0] > left_s), reverse=True)


def _late(
    book: Book, now: datetime, safe: Mapping[str, Floats], left_s: float | None
) -> tuple[HostForecast, ...]:
    return tuple(
        HostForecast(
            host=host,
            wave=book.hosts[host].wave,
            p50_at=now + timedelta(seconds=float(np.median(safe[host]))),
            p90_at=now + timedelta(seconds=p90_s),
        )
        for p90_s, host in _late_names(safe, left_s)
    )


def _cone(
    book: Book, now: datetime, safe: Mapping[str, Floats], p90_s: float
) -> tuple[ConePoint, ...]:
    if not safe:
        return ()
    others = sum(h.state not in SAFE and h.name not in safe for h in book.hosts.values())
    times = np.sort(np.stack(list(safe.values())), axis=0)
    points = []
    for at_s in np.linspace(0.0, p90_s, POINTS):
        still = (times > at_s).sum(axis=0) + others
        low, middle, high = np.quantile(still, (0.1, 0.5, 0.9))
        points.append(
            ConePoint(
                at_s=now.timestamp() + float(at_s),
                hosts_p10=float(low),
                hosts_p50=float(middle),
                hosts_p90=float(high),
            )
        )
    return tuple(points)


def _remedies(
    works: list[Work], now: Ceilings, measured: Speeds, asked: Asked, left_s: float | None
) -> tuple[Remedy, ...]:
    chance = asked.chance(min(asked.runs, REMEDY_RUNS))
    before = _quantiles(finish(ends(works, now, measured, chance), chance.runs))
    found = []
    for words, limits in _other_limits(now):
        ended = ends(works, limits, measured, chance)
        p50_s, p90_s = _quantiles(finish(ended, chance.runs))
        found.append(
            Remedy(
                change=words,
                p50_s=p50_s,
                p90_s=p90_s,
                gain_p50_s=before[0] - p50_s,
                gain_p90_s=before[1] - p90_s,
                late_hosts=len(_late_names(safe_times(works, ended), left_s)),
                in_time=None if left_s is None else p90_s <= left_s,
            )
        )
    return tuple(found)


def _other_limits(now: Ceilings) -> list[tuple[str, Ceilings]]:
    away = [math.ceil(now.away * 1.5), now.away * 2]
    group = now.away_in_group and now.away_in_group * 2
    out, arriving = now.moves_out + 1, now.moves_in + 1
    grouped = f" (per group {now.away_in_group} -> {group})" if group else ""
    words = f"max_hosts_away {now.away} -> {{}}{grouped}"
    moves = f"moves per host {now.moves_out} out, {now.moves_in} in -> {out}, {arriving}"
    more = [Ceilings(now.moves_out, now.moves_in, one, group) for one in dict.fromkeys(away)]
    both = f"{words.format(away[-1])}; {moves}"
    return [
        *((words.format(one.away), one) for one in more if one.away > now.away),
        (moves, Ceilings(out, arriving, now.away, now.away_in_group)),
        (both, Ceilings(out, arriving, away[-1], group)),
    ]
