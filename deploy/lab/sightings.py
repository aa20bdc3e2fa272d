"""What an observer outside saw of the guests, and what may never be seen. Pure.

A sighting is one look at one host. It happened somewhere between `asked_s` and `answered_s` of
the observer's clock, so a claim about two hosts at once is made only where these bounds prove it.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, slots=True)
class Beat:
    """A guest's heartbeat: which boot of it, its how-many-eth second, how its disk fares."""

    boot_id: str
    tick: int
    disk_writes: int
    disk_errors: int


@dataclass(frozen=True, slots=True)
class Domain:
    """One domain other than dom0, as the hypervisor and xenstore show it."""

    domid: int
    uuid: str
    name: str | None
    paused: bool
    shutdown: bool
    dying: bool
    cpu_ns: int
    beat: Beat | None

    @property
    def can_run(self) -> bool:
        """Whether its virtual CPUs may execute: not paused, not suspended or crashed, not dying."""
        return not (self.paused or self.shutdown or self.dying)


@dataclass(frozen=True, slots=True)
class Sighting:
    """One look at one host."""

    host: str
    host_boot_id: str
    asked_s: float
    answered_s: float
    domains: tuple[Domain, ...]


@dataclass(frozen=True, slots=True)
class Copy:
    """One incarnation of a guest: a domain id on one boot of one host."""

    uuid: str
    host: str
    host_boot_id: str
    domid: int


def beat_of(text: str | None) -> Beat | None:
    """The heartbeat that a guest wrote; None where there is none (yet)."""
    words = (text or "").split()
    if len(words) != 4 or not all(word.isdecimal() for word in words[1:]):
        return None
    return Beat(words[0], *(int(word) for word in words[1:]))


def running_twice(sightings: Iterable[Sighting]) -> Iterator[str]:
    """Every proof that two copies of a guest were able to run at the same time.

    Copy A could run before and after copy B could run: somewhere in between both could, for a
    copy which gave its place away must never run again.
    """
    spans: dict[str, dict[Copy, list[Sighting]]] = defaultdict(lambda: defaultdict(list))
    for sighting in sightings:
        for domain in sighting.domains:
            if domain.can_run:
                copy = Copy(domain.uuid, sighting.host, sighting.host_boot_id, domain.domid)
                spans[domain.uuid][copy].append(sighting)
    for uuid, copies in spans.items():
        for one, other in _pairs(list(copies)):
            if _overlap(copies[one], copies[other]):
                yield f"{uuid} could run as {_place(one)} and as {_place(other)} at once"


def _pairs(copies: Sequence[Copy]) -> Iterator[tuple[Copy, Copy]]:
    for at, one in enumerate(copies):
        for other in copies[at + 1 :]:
            yield one, other


def _place(copy: Copy) -> str:
    return f"domain {copy.domid} of {copy.host}"


def _overlap(one: Sequence[Sighting], other: Sequence[Sighting]) -> bool:
    """Whether the two spans must share a moment, whatever the moments of the looks were."""
    one_from, one_to = min(s.answered_s for s in one), max(s.asked_s for s in one)
    other_from, other_to = min(s.answered_s for s in other), max(s.asked_s for s in other)
    return max(one_from, other_from) < min(one_to, other_to)


@dataclass(frozen=True, slots=True)
class Life:
    """How one guest fared: every boot id seen, ticks in order of time, its longest silence."""

    uuid: str
    names: tuple[str, ...]
    boot_ids: tuple[str, ...]
    hosts: tuple[str, ...]
    first_tick: int
    last_tick: int
    tick_went_back: bool
    longest_silence_s: float
    disk_errors: int


def lives(sightings: Iterable[Sighting]) -> dict[str, Life]:
    """uuid -> how that guest fared, for every guest that showed a heartbeat.

    A silence is counted from the question before the old tick's last answer to the answer that
    brought the next tick: never shorter than the real one by more than one tick.
    """
    seen: dict[str, list[tuple[Sighting, Domain, Beat]]] = defaultdict(list)
    for sighting in sorted(sightings, key=lambda sighting: sighting.answered_s):
        for domain in sighting.domains:
            if domain.beat is not None:
                seen[domain.uuid].append((sighting, domain, domain.beat))
    return {uuid: _life(uuid, rows) for uuid, rows in seen.items()}


def _life(uuid: str, rows: Sequence[tuple[Sighting, Domain, Beat]]) -> Life:
    return Life(
        uuid,
        _in_order(domain.name for _, domain, _ in rows if domain.name),
        _in_order(beat.boot_id for _, _, beat in rows),
        _in_order(sighting.host for sighting, domain, _ in rows if domain.can_run),
        rows[0][2].tick,
        rows[-1][2].tick,
        _went_back([(s, beat) for s, domain, beat in rows if domain.can_run]),
        _longest_silence_s(rows),
        max(beat.disk_errors for _, _, beat in rows),
    )


def _went_back(rows: Sequence[tuple[Sighting, Beat]]) -> bool:
    """Whether a look that began after another had ended showed an older tick of the same boot."""
    for boot_id in {beat.boot_id for _, beat in rows}:
        mine = [(sighting, beat.tick) for sighting, beat in rows if beat.boot_id == boot_id]
        answers = [sighting.answered_s for sighting, _ in mine]
        highest = list(accumulate((tick for _, tick in mine), max))
        for sighting, tick in mine:
            ended_before = bisect_right(answers, sighting.asked_s)
            if ended_before and tick < highest[ended_before - 1]:
                return True
    return False


def _in_order(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))


def _longest_silence_s(rows: Sequence[tuple[Sighting, Domain, Beat]]) -> float:
    best, newest = 0.0, rows[0][2]
    since_s = rows[0][0].asked_s
    for sighting, _, beat in rows[1:]:
        if beat.boot_id != newest.boot_id or beat.tick > newest.tick:
            best = max(best, sighting.answered_s - since_s)
            since_s, newest = sighting.asked_s, beat
    return max(best, rows[-1][0].answered_s - since_s)
