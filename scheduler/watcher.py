"""The controller's watch over guests: reads the desk, keeps records, tells rollouts.

It looks whether a rollout runs or not. Everything is written before any rollout hears of it, and
what a rollout has not heard of is told again after a restart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from scheduler import hazard, monitors
from scheduler.book import Book
from scheduler.classes import judge
from scheduler.comparison import counts, strata
from scheduler.crashes import CrashEvent
from scheduler.desk import Desk
from scheduler.inventory import GuestEntry, Inventory
from scheduler.limits import Limits
from scheduler.rollout import ENDED, Happening, Hold, Step
from scheduler.watch import Watch
from scheduler.watch_store import Saving, WatchStore
from scheduler.watched import ClassMark, Ending, Lives, Trial
from scheduler.watched_steps import (
    busy,
    carried_out,
    ending_on_arrival,
    life_of,
    news,
    trial_of,
)

SAVE_EVERY = timedelta(seconds=60)
"""Hours are written so often; endings and moves at once."""

KEEP_DAYS = 400
"""Endings and hours older than this are dropped."""


class Watcher:
    """One controller's life of watching. Raises redis errors; a new one begins from the records."""

    def __init__(
        self, store: WatchStore, inventory: Inventory, limits: Limits, log: Callable[[str], None]
    ) -> None:
        self.store = store
        self.limits = limits
        self.log = log
        self.watch = Watch(limits)
        self.marks: dict[str, ClassMark] = {}
        self._looked: dict[str, tuple[str, int]] = {}
        self._saved_at: datetime | None = None
        self._failed: defaultdict[str, dict[str, Trial]] = defaultdict(dict)  # by rollout
        self._owed: list[Trial] = []  # begun, and not written yet
        self.take_inventory(inventory)
        self._recall()

    def take_inventory(self, inventory: Inventory) -> None:
        """Use another inventory from now on."""
        self._entries: dict[str, GuestEntry] = {guest.name: guest for guest in inventory.guests}
        named = ((guest.name, guest.guest_class) for guest in inventory.guests)
        self._classes = {name: guest_class for name, guest_class in named if guest_class}

    def _recall(self) -> None:
        self.watch.take_up(self.store.trials())
        for trial in self.watch.trials.values():
            self._note_failure(trial)
        endings = self.store.endings()
        self.watch.ended.update(ending.id for ending in endings)
        self._alarm_looks = sum(_later_crash(ending) for ending in endings)
        at = self.store.at()
        for one in self.store.lives():
            self.watch.recall(one.host, one.lives, at)

    def _note_failure(self, trial: Trial) -> None:
        if trial.failed:
            self._failed[trial.rollout][trial.id] = trial

    # One round.

    def tick(self, desk: Desk, books: Mapping[str, Book], now: datetime) -> None:
        """Look at every new report, write down what was found, judge the classes."""
        self.marks = self.store.marks()
        saving = Saving(now, trials=self._owed)
        self._owed = []
        saving.endings += [ending_on_arrival(trial) for trial in saving.trials if trial.failed]
        touched = busy(books.values())
        for host in desk.hosts:
            self._look(desk, host, touched, saving)
        saving.endings = [self._owned(ending) for ending in saving.endings]
        for ending in saving.endings:
            self.log(f"{ending.guest} on {ending.host}: {ending.cause}: {ending.reason}")
        for host, life in self.watch.take_alone():
            self._say(saving, "unmonitored", f"{life.name} runs on {host} {monitors.WORDS}")
        self._judge(saving)
        self._alarm(saving)
        if self._saved_at is None or now - self._saved_at >= SAVE_EVERY:
            saving.seen_ms = self.watch.hours.take()
            self._drop_old(saving)
            self._saved_at = now
            self.store.save(saving)
        elif saving:
            self.store.save(saving)

    def _look(self, desk: Desk, host: str, touched: frozenset[str], saving: Saving) -> None:
        report = desk.report(host)
        if isinstance(report, str) or self._looked.get(host) == (report.agent_id, report.sequence):
            return
        self._looked[host] = (report.agent_id, report.sequence)
        for ending in self.watch.look(report, saving.at, touched, self._classes):
            saving.endings.append(ending)
            if ending.trial:
                saving.trials.append(self.watch.trials[ending.trial])
                self._note_failure(self.watch.trials[ending.trial])
        saving.trials += self.watch.take_hints()
        saving.lives += [
            Lives(host=name, lives=tuple(self.watch.lives_on(name)))
            for name in self.watch.take_changed()
        ]

    def _owned(self, ending: Ending) -> Ending:
        entry = self._entries.get(ending.guest)
        return ending.model_copy(update={"owner": entry.owner}) if entry else ending

    def _judge(self, saving: Saving) -> None:
        if not any(trial.failed for trial in saving.trials):
            return
        for name, why in judge(self.watch.trials.values(), self.marks, self.limits).items():
            hold = Hold(reason=why, since=saving.at, by="xenroll")
            mark = self.marks.get(name) or ClassMark(guest_class=name)
            self.marks[name] = mark.model_copy(update={"quarantine": hold})
            saving.marks.append(self.marks[name])
            self._say(saving, "quarantined", f"class {name}: {why}")

    def _alarm(self, saving: Saving) -> None:
        """Look whether moved guests crash more later, each time that one of them did."""
        new = sum(map(_later_crash, saving.endings))
        if not new:
            return
        self._alarm_looks += new
        endings = [*self.store.endings(), *saving.endings]
        found = strata(self.store.hours(), endings, saving.at, KEEP_DAYS)
        if hazard.alarm(found, self._alarm_looks, self.limits.crash_doubt):
            low = hazard.compare(found).low
            words = f"their hazard ratio is above {low:.2g} (95 %)"
            self._say(saving, "alarm", f"moved guests crash later more than others: {words}")

    def _say(self, saving: Saving, kind: str, text: str) -> None:
        saving.events.append(Happening(at=saving.at, kind=kind, text=text))
        self.log(f"{kind}: {text}")

    def _drop_old(self, saving: Saving) -> None:
        """Moves whose watch is over become counts; what is older than all interest goes."""
        saving.past = self.watch.take_old(saving.at)
        if self._saved_at is None or self._saved_at.date() != saving.at.date():
            oldest = saving.at - timedelta(days=KEEP_DAYS)
            first = oldest.date().isoformat()
            saving.old_hours = [one.field for one in self.store.hours() if one.day < first]
            saving.old_endings = [e.id for e in self.store.endings() if e.at < oldest]

    # What rollouts tell and are told.

    def note(self, book: Book, steps: Iterable[Step], desk: Desk, now: datetime) -> None:
        """Watch the guests of moves that were just carried out, or found so after a start."""
        horizon = now - timedelta(days=self.limits.watch_days)
        for step in steps:
            if not carried_out(step) or step.ended_at is None or step.ended_at < horizon:
                continue
            trial = trial_of(book, step, self._classes)
            if trial is None or trial.id in self.watch.trials:
                continue
            self._owed += self.watch.add(trial)
            self._note_failure(trial)
            life = life_of(book, step, trial)
            if life is not None:
                self.watch.arrived(life, trial.host)

    def news(self, book: Book, now: datetime) -> Iterator[CrashEvent]:
        """What this rollout has not heard of yet."""
        if book.rollout.state in ENDED:
            return
        failed = list(self._failed[book.rollout.id].values())
        yield from news(book, now, failed, self.marks, self.watch, self._entries)


def _later_crash(ending: Ending) -> bool:
    return ending.trial is not None and counts(ending)
