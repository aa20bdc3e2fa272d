"""What a story's gates ask outside the fleet: hooks at once, alerts of a server of the story's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

import redis

from scheduler.alert_sources import NoAnswer, Source, firing
from scheduler.gates import AlertmanagerFilter, Alerts, Answer, Hook
from scheduler.hook_runner import HookKey, HookRunner, Verdict
from tests.monitor import Monitor, alert
from tests.sim import START
from tests.stories import Story

Codes = int | None | list[int | None]


class Around:
    """Everything outside the fleet, whichever controller asks: hooks' ends, alerts that fire."""

    def __init__(self, story: Story) -> None:
        self.codes: dict[str, Codes] = {}
        self.ran: list[str] = []  # `STAGE HOST`
        self.alerts = dict(story.alerts)
        self.unasked = False
        self.asked_at: dict[str, datetime] = {}
        self.answers: dict[str, Answer] = {}
        self.monitor = Monitor() if story.gate_policy().alerts.sources else None
        self.take_hooks(story.hooks)
        self.show_alerts()
        if self.monitor:
            self.monitor.begin()

    def end(self) -> None:
        """Answer nobody any more."""
        if self.monitor:
            self.monitor.end()

    def take_hooks(self, hooks: Mapping[str, Codes]) -> None:
        """Hooks end with these codes from now on."""
        self.codes |= {n: list(c) if isinstance(c, list) else c for n, c in hooks.items()}

    def exit_code(self, name: str) -> int | None:
        """How a hook ends that runs now; a list is used up one by one, then it is 0."""
        codes = self.codes.get(name, 0)
        if isinstance(codes, list):
            return codes.pop(0) if codes else 0
        return codes

    def show_alerts(self) -> None:
        """What the monitor says from now on, as Alertmanager and Prometheus would."""
        if self.monitor is None:
            return
        live = [name for name, state in self.alerts.items() if state != "resolved"]
        quiet = [name for name in live if self.alerts[name] == "silenced"]
        states = {name: "suppressed" if name in quiet else "active" for name in live}
        matchers = [[{"name": "alertname", "value": n, "isRegex": False}] for n in quiet]
        result = [{"metric": {"alertname": name}, "value": [0, "1"]} for name in live]
        said = {
            "/api/v2/alerts": [alert(name, state) for name, state in states.items()],
            "/api/v1/query": {
                "status": "success",
                "data": {"resultType": "vector", "result": result},
            },
            "/api/v2/silences": [{"status": {"state": "active"}, "matchers": m} for m in matchers],
        }
        down = (503, "not now")
        self.monitor.answers = {p: down if self.unasked else (200, s) for p, s in said.items()}

    def ask(self, source: Source, alerts: Alerts, now: datetime) -> Answer:
        """The newest answer of a source, which is asked as often as the policy says."""
        asked_at = self.asked_at.get(source.name)
        if asked_at is None or (now - asked_at).total_seconds() >= alerts.every_s:
            self.asked_at[source.name] = now
            self.answers[source.name] = self._answer(source, alerts.timeout_s, now)
        return self.answers[source.name]

    def _answer(self, source: Source, timeout_s: float, now: datetime) -> Answer:
        url = self.monitor.url if self.monitor else source.url
        here: Source = source.model_copy(update={"url": url})
        if not isinstance(here, AlertmanagerFilter) and here.silences:
            here = here.model_copy(update={"silences": url})
        try:
            return Answer(at=now, firing=firing(here, timeout_s))
        except NoAnswer as error:
            return Answer(at=now, trouble=str(error))


class ToldHooks(HookRunner):
    """Hooks that end at once as the story says; verdicts are kept as those of real ones."""

    def __init__(self, client: redis.Redis, around: Around) -> None:
        super().__init__(client)
        self._around = around

    def give(self, key: HookKey, hook: Hook, document: dict[str, object]) -> None:
        if key in self._given:
            super().give(key, hook, document)
            return
        self._given.add(key)
        name = f"{key.stage} {key.host}"
        self._around.ran.append(name)
        code = self._around.exit_code(name)
        self._ended[key] = Verdict(code, f"hook of {document['host']}: exit {code}")
        self._save(key, self._ended[key])


class ToldAlerts:
    """Asks the story's monitor, in the story's time."""

    def __init__(self, around: Around, now: datetime = START) -> None:
        self._around = around
        self.now = now

    def want(self, policies: Iterable[Alerts]) -> None:
        """What is asked is asked when an answer is wanted."""

    def answers(self, alerts: Alerts) -> Mapping[str, Answer]:
        """The newest answers by the sources' names."""
        return {one.name: self._around.ask(one, alerts, self.now) for one in alerts.sources}

    def close(self) -> None:
        """Ask nobody any more."""
