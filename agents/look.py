"""One look at this host: a Report, whatever happens. What cannot be read becomes its `trouble`.

The order matters: the caller reads which look is wanted first, then the journals are read, then
xl is asked, so that everything in a report is newer than what it claims to answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from pydantic import ValidationError

from agents import guest_facts, guest_words, host_files, tuning_read, xl, xl_parse
from agents.command import CommandError, Failed, Missing, run
from agents.copies import NO_NAME, Condition, base_name, condition
from agents.cpu import Cpu, cpu
from agents.cpu_level import levels
from agents.disks import Disks
from agents.host_files import FileError, GuestConfig
from agents.journal import Journal, JournalError
from agents.kernels import Kernels
from agents.leftovers import caps_offers, leftovers
from agents.monitors import Monitors
from agents.payloads import Payloads
from agents.settings import Settings
from agents.stops import lately_stopped
from agents.version import VERSION
from agents.wire import (
    Attempt,
    Domain,
    GuestSeen,
    Obstacle,
    ObstacleCode,
    Report,
)
from agents.xl_parse import Info, ParseError

UNREADABLE = (CommandError, ParseError, FileError, JournalError, OSError, ValidationError)
T = TypeVar("T")
D = TypeVar("D")
Configs = dict[int, dict[str, Any]]


@dataclass(frozen=True)
class Question:
    """What a look answers, read before it began."""

    agent_id: str
    sequence: int
    answers: int
    ordered: frozenset[str]  # ids of the attempts that have an order
    taken_at: datetime
    clock_s: float  # a clock that only grows, for the age of what is remembered
    disks: tuple[str, ...] = ()  # paths that the controller asks for


@dataclass
class Remembered:
    """Configurations of guests, which cost a question to QEMU each; and who says it can suspend."""

    domains: frozenset[tuple[int, str, str]] = frozenset()
    read_at_s: float = float("-inf")
    configs: Configs = field(default_factory=dict)
    cannot_suspend: frozenset[int] = frozenset()


class Looker:
    """Looks at one host; remembers configurations between two looks."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.journal = Journal(settings.state)
        self.memory = Remembered()
        self.payloads = Payloads(settings)
        self.kernels = Kernels(settings)
        self.disks = Disks(settings)
        self.monitors = Monitors(settings)
        self.tunings = tuning_read.Tunings()
        self.pools: tuple[float, tuple[str, ...]] = (float("-inf"), ())

    def look(self, question: Question) -> Report:
        """Never raises for what the host shows."""
        trouble: list[str] = []
        boot_id = _try(trouble, lambda: host_files.boot_id(self.settings), "")
        attempts = _try(trouble, lambda: self._attempts(question, boot_id), ())
        domains = _try(trouble, self._domains, ())
        info = _try(trouble, self._info, None)
        guests = _try(trouble, lambda: self._guests(question, domains, info), ())
        patches = _try(trouble, self._livepatches, None)
        seen = _try(trouble, lambda: cpu(self.settings), Cpu())
        return Report(
            host=self.settings.host,
            agent_version=VERSION,
            agent_id=question.agent_id,
            sequence=question.sequence,
            answers=question.answers,
            taken_at=question.taken_at,
            boot_id=boot_id,
            xen_version=info.xen_version if info else "",
            build_id=info.build_id if info else "",
            livepatches=patches or (),
            payloads=_try(trouble, self.payloads.read, None),
            reverts=True,
            cpu_vendor=seen.vendor,
            cpu_signature=seen.signature,
            microcode=seen.microcode,
            memory_total_mib=info.memory_total_mib if info else 0,
            memory_free_mib=info.memory_free_mib if info else 0,
            cpus=info.cpus if info else 0,
            domains=domains,
            guests=self.monitors.mark(guests),
            leftovers=leftovers(domains),
            boot_starts=_try(trouble, lambda: host_files.boot_starts(self.settings), ()),
            put_aside=_try(trouble, lambda: host_files.put_aside(self.settings), ()),
            offers=self._offers(info, patches is not None, question.clock_s, trouble),
            receiving=_try(trouble, lambda: host_files.receivers(self.settings), 0),
            attempts=attempts,
            disks=self.disks.find(question.disks),
            trouble=tuple(text[:500] for text in trouble),
        )

    def _run(self, argv: tuple[str, ...]) -> str:
        return run(argv, self.settings.xl_timeout_s).stdout

    def _attempts(self, question: Question, boot_id: str) -> tuple[Attempt, ...]:
        told = question.ordered | lately_stopped(self.journal, question.taken_at.timestamp())
        return tuple(self.journal.attempts(told, boot_id))

    def _domains(self) -> tuple[Domain, ...]:
        return xl_parse.parse_list(self._run(xl.list_domains(self.settings)))

    def _info(self) -> Info:
        return xl_parse.parse_info(self._run(xl.info(self.settings)))

    def _livepatches(self) -> tuple[str, ...] | None:
        """Names of those that are active; None where this host cannot load any."""
        try:
            said = self._run(xl.livepatch_list(self.settings))
        except (Missing, Failed):
            return None
        return tuple(n for n, state in xl_parse.parse_livepatches(said) if state == "APPLIED")

    def _pools(self, clock_s: float) -> tuple[str, ...]:
        """CPU pools beside the one that every host has; asked as seldom as configurations."""
        if clock_s - self.pools[0] > self.settings.config_age_s:
            rows = xl_parse.parse_cpupools(self._run(xl.list_cpupools(self.settings)))
            names = tuple(row.name for row in rows if row.name != guest_facts.DEFAULT_POOL)
            self.pools = (clock_s, names)
        return self.pools[1]

    def _offers(
        self, info: Info | None, can_patch: bool, clock_s: float, trouble: list[str]
    ) -> tuple[str, ...]:
        pools = _try(trouble, lambda: self._pools(clock_s), ())
        return _try(trouble, lambda: self._offered(info, can_patch, pools), ())

    def _offered(
        self, info: Info | None, can_patch: bool, pools: tuple[str, ...]
    ) -> tuple[str, ...]:
        found = {f"bridge:{name}" for name in host_files.bridges(self.settings)}
        found.update(f"cpupool:{name}" for name in pools)
        found.update(host_files.storages(self.settings), self.settings.extra_offers)
        if can_patch:
            found.add("livepatch")
        if info:
            found.update(caps_offers(info.virt_caps), levels(info.hw_caps))
        return tuple(sorted(found))

    def _guests(
        self, question: Question, domains: tuple[Domain, ...], info: Info | None
    ) -> tuple[GuestSeen, ...]:
        """Every guest, each with the configuration that `xl list -l` has for its domid."""
        if info is None:
            return ()
        found = [d for d in domains if is_guest(d, self.settings)]
        changed = self._refresh(found, question.clock_s)
        self.tunings.refresh(self.settings, info, changed, question.answers)
        autostarted = frozenset(host_files.autostarted(self.settings))
        files = host_files.guest_configs(self.settings)
        return tuple(
            self._guest(domain, info, files, autostarted)
            for domain in found
            if not self._is_stubdomain(domain, found)
        )

    def _refresh(self, guests: list[Domain], clock_s: float) -> bool:
        """Ask for configurations where the set of guests changed, or they are old; whether so."""
        key = frozenset((d.domid, d.uuid, d.name) for d in guests)
        old = clock_s - self.memory.read_at_s > self.settings.config_age_s
        if not old and key == self.memory.domains:
            return False
        said = self._run(xl.list_configs(self.settings)) if guests else "[]"
        configs = xl_parse.parse_configs(said)
        ids = (d.domid for d in guests)
        refusing = frozenset(d for d in ids if guest_words.cannot_suspend(self.settings, d))
        self.kernels.refresh(guests, configs)
        # One that is just being made is left out: asked for again at the next look.
        whole = all(xl_parse.is_of(configs.get(d.domid), d.uuid) for d in guests)
        self.memory = Remembered(key if whole else frozenset(), clock_s, configs, refusing)
        return True

    def _is_stubdomain(self, domain: Domain, guests: list[Domain]) -> bool:
        """The device model of another guest here, which moves with it or not at all."""
        owners = {guest.name for guest in guests}
        return domain.name.endswith("-dm") and domain.name.removesuffix("-dm") in owners

    def _guest(
        self,
        domain: Domain,
        info: Info,
        files: tuple[GuestConfig, ...],
        autostarted: frozenset[str],
    ) -> GuestSeen:
        config = self.memory.configs.get(domain.domid)
        if config is None or not xl_parse.is_of(config, domain.uuid):
            return guest_facts.unreadable(domain)
        file = host_files.config_for(files, domain.name, domain.uuid)
        return GuestSeen(
            name=domain.name,
            uuid=domain.uuid,
            domid=domain.domid,
            type=guest_facts.guest_type(config),
            vcpus=guest_facts.guest_vcpus(config, domain),
            memory_mib=guest_facts.memory_mib(config, domain),
            overhead_mib=guest_facts.overhead_mib(config),
            needs=guest_facts.needs(config, self.settings),
            guest_class=self.kernels.class_of(domain.domid),
            state=domain.state,
            obstacles=self._obstacles(config, domain, info),
            tuning=self.tunings.by_domid.get(domain.domid),
            config_path=file.path if file else None,
            autostart=domain.name in autostarted,
            cpu_levelled=guest_facts.cpu_levelled(config),
            disks=guest_facts.targets(config),
        )

    def _obstacles(
        self, config: dict[str, Any], domain: Domain, info: Info
    ) -> tuple[Obstacle, ...]:
        found = guest_facts.obstacles(
            config, domain, info.virt_caps, info.xen_version, self.settings
        )
        if domain.domid not in self.memory.cannot_suspend:
            return tuple(found)
        text = "its kernel says that it cannot suspend"
        refuses = Obstacle(code=ObstacleCode.CANNOT_SUSPEND, text=text, lasting=True)
        return (*found, refuses)


def _try(trouble: list[str], read: Callable[[], T], otherwise: D) -> T | D:
    try:
        return read()
    except UNREADABLE as error:
        trouble.append(str(error))
        return otherwise


def is_guest(domain: Domain, settings: Settings) -> bool:
    """Under its own name, alive or stopped; not dom0, nor a rest of a migration, nor a zombie."""
    if domain.domid == 0 or domain.name in settings.service_domains:
        return False
    if domain.name == NO_NAME or base_name(domain.name) != domain.name:
        return False
    return condition(domain.state) is not Condition.DYING
