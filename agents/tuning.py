"""How a guest shares its host's CPUs: read, compared, and put back after a move. Pure.

Real Xen 4.17 brings weight, cap and the number of online vCPUs along, and loses pinning and the
cpupool (tests/lab_tuning.py shows it). Nothing here relies on that: what differs is put back.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from agents import xl
from agents.settings import Settings
from agents.wire import Tuning
from agents.xl_parse import ParseError

Scheduler = Literal["credit", "credit2"]
SCHEDULERS: tuple[Scheduler, ...] = ("credit2", "credit")
ALL = "all"

VCPU_ROW = re.compile(
    r"^(?P<name>.*?)\s+(?P<domid>\d+)\s+(?P<vcpu>\d+)\s+(?:\d+|-)\s+(?P<state>[-r][-b][-p])\s+"
    r"\d+\.\d\s+(?P<hard>\S+) / (?P<soft>\S+)\s*$"
)
"""A row of `xl vcpu-list`: a name may hold blanks, hence read from the right."""

SHARE_ROW = re.compile(r"^(?P<name>.*?)\s+(?P<domid>\d+)\s+(?P<weight>\d+)\s+(?P<cap>\d+)\s*$")
POOL_LINE = re.compile(r"^Cpupool (?P<pool>.*?): \S")
CPU_RANGE = re.compile(r"^(\d+)(?:-(\d+))?$")


class Vcpu(NamedTuple):
    """One row of `xl vcpu-list`."""

    online: bool
    hard: str
    soft: str


class Share(NamedTuple):
    """What a scheduler gives a domain, and in which cpupool."""

    pool: str
    scheduler: Scheduler
    weight: int
    cap: int


@dataclass(frozen=True)
class Place:
    """What matters of a host for putting a tuning back."""

    cpus: int
    pools: Mapping[str, str]  # name -> scheduler


def parse_vcpus(text: str) -> dict[int, list[Vcpu]]:
    """`xl vcpu-list`: domid -> its vCPUs in order. Raises ParseError."""
    found: dict[int, list[Vcpu]] = defaultdict(list)
    for line in _rows(text, "xl vcpu-list", "Affinity"):
        row = VCPU_ROW.match(line)
        if row is None or int(row["vcpu"]) != len(found[int(row["domid"])]):
            raise ParseError(f"xl vcpu-list: cannot read the row {line[:120]!r}")
        online = row["state"][2] != "p"
        found[int(row["domid"])].append(Vcpu(online, row["hard"], row["soft"]))
    return dict(found)


def _rows(text: str, title: str, heading: str) -> list[str]:
    lines = text.splitlines()
    if not lines or heading not in lines[0]:
        raise ParseError(f"{title}: expected the heading …{heading}, found {text[:60]!r}")
    return [line for line in lines[1:] if line.strip()]


def parse_shares(text: str, scheduler: Scheduler) -> dict[int, Share]:
    """`xl sched-credit` or `xl sched-credit2`: domid -> share, for the pools of that scheduler.

    Raises ParseError.
    """
    found: dict[int, Share] = {}
    pool: str | None = None
    for line in filter(str.strip, text.splitlines()):
        head = POOL_LINE.match(line)
        row = SHARE_ROW.match(line)
        if head:
            pool = head["pool"]
        elif row and pool is not None:
            share = Share(pool, scheduler, int(row["weight"]), int(row["cap"]))
            found[int(row["domid"])] = share
        elif line.split() != ["Name", "ID", "Weight", "Cap"]:
            raise ParseError(f"xl sched-{scheduler}: cannot read the row {line[:120]!r}")
    return found


def tuning(vcpus: list[Vcpu], share: Share | None, numa: bool) -> Tuning:
    """What one guest has. A uniform soft affinity of a NUMA host may be libxl's own placement."""
    hard, soft = [v.hard for v in vcpus], [v.soft for v in vcpus]
    placed = numa and len(set(soft)) == 1 and soft[0] != ALL
    return Tuning(
        pool=share.pool if share else None,
        scheduler=share.scheduler if share else None,
        weight=share.weight if share else None,
        cap=share.cap if share else None,
        online_vcpus=sum(vcpu.online for vcpu in vcpus),
        hard=_short(hard),
        soft=None if placed else _short(soft),
    )


def _short(cpus: list[str]) -> tuple[str, ...]:
    return () if set(cpus) <= {ALL} else tuple(cpus)


def differences(wanted: Tuning, found: Tuning, cpus: int) -> tuple[str, ...]:
    """Each thing in which a guest is not what it was, in words; `cpus`: of the host it is on now.

    What was not known before the move is not missed.
    """
    told = []
    for name in ("pool", "weight", "cap", "online_vcpus"):
        before, now = getattr(wanted, name), getattr(found, name)
        if before is not None and before != now:
            told.append(f"{NAMES[name]} {now} instead of {before}")
    for number, (before, now) in _unlike(wanted, found, cpus):
        told.append(
            f"vCPU {number} on CPUs {now[0]} / {now[1]} instead of {before[0]} / {before[1]}"
        )
    return tuple(told)


NAMES = {"pool": "cpupool", "weight": "weight", "cap": "cap", "online_vcpus": "online vCPUs"}
Pair = tuple[str, str]  # hard, soft


def _unlike(wanted: Tuning, found: Tuning, cpus: int) -> Iterator[tuple[int, tuple[Pair, Pair]]]:
    """vCPUs whose affinities differ: their number, what was and what is."""
    count = max(len(wanted.hard), len(wanted.soft or ()), len(found.hard), len(found.soft or ()))
    for number in range(count):
        now = (_of(found.hard, number), _of(found.soft or (), number))
        soft = now[1] if wanted.soft is None else _of(wanted.soft, number)
        before = (_of(wanted.hard, number), soft)
        if any(cpu_set(a, cpus) != cpu_set(b, cpus) for a, b in zip(before, now, strict=True)):
            yield number, (before, now)


def _of(cpus: tuple[str, ...], number: int) -> str:
    return cpus[number] if number < len(cpus) else ALL


def cpu_set(text: str, cpus: int) -> frozenset[int]:
    """`0-3,8` as numbers. `all` is every CPU of the host, as xl prints what covers them all."""
    if text == ALL:
        return frozenset(range(cpus))
    found: set[int] = set()
    for part in text.split(","):
        span = CPU_RANGE.match(part)
        if span:
            found.update(range(int(span[1]), int(span[2] or span[1]) + 1))
    return frozenset(found)


def commands(
    settings: Settings, domid: int, wanted: Tuning, found: Tuning, place: Place
) -> list[tuple[str, ...]]:
    """What puts back what differs. Changing the pool comes first: it resets all the rest."""
    argvs = []
    pooled = wanted.pool not in (None, found.pool) and wanted.pool in place.pools
    pool = wanted.pool if pooled else found.pool
    if pooled and wanted.pool is not None:
        argvs.append(xl.cpupool_migrate(settings, domid, wanted.pool))
    share = [(a, b) for a, b in ((wanted.weight, found.weight), (wanted.cap, found.cap)) if a != b]
    scheduler = place.pools.get(pool or "")
    if scheduler in SCHEDULERS and wanted.weight is not None and (pooled or share):
        argvs.append(xl.share(settings, scheduler, domid, wanted.weight, wanted.cap or 0))
    if wanted.online_vcpus != found.online_vcpus:
        argvs.append(xl.vcpu_set(settings, domid, wanted.online_vcpus))
    after = found.model_copy(update={"hard": (), "soft": ()}) if pooled else found
    for number, (before, _) in _unlike(wanted, after, place.cpus):
        argvs.append(xl.vcpu_pin(settings, domid, number, *before))
    return argvs
