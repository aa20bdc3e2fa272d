"""A fleet in memory with a clock of its own, for whole rollouts without a server in a test.

It plays the hosts (`tests.sim_hosts`), which carry out orders (`tests.sim_deeds`), and the rounds
of a controller. What becomes of an attempt is judged by the real settlers, and every state changes
through the real `advance`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Unpack

from agents.wire import (
    AttemptState,
    Kind,
    Order,
    RefusalCode,
    Report,
    Wanted,
)
from planner.fleet import Fleet
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
from scheduler.fleet_view import FleetDoubt, Scope
from scheduler.gates import Answer, GatePolicy, HookState
from scheduler.hooking import HookEnded
from scheduler.in_flight import hosts_to_see, in_flight
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
from tests.sim_deeds import Played, SimDeeds
from tests.sim_parts import NEW, OLD, START, USUAL, SimHost, uuid_of

__all__ = ["NEW", "OLD", "START", "USUAL", "Sim", "SimHost", "reread", "uuid_of"]


class Sim(SimDeeds):
    """The fleet, its clock, and one rollout over it."""

    def __init__(
        self,
        fleet: Fleet,
        *,
        limits: Limits | None = None,
        restart_from_records: bool = False,
        gates: GatePolicy | None = None,
        advisories: Sequence[Advisory] = (),
        keeps: Sequence[Advisory] = (),
        livepatch: bool = True,
        **played: Unpack[Played],
    ) -> None:
        super().__init__(fleet, **played)
        self.limits = limits or Limits()
        self.restart_from_records = restart_from_records
        self.gates = gates or GatePolicy()
        self.advisories = tuple(advisories)
        self.keeps = tuple(keeps)
        self.livepatch = livepatch
        self.mute: set[str] = set()
        self.ages_s: dict[str, float] = {}  # of reports; fresh where nothing is said
        self.looked: list[str] = []  # hosts that were asked to look before a step
        self.wanted = Wanted.RUN
        self.epoch = 1
        self.answers: dict[str, Answer] = {}  # of alert sources
        self.hook_codes: dict[str, int | None] = {}  # "stage host": exit code; else 0
        self.hooks_run: list[str] = []
        self.control: dict[str, str] = {}  # wishes for waves and hosts, approvals
        self.ordered: list[tuple[datetime, Order]] = []
        self.happenings: list[Happening] = []
        self.book = self._begin()

    def _begin(self) -> Book:
        reports = [self.report_of(host) for host in self.hosts.values()]
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

    # What people ask for.

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

    # Running it.

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


def reread(book: Book) -> Book:
    """The book as a controller finds it that was killed and started again."""
    kinds = (book.steps, book.hosts, book.guests, book.waves)
    steps, hosts, guests, waves = (
        {name: type(r).model_validate_json(r.model_dump_json()) for name, r in kind.items()}
        for kind in kinds
    )
    rollout = type(book.rollout).model_validate_json(book.rollout.model_dump_json())
    return Book(rollout, steps, hosts, guests, waves)  # type: ignore[arg-type]
