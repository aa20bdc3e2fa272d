"""Watches every guest by the agents' reports: who ended, why, and how long each was seen to live.

Guests that were moved (trials) are compared with those that were not, so all are watched the same
way. Pure: reports and the time come in; endings go out; `scheduler.watcher` keeps the records.

What can be told: state letters and xl's own log (`Report.endings`) name a cause. A new domid on
the same host, or a guest that is nowhere any more, has ended for a cause that nobody tells: that
is `unknown`, never called a crash. A reboot that a guest asked for itself is no crash.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

from agents.copies import Condition, condition
from agents.wire import GuestSeen, Report
from scheduler.guest_hours import Group, HoursCount
from scheduler.limits import Limits
from scheduler.monitors import follow
from scheduler.vitals import Vitals
from scheduler.watch_signs import CAUSES, WORDS, ending_id, is_domain, life_of_domain, shown
from scheduler.watched import UNKNOWN_CLASS, Cause, ClassKey, Ending, Life, Trial

GONE_AFTER_S = 60.0
"""A guest that nobody shows for so long is gone: a host it went to would have reported by then."""


ALIVE = frozenset({Condition.RUNS, Condition.PAUSED, Condition.SUSPENDED})


class Watch:
    """All that is known of who lives where; changed by `look` and `moved` only."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.lives: dict[str, Life] = {}  # by uuid
        self.where: dict[str, str] = {}  # uuid -> host
        self.here: dict[str, set[str]] = defaultdict(set)  # host -> uuids
        self.trials: dict[str, Trial] = {}
        self.newest: dict[str, str] = {}  # uuid -> its open trial
        self.ended: set[str] = set()
        self.hours = HoursCount()
        self.vitals = Vitals()
        self._missing: dict[str, datetime] = {}
        self._changed: set[str] = set()
        self._hints: dict[str, Trial] = {}
        self.alone: set[str] = set()  # uuids of guests whose monitor is gone
        self._alone: list[tuple[str, Life]] = []

    # What was written down earlier.

    def take_up(self, trials: Collection[Trial]) -> None:
        """The moves that are watched."""
        for trial in sorted(trials, key=lambda one: (one.moved_at, one.id)):
            self.trials[trial.id] = trial
            if trial.ended_at is None:
                self.newest[trial.uuid] = trial.id

    def recall(self, host: str, lives: Collection[Life], at: datetime | None) -> None:
        """Take up a host's guests as they were last seen, at that time."""
        for life in lives:
            self._put(host, life)
        if at is not None:
            self._group(host, at, {life.uuid for life in lives})
        self._changed.discard(host)

    def add(self, trial: Trial) -> list[Trial]:
        """A move was carried out; returns what changed: it, and the trial that it ends."""
        if trial.id in self.trials:
            return []
        changed = [trial]
        before = self.trials.get(self.newest.pop(trial.uuid, ""))
        if before is not None:
            changed.append(before.model_copy(update={"ended_at": trial.moved_at}))
        for one in changed:
            self.trials[one.id] = one
        if trial.ended_at is None:
            self.newest[trial.uuid] = trial.id
        return changed

    def arrived(self, life: Life, host: str) -> None:
        """The domain that a guest was moved into is what its host's next report is compared to."""
        self._put(host, life)

    # What is seen now.

    def look(
        self, report: Report, now: datetime, busy: Collection[str], classes: dict[str, str]
    ) -> list[Ending]:
        """Who ended since the last look at this host. `busy`: guests that steps of ours touch."""
        host = report.host
        self.hours.count(host, now)
        seen = {guest.uuid: guest for guest in report.guests}
        found: list[Ending] = []
        for uuid in sorted(self.here[host] - set(seen)):
            found += self._without(uuid, report, now, busy)
        for uuid, guest in seen.items():
            if guest.name in busy:
                self._forget(uuid)
            else:
                name = classes.get(guest.name) or guest.guest_class or UNKNOWN_CLASS
                found += self._with(guest, name, report, now)
        alive = {u for u, g in seen.items() if condition(g.state) in ALIVE}
        self._group(host, now, alive)
        return found

    def _with(
        self, guest: GuestSeen, guest_class: str, report: Report, now: datetime
    ) -> Iterator[Ending]:
        before = self.lives.get(guest.uuid)
        was_here = before is not None and self.where.get(guest.uuid) == report.host
        if before and was_here and not is_domain(before, report, guest):
            yield from self._end(before, report, now, f"it is domain {guest.domid} now")
        same = was_here and is_domain(before, report, guest)
        life = life_of_domain(guest, report, guest_class)
        life = follow(before if same else None, life, guest, now)
        if life.alone and not (before and same and before.alone):
            self._alone.append((report.host, life))
        self._put(report.host, life)
        cause = shown(guest.state)
        if cause is not None:
            if before is None:  # it had ended before we began to watch it
                self.ended.add(ending_id(life))
            else:
                yield from self._ending(life, report, now, cause, f"{guest.state} in xl list")
        self._listen(guest, report, now)

    def _listen(self, guest: GuestSeen, report: Report, now: datetime) -> None:
        """Note what stands still in a guest that was moved."""
        trial = self.trials.get(self.newest.get(guest.uuid, ""))
        if trial is not None:
            quiet = self.vitals.quiet(guest, report, now)
            if quiet != trial.quiet:
                self.trials[trial.id] = trial.model_copy(update={"quiet": quiet})
                self._hints[trial.id] = self.trials[trial.id]

    def _without(
        self, uuid: str, report: Report, now: datetime, busy: Collection[str]
    ) -> Iterator[Ending]:
        """A guest that lived here is not here."""
        life = self.lives[uuid]
        if life.name in busy:
            self._forget(uuid)
            return
        since = self._missing.setdefault(uuid, now)
        long = (now - since).total_seconds() >= GONE_AFTER_S
        told = any(one.domid == life.domid for one in report.endings)
        if long or told or life.boot_id != report.boot_id:
            yield from self._end(life, report, now, f"it is gone from {report.host}")
            self._forget(uuid)

    def _end(self, life: Life, report: Report, now: datetime, what: str) -> Iterator[Ending]:
        if life.boot_id != report.boot_id:
            reason = f"{report.host} was booted anew"
            yield from self._ending(life, report, now, Cause.HOST, reason)
            return
        codes = [one.reason_code for one in report.endings if one.domid == life.domid]
        cause = CAUSES.get(codes[-1], Cause.UNKNOWN) if codes else Cause.UNKNOWN
        words = WORDS.get(cause, "nothing tells why")
        yield from self._ending(life, report, now, cause, f"{what}: {words}")

    def _ending(
        self, life: Life, report: Report, now: datetime, cause: Cause, reason: str
    ) -> Iterator[Ending]:
        name = ending_id(life)
        if name in self.ended:
            return
        self.ended.add(name)
        trial = self._close(life.uuid, report.host, now, cause, reason)
        yield Ending(
            id=name,
            at=now,
            guest=life.name,
            uuid=life.uuid,
            key=trial.key if trial else ClassKey(guest_class=life.guest_class),
            host=report.host,
            cause=cause,
            reason=reason,
            trial=trial.id if trial else None,
            after_s=(now - trial.moved_at).total_seconds() if trial else None,
            in_soak=trial.in_soak if trial else False,
        )

    def _close(
        self, uuid: str, host: str, now: datetime, cause: Cause, reason: str
    ) -> Trial | None:
        """End the watch after a move: a guest that was started afresh carries no trace of it."""
        trial = self.trials.get(self.newest.pop(uuid, ""))
        if trial is None or trial.host != host or not self._fresh(trial, now):
            return None
        soak = timedelta(seconds=self.limits.crash_soak_s)
        closed = trial.model_copy(
            update={
                "ended_at": now,
                "cause": cause,
                "in_soak": now - trial.moved_at <= soak,
                "reason": reason,
            }
        )
        self.trials[trial.id] = closed
        return closed

    # Hours.

    def _group(self, host: str, now: datetime, alive: Collection[str]) -> None:
        here = (self.lives[uuid] for uuid in self.here[host] if uuid in alive)
        self.hours.group(host, now, (self._group_of(life, now) for life in here))

    def _group_of(self, life: Life, now: datetime) -> Group:
        trial = self.trials.get(self.newest.get(life.uuid, ""))
        if trial is not None and self._fresh(trial, now):
            return "moved", trial.key
        return "other", ClassKey(guest_class=life.guest_class)

    def _fresh(self, trial: Trial, now: datetime) -> bool:
        return now - trial.moved_at <= timedelta(days=self.limits.watch_days)

    # What is to be written down.

    def take_changed(self) -> list[str]:
        """Hosts whose guests are others than when this was last asked."""
        changed, self._changed = sorted(self._changed), set()
        return changed

    def take_hints(self) -> list[Trial]:
        """Moves whose hint is another than when this was last asked."""
        hints, self._hints = list(self._hints.values()), {}
        return [self.trials[trial.id] for trial in hints]

    def take_alone(self) -> list[tuple[str, Life]]:
        """Guests whose monitor was found to be gone since this was last asked, with their hosts."""
        alone, self._alone = self._alone, []
        return alone

    def take_old(self, now: datetime) -> list[Trial]:
        """Moves whose watch is over; they are forgotten here."""
        old = [trial for trial in self.trials.values() if not self._fresh(trial, now)]
        for trial in old:
            del self.trials[trial.id]
            if self.newest.get(trial.uuid) == trial.id:
                del self.newest[trial.uuid]
        return old

    # Who lives where.

    def _put(self, host: str, life: Life) -> None:
        before = self.where.get(life.uuid)
        if before != host or self.lives.get(life.uuid) != life:
            self._changed.add(host)
        if before is not None and before != host:
            self.here[before].discard(life.uuid)
            self._changed.add(before)
        self.lives[life.uuid], self.where[life.uuid] = life, host
        (self.alone.add if life.alone else self.alone.discard)(life.uuid)
        self.here[host].add(life.uuid)
        self._missing.pop(life.uuid, None)

    def _forget(self, uuid: str) -> None:
        """It is not compared with what it was: a step of ours changes it, or it has ended."""
        self.lives.pop(uuid, None)
        self.alone.discard(uuid)
        self._missing.pop(uuid, None)
        host = self.where.pop(uuid, None)
        if host is not None:
            self.here[host].discard(uuid)
            self._changed.add(host)

    def lives_on(self, host: str) -> list[Life]:
        """Who lives there, in one order."""
        return [self.lives[uuid] for uuid in sorted(self.here[host])]
