"""A fleet in memory with a clock of its own, for whole rollouts without a server in a test.

It plays the hosts: carries out orders, and shows what `xl list` would. What becomes of an attempt
is judged by the real settlers, and every state changes through the real `advance`.
"""

from __future__ import annotations

import heapq
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from agents.copies import Condition, condition
from agents.guest_facts import state_obstacles
from agents.leftovers import leftovers
from agents.wire import (
    Attempt,
    AttemptState,
    Domain,
    DomainEnd,
    GuestSeen,
    Kind,
    MendAction,
    Order,
    RefusalCode,
    Report,
    Tuning,
    Wanted,
)
from planner.fleet import Evacuation, Fleet, Guest
from planner.plan import plan_json
from scheduler.advance import (
    AttemptSeen,
    Doubted,
    Event,
    Replanned,
    Settled,
    Tick,
    Wants,
    advance,
    needs_plan,
)
from scheduler.advisory import Advisory, build_ids
from scheduler.book import Book
from scheduler.comeback import ailing
from scheduler.fleet_view import FleetDoubt
from scheduler.gates import Answer, GatePolicy, HookState
from scheduler.hooking import HookEnded
from scheduler.in_flight import hosts_to_see, in_flight
from scheduler.inventory import GuestEntry, HostEntry, Inventory
from scheduler.limits import Limits
from scheduler.part_wants import untaken
from scheduler.planned import Planned, Request, all_steps, hosts_of, new_rollout
from scheduler.planning import PlanBroken, plan_fleet
from scheduler.replanning import Announced, Seen, plan_rest
from scheduler.rollout import ENDED, Happening, RolloutState, StepState
from scheduler.rollout_scope import scope_of
from scheduler.succession import waves_of
from scheduler.verdicts import verdict_of
from scheduler.waves import Hold, PartWish
from tests.sim_endings import ENDINGS, RUNS, Copy, Ending

OLD, NEW = "0" * 40, "f" * 40
START = datetime(2026, 11, 22, 22, 0, tzinfo=UTC)

USUAL = Tuning(pool="Pool-0", scheduler="credit2", weight=256, cap=0, online_vcpus=1)

Fault = str | list[str]
"""How a guest's migrations end: a key of `ENDINGS` or of `SHORT`, for each of them, or a list for
one after the other. `stays_up`: it ignores its shutdown; `stays_untuned`: its pinning cannot be put
back."""

SHORT = {
    "refuses": "ignores its suspend request",
    "crashes": "crashes on arrival",
    "twice": "runs on both",
    "fails": "breaks in pre-copy",  # the first time only
}


@dataclass
class SimHost:
    """A host and the domains on it."""

    name: str
    memory_mib: int
    cpus: int
    xen: str
    build: str
    offers: tuple[str, ...]
    boot: int = 1
    up: bool = True
    next_domid: int = 1
    tunings: dict[str, Tuning] = field(default_factory=dict)  # of guests with more than the usual
    domains: dict[str, Domain] = field(default_factory=dict)  # by name as xl shows it
    report: Report | None = None
    livepatches: tuple[str, ...] = ()
    microcode: str = "0x10"
    endings: list[DomainEnd] = field(default_factory=list)
    trouble: tuple[str, ...] = ()  # what its agent cannot read
    unmonitored: set[int] = field(default_factory=set)  # domids that xl does not watch (any more)


class Sim:
    """The fleet, its clock, and one rollout over it."""

    def __init__(
        self,
        fleet: Fleet,
        *,
        faults: Mapping[str, Fault] | None = None,
        consents: Sequence[str] = (),
        limits: Limits | None = None,
        restart_from_records: bool = False,
        wrong_builds: Sequence[str] = (),
        lost_hosts: Sequence[str] = (),
        gates: GatePolicy | None = None,
        advisories: Sequence[Advisory] = (),
        keeps: Sequence[Advisory] = (),
        livepatch: bool = True,
        livepatches: Mapping[str, tuple[str, ...]] | None = None,
        payloads: Mapping[str, str] | None = None,
        without_payloads: Sequence[str] = (),
        patch_exits: Mapping[str, Sequence[int]] | None = None,
        comes_back: Mapping[str, Mapping[str, object]] | None = None,
    ) -> None:
        """`patch_exits`: host -> exit codes of its attempts at live patches, then 0.

        `comes_back`: host -> fields of its SimHost after its reboot; `payloads`: name -> SHA-256,
        on every host but `without_payloads`.
        """
        self.fleet = fleet
        self.now = START
        self.limits = limits or Limits()
        self.faults = dict(faults or {})
        self.restart_from_records = restart_from_records
        self.wrong_builds = set(wrong_builds)
        self.lost_hosts = set(lost_hosts)
        self.advisories = tuple(advisories)
        self.keeps = tuple(keeps)
        self.livepatch = livepatch
        self.payloads = dict(payloads or {})
        self.without_payloads = set(without_payloads)
        self.patch_exits = {name: list(codes) for name, codes in (patch_exits or {}).items()}
        self.comes_back = dict(comes_back or {})
        self.guests = {guest.name: guest for guest in fleet.guests}
        self.hosts = {h.name: _sim_host(h) for h in fleet.hosts}
        for name, applied in (livepatches or {}).items():
            self.hosts[name].livepatches = applied
        self.mute: set[str] = set()
        self.still: set[str] = set()  # guests whose CPU clock stands still
        self.ages_s: dict[str, float] = {}  # of reports; fresh where nothing is said
        self.looked: list[str] = []  # hosts that were asked to look before a step
        self.inventory = _inventory(fleet, consents)
        self.wanted = Wanted.RUN
        self.epoch = 1
        self.gates = gates or GatePolicy()
        self.answers: dict[str, Answer] = {}  # of alert sources
        self.hook_codes: dict[str, int | None] = {}  # "stage host": exit code; else 0
        self.hooks_run: list[str] = []
        self.control: dict[str, str] = {}  # wishes for waves and hosts, approvals
        self.ordered: list[tuple[datetime, Order]] = []
        self.started: dict[str, int] = {}
        self.happenings: list[Happening] = []
        self._future: list[tuple[datetime, int, Callable[[], None]]] = []
        self._number = 0
        self._attempts: dict[str, Attempt] = {}
        self.uuids: dict[str, str] = {}  # of guests that had another name
        for guest in fleet.guests:
            self._boot_guest(guest, guest.host)
        self.book = self._begin()

    def _begin(self) -> Book:
        reports = [self.report_of(host) for host in self.hosts.values()]
        from scheduler.fleet_view import Scope

        advisories, patch = self.advisories, self.livepatch
        scope = Scope((NEW,), self.fleet.policy, advisories=advisories, livepatch=patch)
        planned, document = plan_fleet(reports, self.inventory, scope, self.now)
        self.planned: Planned = planned
        self.announced = Announced(plan_json(planned.plan), document)
        builds = build_ids(advisories) if advisories else (NEW,)
        request = Request(
            "xsa-1",
            "XSA-1",
            builds,
            "security",
            self.now,
            advisories,
            keeps=self.keeps,
            livepatch=patch,
            gates=self.gates,
        )
        rollout = new_rollout(request, planned)
        steps = all_steps(planned, 1, self.fleet.policy.canary_hosts)
        return Book(rollout, steps, hosts_of(planned), {}, waves_of(planned.plan, 1))

    # What the controller sees (scheduler.gate.Sight).

    def report(self, host: str) -> Report | str:
        if host in self.mute or not self.hosts[host].up:
            return f"{host} has not reported for more than 30 s"
        report = self.report_of(self.hosts[host])
        return f"{host}: {report.trouble[0]}" if report.trouble else report

    def silent(self) -> Mapping[str, str]:
        found = [h.name for h in self.hosts.values() if h.trouble or not h.up]
        return {name: str(self.report(name)) for name in sorted({*self.mute, *found})}

    def age_s(self, host: str) -> float:
        return self.ages_s.get(host, 0.0)

    def address(self, host: str) -> str:
        return host

    def where(self, guest: str) -> tuple[str, ...]:
        def shows(host: SimHost) -> bool:
            return guest in host.domains or any(d.uuid == guest for d in host.domains.values())

        return tuple(host.name for host in self.hosts.values() if shows(host))

    def named_class(self, guest: str) -> str | None:
        return next((g.guest_class for g in self.inventory.guests if g.name == guest), None)

    # What other people do meanwhile.

    def shut_down_by_owner(self, guest: str) -> None:
        """Its owner powers a guest off."""
        for host in self.hosts.values():
            self._drop(host.name, guest)

    def create(self, name: str, where: str) -> None:
        """Somebody starts a new guest of 1 GiB, of which no inventory knows anything."""
        facts = {"name": name, "memory_mib": 1024, "apart": (), "evacuation": Evacuation.MOVE}
        self.guests[name] = self.fleet.guests[0].model_copy(update=facts)
        self._boot_guest(self.guests[name], where)

    def restart(self, guest: str, reason_code: int | None = None) -> None:
        """It comes back as a new domain; xl's log says why where a code is given."""
        host = self._ends(guest, reason_code)
        self._boot_guest(self.guests[guest], host.name)

    def power_off(self, guest: str, reason_code: int | None = None) -> None:
        """It is gone; xl's log says why where a code is given."""
        self._ends(guest, reason_code)

    def kill_monitor(self, guest: str) -> None:
        """Somebody, or the kernel that lacks memory, ends xl's monitor of a guest."""
        host = self._host_of(guest)
        host.unmonitored.add(host.domains[guest].domid)
        host.report = None

    def crash_and_stay(self, guest: str) -> None:
        """It crashes, and its configuration says to keep what is left of it."""
        host = self._host_of(guest)
        crashed = host.domains[guest].model_copy(update={"state": "---sc-"})
        host.domains[guest], host.report = crashed, None

    def build_anew(self) -> None:
        """Another advisory: every host has to be rebooted once more."""
        for host in self.hosts.values():
            host.build, host.report = OLD, None

    def _host_of(self, guest: str) -> SimHost:
        return next(host for host in self.hosts.values() if guest in host.domains)

    def _ends(self, guest: str, reason_code: int | None) -> SimHost:
        host = self._host_of(guest)
        if reason_code is not None:
            domid = host.domains[guest].domid
            host.endings.append(DomainEnd(domid=domid, name=guest, reason_code=reason_code))
        self._drop(host.name, guest)
        return host

    def carry(self, guest: str, where: str) -> None:
        """Somebody else moves a guest."""
        self.shut_down_by_owner(guest)
        self._boot_guest(self.guests[guest], where)

    def lose_power(self, name: str) -> None:
        """A host dies with everything on it."""
        host = self.hosts[name]
        host.up, host.report = False, None
        host.domains.clear()

    def power_on(self, name: str) -> None:
        """A host is there again, with nothing on it."""
        host = self.hosts[name]
        host.up, host.report = True, None
        host.boot += 1

    # Running it.

    def next_at(self) -> datetime | None:
        """When the next thing is due that the hosts have under way."""
        return self._future[0][0] if self._future else None

    def run(self, until_s: float = 20_000, step_s: float = 1.0) -> None:
        """Let time pass until the rollout ends or stands still, or for so long."""
        end = self.now + timedelta(seconds=until_s)
        while self.now < end and self.book.rollout.state not in ENDED:
            self.round()
            self.now += timedelta(seconds=step_s)
            if self._stands_still():
                break

    def _stands_still(self) -> bool:
        waits = (RolloutState.PAUSED, RolloutState.STOPPED)
        quiet = not self._future and not self.book.under_way
        return quiet and self.book.rollout.state in waits and self.wanted is not Wanted.RUN

    def round(self) -> None:
        """What the controller does in one round."""
        self.go_on_to(self.now)
        if (self.wanted, self.epoch) != (self.book.rollout.wanted, self.book.rollout.epoch):
            self.feed(Wants(self.now, self.wanted, self.epoch, "on-call", "asked", self.keeps))
        for event in untaken(self.book, self.control, self.now):
            self.feed(event)
        for step in self.book.running():
            self._follow(step.id)
        self._play_hooks()
        self.feed(Tick(self.now, self, self.answers))
        if needs_plan(self.book):
            self._plan_again()

    def go_on_to(self, now: datetime) -> None:
        """Let happen what is due until then."""
        self.now = now
        while self._future and self._future[0][0] <= now:
            heapq.heappop(self._future)[2]()

    def attempt(self, attempt_id: str) -> Attempt | None:
        """What the host knows of an attempt."""
        return self._attempts.get(attempt_id)

    def want(self, wanted: Wanted) -> None:
        """A person speaks."""
        self.wanted = wanted
        if wanted is Wanted.ABORT:
            self.epoch += 1

    def want_part(self, part: str, wanted: Wanted, reason: str = "asked") -> None:
        """A person speaks of `wave:N` or `host:NAME`."""
        wish = PartWish(wanted=wanted, by="on-call", reason=reason, at=self.now)
        self.control[part] = wish.model_dump_json()

    def approve(self, wave: int, reason: str = "looks good") -> None:
        """A person lets a wave go on."""
        approval = Hold(reason=reason, since=self.now, by="on-call")
        self.control[f"approve:{wave}"] = approval.model_dump_json()

    def feed(self, event: Event) -> None:
        """One event through `advance`, and out to the hosts."""
        change = advance(self.book, event, self.limits)
        self.book.apply(change)
        self.happenings += change.happenings
        if self.restart_from_records and change:
            self.book = reread(self.book)
        if self.book.rollout.state is RolloutState.STOPPED and self.wanted is Wanted.RUN:
            self.wanted = Wanted.PAUSE
        self.looked += change.looks
        for order in change.orders:
            self.ordered.append((self.now, order))
            self._take(order)

    def _follow(self, step_id: str) -> None:
        step = self.book.steps[step_id]
        name = f"xsa-1-{step.id}-a{step.attempt}"
        attempt = self._attempts.get(name)
        if attempt is None:
            return
        if step.state in (StepState.ORDERED, StepState.RUNNING):
            self.feed(AttemptSeen(self.now, step_id, attempt))
        elif step.state is StepState.SETTLING:
            reports = {host: self.report(host) for host in step.hosts}
            seen = {host: r for host, r in reports.items() if isinstance(r, Report)}
            if len(seen) == len(reports):
                order = next(o for _, o in reversed(self.ordered) if o.attempt_id == name)
                head, record = self.book.rollout, self.book.hosts[step.host]
                known = (head.advisories, self.keeps, self.book.mends_of(step_id))
                verdict = verdict_of(step, order, attempt, seen, record, *known)
                self.feed(Settled(self.now, step_id, verdict))
            elif ill := ailing(step, self.hosts[step.host].report):
                self.feed(Settled(self.now, step_id, ill))

    def _plan_again(self) -> None:
        found = [self.report(name) for name in hosts_to_see(self.book, in_flight(self.book))]
        reports = [report for report in found if isinstance(report, Report)]
        if len(reports) < len(found):
            return
        try:
            scope = scope_of(self.book, self.inventory)
            aside = [h.name for h in self.book.hosts.values() if h.aside and not h.left_out]
            unheard = [self.report_of(self.hosts[name]) for name in aside]
            seen = Seen(reports, unheard, self.inventory)
            planned, document = plan_rest(
                self.book, seen, scope, self.now, self.announced, plan_fleet
            )
        except (FleetDoubt, PlanBroken) as doubt:
            if not self.book.under_way:
                self.feed(Doubted(self.now, str(doubt)))
            return
        generation = self.book.rollout.generation
        self.feed(Replanned(self.now, planned))
        if self.book.rollout.generation > generation:
            self.announced = Announced(plan_json(planned.plan), document)

    def _play_hooks(self) -> None:
        """Hooks that were wanted in an earlier round have ended by now."""
        for host in list(self.book.hosts.values()):
            for run in host.hooks:
                if run.state is HookState.WANTED and run.wanted_at < self.now:
                    name = f"{run.stage} {host.name}"
                    self.hooks_run.append(name)
                    code = self.hook_codes.get(name, 0)
                    said = f"{name} says {code}"
                    event = HookEnded(self.now, host.name, run.stage, run.number, code, said)
                    self.feed(event)

    # Playing the hosts.

    def _at(self, seconds: float, then: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._future, (self.now + timedelta(seconds=seconds), self._number, then))

    def _take(self, order: Order) -> None:
        brings_back = order.kind in (Kind.START, Kind.MEND, Kind.RETUNE)
        allowed = self.wanted is Wanted.RUN or (self.wanted is Wanted.ABORT and brings_back)
        parts = {self.wanted} | self._wishes(order)
        if self.wanted is Wanted.ABORT:
            parts.discard(Wanted.PAUSE)
        if not allowed or Wanted.PAUSE in parts or (Wanted.ABORT in parts and not brings_back):
            code = RefusalCode.PAUSED if Wanted.PAUSE in parts else RefusalCode.ABORTED
            self.say(order, AttemptState.REFUSED, refusal=code, reason=str(code))
            return
        self.start(order)

    def _wishes(self, order: Order) -> set[Wanted]:
        fields = [f"wave:{order.wave}", f"host:{order.host}", f"host:{order.destination}"]
        found = [self.control[field] for field in fields if field in self.control]
        return {PartWish.model_validate_json(raw).wanted for raw in found}

    def start(self, order: Order) -> None:
        """Begin an attempt; a second start of the same one is what must never happen."""
        assert order.attempt_id not in self.started, "an attempt was started twice"
        self.started[order.attempt_id] = 1
        self.say(order, AttemptState.RUNNING)
        seconds, then = self._deeds()[order.kind](order)
        self._at(seconds, then)

    def _deeds(self) -> dict[Kind, Callable[[Order], tuple[float, Callable[[], None]]]]:
        return {
            Kind.MOVE: self._move,
            Kind.STOP: self._stop,
            Kind.START: self._start,
            Kind.REBOOT: self._reboot,
            Kind.MEND: self._mend,
            Kind.RETUNE: self._retune,
            Kind.LIVEPATCH: self._patch,
            Kind.REVERT: self._revert,
        }

    def say(
        self,
        order: Order,
        state: AttemptState,
        *,
        exit_code: int | None = None,
        text: str = "",
        refusal: RefusalCode | None = None,
        reason: str = "",
        tuning: Tuning | None = None,
    ) -> None:
        """Note how far an attempt has come."""
        self._attempts[order.attempt_id] = Attempt(
            attempt_id=order.attempt_id,
            kind=order.kind,
            state=state,
            guest=order.guest,
            guest_uuid=order.guest_uuid,
            exit_code=exit_code,
            output_tail=text,
            tuning=tuning,
            refusal=refusal,
            reason=reason,
            started_at=self.now,
            ended_at=self.now if state is AttemptState.ENDED else None,
        )

    def _move(self, order: Order) -> tuple[float, Callable[[], None]]:
        guest = self.guests[order.guest or ""]
        seconds = self.fleet.policy.move_s(guest.memory_mib)
        return seconds, lambda: self._arrive(order, guest)

    def _arrive(self, order: Order, guest: Guest) -> None:
        ending = self._ending(guest.name)
        if ending is None:
            self._drop(order.host, guest.name)
            self._boot_guest(guest, order.destination or "")
            before = self.hosts[order.host].tunings.pop(guest.name, USUAL)
            text = "Migration successful.\n"
            self.say(order, AttemptState.ENDED, exit_code=0, text=text, tuning=before)
            return
        kept = self.hosts[order.host].domains.get(guest.name)
        self._drop(order.host, guest.name)
        self._leave(guest, order.host, ending.here, kept)
        self._leave(guest, order.destination or "", ending.there, None)
        state = AttemptState.UNKNOWN if ending.exit_code is None else AttemptState.ENDED
        self.say(order, state, exit_code=ending.exit_code, text=ending.text)

    def _ending(self, guest: str) -> Ending | None:
        """How its next migration ends; a list of endings is used up one by one."""
        fault = self.faults.get(guest)
        if isinstance(fault, list):
            fault = fault.pop(0) if fault else None
        elif fault == "fails":
            del self.faults[guest]
        name = SHORT.get(fault or "", fault)
        return ENDINGS.get(name) if name else None

    def _leave(self, guest: Guest, where: str, copy: Copy | None, kept: Domain | None) -> None:
        """Put a copy of a guest onto a host, as a migration that went wrong leaves it."""
        if copy is None:
            return
        self._boot_guest(guest, where)
        made = self.hosts[where].domains.pop(guest.name)
        domid = kept.domid if kept and not copy.fresh else made.domid
        name = guest.name + copy.suffix
        facts = {"domid": domid, "name": name, "state": copy.state, "cpu_time_s": copy.cpu_time_s}
        self.hosts[where].domains[name] = made.model_copy(update=facts)
        if not copy.monitored:
            self.hosts[where].unmonitored.add(domid)

    def _stop(self, order: Order) -> tuple[float, Callable[[], None]]:
        def then() -> None:
            if self.faults.get(order.guest or "") != "stays_up":
                self._drop(order.host, order.guest or "")
            self.say(order, AttemptState.ENDED, exit_code=0)

        return self.fleet.policy.stop_s, then

    def _start(self, order: Order) -> tuple[float, Callable[[], None]]:
        def then() -> None:
            self._boot_guest(self.guests[order.guest or ""], order.host)
            self.say(order, AttemptState.ENDED, exit_code=0)

        return self.fleet.policy.start_s, then

    def _reboot(self, order: Order) -> tuple[float, Callable[[], None]]:
        host = self.hosts[order.host]
        assert not host.domains, f"{host.name} reboots with {sorted(host.domains)}"
        host.up = False

        def then() -> None:
            if host.name in self.lost_hosts:
                return
            host.up, host.report = True, None
            host.boot += 1
            host.endings.clear()
            host.build = OLD if host.name in self.wrong_builds else NEW
            host.livepatches = ()
            for name, value in self.comes_back.get(host.name, {}).items():
                setattr(host, name, value)
            self.say(order, AttemptState.UNKNOWN)

        return self.fleet.policy.reboot_s, then

    def _mend(self, order: Order) -> tuple[float, Callable[[], None]]:
        assert isinstance(order.mend, MendAction)

        def then() -> None:
            host = self.hosts[order.host]
            name = next(n for n, d in host.domains.items() if d.domid == order.domid)
            domain = host.domains.pop(name)
            if order.mend is MendAction.RESUME_SOURCE:
                host.unmonitored.add(domain.domid)
            if order.mend in (MendAction.RESUME_SOURCE, MendAction.UNPAUSE):
                awake = {"name": order.guest, "state": RUNS, "cpu_time_s": 1.0}
                host.domains[order.guest or ""] = domain.model_copy(update=awake)
            host.report = None
            self.say(order, AttemptState.ENDED, exit_code=0)

        return 1.0, then

    def _patch(self, order: Order) -> tuple[float, Callable[[], None]]:
        host = self.hosts[order.host]

        def then() -> None:
            codes = self.patch_exits.get(host.name, [])
            code = codes.pop(0) if codes else 0
            if not code:
                host.livepatches = (*host.livepatches, order.payload or "")
            host.report = None
            self.say(order, AttemptState.ENDED, exit_code=code, text="Applying... failed\n")

        return 2.0, then

    def _revert(self, order: Order) -> tuple[float, Callable[[], None]]:
        host = self.hosts[order.host]

        def then() -> None:
            on_top = host.livepatches[-1:] == (order.payload,)
            if on_top:
                host.livepatches = host.livepatches[:-1]
            text = "" if on_top else "Error 16: Device or resource busy\n"
            host.report = None
            self.say(order, AttemptState.ENDED, exit_code=0 if on_top else 2, text=text)

        return 2.0, then

    def reboot_by_itself(self, name: str) -> None:
        """A host that nobody told to: its guests start again, its live patches do not."""
        host = self.hosts[name]
        host.boot += 1
        host.livepatches, host.report = (), None

    def shows(self, name: str, **fields: object) -> None:
        """Something about a host changes by itself, or by a person's hand."""
        for field_name, value in fields.items():
            setattr(self.hosts[name], field_name, value)
        self.hosts[name].report = None

    def tune(self, host: str, guest: str, tuning: Tuning) -> None:
        """Give a guest a share of the CPUs that no migration brings along."""
        self.hosts[host].tunings[guest] = tuning
        self.hosts[host].report = None

    def _retune(self, order: Order) -> tuple[float, Callable[[], None]]:
        def then() -> None:
            if self.faults.get(order.guest or "") == "stays_untuned":
                text = "Could not set affinity for vcpu `0'.\n"
                self.say(order, AttemptState.ENDED, exit_code=1, text=text)
                return
            assert order.tuning is not None and order.guest in self.hosts[order.host].domains
            self.tune(order.host, order.guest, order.tuning)
            self.say(order, AttemptState.ENDED, exit_code=0)

        return 1.0, then

    def _boot_guest(self, guest: Guest, where: str) -> None:
        host = self.hosts[where]
        host.domains[guest.name] = Domain(
            domid=host.next_domid,
            name=guest.name,
            uuid=self.uuids.get(guest.name) or uuid_of(guest.name),
            memory_mib=guest.memory_mib,
            vcpus=guest.vcpus,
            state="-b----",
            cpu_time_s=1.0,
        )
        host.next_domid += 1
        host.report = None

    def _drop(self, where: str, guest: str) -> None:
        self.hosts[where].domains.pop(guest, None)
        self.hosts[where].report = None

    def report_of(self, host: SimHost) -> Report:
        """What the host shows, made anew only after something changed."""
        if host.report is None:
            host.report = self.look(host)
        return host.report

    def look(self, host: SimHost) -> Report:
        """One look at a host."""
        left = leftovers(tuple(host.domains.values()))
        own = {n: domain for n, domain in host.domains.items() if n in self.guests}
        seen = [self._seen(self.guests[name], domain, host) for name, domain in own.items()]
        held_mib = sum(guest.memory_mib + guest.overhead_mib for guest in seen)
        held_mib += sum(d.memory_mib for n, d in host.domains.items() if n not in own)
        dom0 = Domain(
            domid=0,
            name="Domain-0",
            uuid=uuid_of("dom0"),
            memory_mib=1024,
            vcpus=1,
            state="r-----",
            cpu_time_s=9.0,
        )
        return Report(
            host=host.name,
            agent_version="sim",
            agent_id="sim",
            sequence=1,
            answers=0,
            taken_at=self.now,
            boot_id=f"{host.name}-{host.boot}",
            xen_version=f"{host.xen}.7",
            build_id=host.build,
            livepatches=host.livepatches,
            payloads={} if host.name in self.without_payloads else dict(self.payloads),
            reverts=True,
            cpu_vendor="GenuineIntel",
            cpu_signature="06-55-07",
            microcode=host.microcode,
            memory_total_mib=host.memory_mib + 1024,
            memory_free_mib=host.memory_mib - held_mib,
            cpus=host.cpus,
            domains=(dom0, *map(self._ticked, host.domains.values())),
            endings=tuple(host.endings),
            guests=tuple(seen),
            leftovers=left,
            offers=host.offers,
            trouble=host.trouble,
        )

    def _ticked(self, domain: Domain) -> Domain:
        if domain.name in self.still or condition(domain.state) is not Condition.RUNS:
            return domain
        ran_s = 1.0 + (self.now - START).total_seconds() / 10
        return domain.model_copy(update={"cpu_time_s": ran_s})

    def _seen(self, guest: Guest, domain: Domain, host: SimHost) -> GuestSeen:
        return GuestSeen(
            name=guest.name,
            uuid=domain.uuid,
            domid=domain.domid,
            type="pvh",
            vcpus=guest.vcpus,
            memory_mib=guest.memory_mib,
            overhead_mib=guest.overhead_mib,
            needs=guest.needs,
            guest_class=guest.guest_class,
            state=domain.state,
            tuning=host.tunings.get(guest.name, USUAL),
            monitored=domain.domid not in host.unmonitored,
            obstacles=tuple(state_obstacles(domain)),
            config_path=f"/etc/xen/{guest.name}.cfg",
        )


def uuid_of(name: str) -> str:
    """The same name always gives the same UUID."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


def _sim_host(host: object) -> SimHost:
    from planner.fleet import Host

    assert isinstance(host, Host)
    build = OLD if host.reboot else NEW
    return SimHost(host.name, host.memory_mib, int(host.cpus), host.xen, build, offers=host.offers)


def _inventory(fleet: Fleet, consents: Sequence[str]) -> Inventory:
    return Inventory(
        policy=fleet.policy,
        hosts=tuple(HostEntry(name=h.name, pool=h.pool, group=h.group) for h in fleet.hosts),
        guests=tuple(
            GuestEntry(
                name=g.name,
                apart=g.apart,
                evacuation=None if g.evacuation is Evacuation.MOVE else g.evacuation,
                if_refused="restart" if g.name in consents else "hold",
            )
            for g in fleet.guests
        ),
    )


def reread(book: Book) -> Book:
    """The book as a controller finds it that was killed and started again."""
    kinds = (book.steps, book.hosts, book.guests, book.waves)
    steps, hosts, guests, waves = (
        {name: type(r).model_validate_json(r.model_dump_json()) for name, r in kind.items()}
        for kind in kinds
    )
    rollout = type(book.rollout).model_validate_json(book.rollout.model_dump_json())
    return Book(rollout, steps, hosts, guests, waves)  # type: ignore[arg-type]
