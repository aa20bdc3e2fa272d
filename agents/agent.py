"""The agent of one dom0: looks, reports, and keeps this host's workers alive."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import redis

from agents import log as log_setup
from agents import steprun
from agents.client import impatient, patient
from agents.crew import Crew
from agents.disks import asked_for
from agents.journal import Journal, JournalError
from agents.keys import SETTLED, keys
from agents.look import Looker, Question
from agents.notices import Notices
from agents.settings import Settings
from agents.signs import Signs
from agents.wire import Report
from agents.worker import work

log = logging.getLogger("agent")

DAY_S = 86400.0
PRUNE_EVERY_S = 3600.0


class AgentError(Exception):
    """The agent cannot run; the text says why."""


class Stop(BaseException):
    """Somebody wants the agent to end, and it only waits."""


class Agent:
    """One life of an agent."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.client = impatient(settings)
        self.looker = Looker(settings)
        self.signs = Signs(settings)
        self.notices = Notices(settings)
        self.agent_id = uuid.uuid4().hex
        self.sequence = 0
        self.stopping = False
        self.waiting = False
        self.shown: dict[str, str] = {}  # what was last logged, by subject
        self.pruned_at_s = float("-inf")

    def run(self, crew: Crew) -> None:
        """Until SIGTERM or SIGINT. Steps that run are left alone."""
        for one in (signal.SIGTERM, signal.SIGINT):
            signal.signal(one, self._on_signal)
        log.info("agent of %s started", self.settings.host)
        # A signal during a wait raises Stop: the way out of the loop, not an error.
        with contextlib.suppress(Stop):
            while not self.stopping:
                crew.tend(time.monotonic())
                self._turn()
        log.info("agent of %s ends; steps that run go on", self.settings.host)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True
        if self.waiting:
            raise Stop

    def _turn(self) -> None:
        """Look, report, wait until the next look is due or somebody asks for one."""
        try:
            self._report()
            self._say("redis", "")
            self._rest(self.settings.least_gap_s)
            self._wait_for_wake()
        except redis.RedisError as error:
            self._say("redis", f"Redis is away: {error}")
            self._rest(min(1.0, self.settings.report_interval_s))

    def _report(self) -> None:
        host = self.settings.host
        self.client.delete(keys.wake(host))
        wanted = self.client.get(keys.look(host))
        orders = self.client.hkeys(keys.orders(host))
        assert isinstance(orders, list)
        ordered = frozenset(map(as_text, orders))
        disks = self.client.get(keys.disks(host))
        assert disks is None or isinstance(disks, bytes | str)
        self.sequence += 1
        report = self.looker.look(
            Question(
                agent_id=self.agent_id,
                sequence=self.sequence,
                answers=int(wanted) if isinstance(wanted, bytes | str) and wanted.isdigit() else 0,
                ordered=ordered,
                taken_at=datetime.now(UTC),
                clock_s=time.monotonic(),
                disks=asked_for(disks),
            )
        )
        report = self.signs.complete(report)
        self.client.set(keys.report(host), report.model_dump_json())
        self._settle_claims(report)
        self.notices.tend(self.client, report, time.monotonic())
        self._say_trouble(report)
        self._prune(ordered)

    def _settle_claims(self, report: Report) -> None:
        """For jobs that were killed between a start and telling so: a pause waits for claims."""
        key = keys.claims(self.settings.host)
        claims = self.client.hgetall(key)
        assert isinstance(claims, dict)
        open_ids = {as_text(one) for one, value in claims.items() if as_text(value) != SETTLED}
        known = open_ids & {attempt.attempt_id for attempt in report.attempts}
        if known:
            self.client.hset(key, mapping=dict.fromkeys(known, SETTLED))

    def _say_trouble(self, report: Report) -> None:
        self._say("trouble", "; ".join(report.trouble))

    def _say(self, subject: str, text: str) -> None:
        """Log once for each change, and that it is over."""
        if text and self.shown.get(subject) != text:
            log.warning("%s", text)
        elif not text and self.shown.get(subject):
            log.info("%s: all is well again", subject)
        self.shown[subject] = text

    def _prune(self, ordered: frozenset[str]) -> None:
        now_s = time.monotonic()
        if now_s - self.pruned_at_s < PRUNE_EVERY_S:
            return
        self.pruned_at_s = now_s
        older_than_s = self.settings.keep_journals_days * DAY_S
        try:
            removed = self.looker.journal.prune(ordered, older_than_s, time.time())
        except (OSError, JournalError) as error:
            log.warning("old journals cannot be removed: %s", error)
            return
        if removed:
            log.info("removed %d old journals", len(removed))

    def _wait_for_wake(self) -> None:
        self.waiting = True
        try:
            if not self.stopping:
                key = keys.wake(self.settings.host)
                self.client.blpop([key], timeout=self.settings.report_interval_s)
        finally:
            self.waiting = False

    def _rest(self, seconds: float) -> None:
        self.waiting = True
        try:
            if not self.stopping:
                time.sleep(seconds)
        finally:
            self.waiting = False


def as_text(raw: bytes | str) -> str:
    """A reply of the server; a foreign writer's bytes must not end the agent."""
    return raw if isinstance(raw, str) else raw.decode(errors="replace")


def own_state(state_dir: Path) -> int:
    """Hold the state directory for this agent alone. Raises AgentError."""
    path = state_dir / "agent.lock"
    try:
        fd = steprun.open_lock(str(path))
        if not steprun.lock(fd, True):
            raise AgentError(f"another agent (pid {path.read_text().strip()}) runs on {state_dir}")
        os.ftruncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode(), 0)
    except OSError as error:
        raise AgentError(f"state directory {state_dir}: {error.strerror}") from None
    return fd


def run(settings: Settings) -> None:
    """The whole life of an agent, workers included. Raises AgentError, SettingsError."""
    log_setup.set_up()
    fd = own_state(settings.state)

    def worker() -> None:
        os.close(fd)  # a worker that outlives the agent must not keep the next one out
        work(settings, patient(settings))

    try:
        Agent(settings).run(Crew(settings.workers, worker))
    finally:
        os.close(fd)


def look_once(settings: Settings) -> Report:
    """One report without Redis: every attempt that this host knows is in it."""
    looker = Looker(settings)
    report = looker.look(
        Question(
            agent_id="look",
            sequence=0,
            answers=0,
            ordered=frozenset(Journal(settings.state).ids()),
            taken_at=datetime.now(UTC),
            clock_s=time.monotonic(),
        )
    )
    return Signs(settings).complete(report)
