"""What has to be so before a wave opens or a host is drained: the gates' part of the policy. Pure.

It stands in the inventory file under `gates`; a rollout keeps what was said when it began.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from planner.fleet import Gates, Policy
from scheduler.frozen import Frozen
from scheduler.windows import Windows

Text = Annotated[str, Field(min_length=1, max_length=2000)]


def _url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it is to begin with http:// or https:// and name a host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("no user, password, query or fragment; a token stands in token_file")
    return url.rstrip("/")


Url = Annotated[str, AfterValidator(_url)]


class PrometheusQuery(Frozen):
    """A query of which every sample in the answer counts as an alert that fires."""

    name: Text
    url: Url  # `/api/v1/query` is added
    query: Text
    silences: Url | None = None  # an Alertmanager: samples that it silences do not count
    token_file: str | None = None


class AlertmanagerFilter(Frozen):
    """Alerts of an Alertmanager that fire and are neither silenced nor inhibited."""

    name: Text
    url: Url  # `/api/v2/alerts` is added
    filters: tuple[Text, ...] = ()  # matchers such as `severity="critical"`; all have to match
    token_file: str | None = None


class Alerts(Frozen):
    """Whom to ask, how often, and what a firing alert (or no answer) holds."""

    prometheus: tuple[PrometheusQuery, ...] = ()
    alertmanager: tuple[AlertmanagerFilter, ...] = ()
    every_s: float = Field(default=30.0, ge=1, le=3600)
    timeout_s: float = Field(default=10.0, gt=0, le=60)
    holds: Literal["waves", "drains"] = "waves"  # drains: also new hosts of open waves

    @property
    def sources(self) -> tuple[PrometheusQuery | AlertmanagerFilter, ...]:
        """Everything that is asked."""
        return (*self.prometheus, *self.alertmanager)

    @model_validator(mode="after")
    def _named_once(self) -> Alerts:
        names = [source.name for source in self.sources]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"the name {twice!r} is there twice")
        return self


class HookStage(StrEnum):
    """When a hook runs for a host, one line of meaning each."""

    PREFLIGHT = "preflight"  # when the rollout begins: before the wave of the host opens
    BEFORE_DRAIN = "before_drain"  # its wave is open: before its first guest leaves
    AFTER_DRAIN = "after_drain"  # it is empty: before its reboot
    AFTER_REBOOT = "after_reboot"  # it is back: before it takes guests again


class Hook(Frozen):
    """A command of the control node; it gets a JSON document on its standard input.

    Exit code 0: go on. 70: nothing to do here (the host is left out). Anything else, or no end
    within the time: the host is held until a person resumes or aborts it.
    """

    argv: tuple[Text, ...] = Field(min_length=1)
    timeout_s: float = Field(default=60.0, gt=0, le=86_400)


class Hooks(Frozen):
    """The hook of each stage, where there is one."""

    preflight: Hook | None = None
    before_drain: Hook | None = None
    after_drain: Hook | None = None
    after_reboot: Hook | None = None

    def of(self, stage: HookStage) -> Hook | None:
        """The hook of a stage."""
        found: Hook | None = getattr(self, stage.value)
        return found


class GatePolicy(Frozen):
    """All gates of a rollout; by default a wave waits for the one before it and nothing else."""

    soak_s: float = Field(default=0.0, ge=0, le=30 * 86_400)  # after the wave before is back
    approval: bool = False  # a person has to let each wave behind a gate go on
    windows: Windows | None = None  # hosts begin to be drained only inside
    alerts: Alerts = Alerts()
    hooks: Hooks = Hooks()


def problems(policy: Policy, gates: GatePolicy) -> list[str]:
    """What is asked for and can never hold anything, a line each."""
    if policy.gates is not Gates.NONE:
        return []
    said = [("soak_s", bool(gates.soak_s)), ("approval", gates.approval)]
    why = "no wave waits for another, as policy.gates is 'none'; say 'canary' or 'every'"
    return [f"gates.{name}: {why}" for name, wanted in said if wanted]


class Answer(Frozen):
    """What one source of alerts said last."""

    at: datetime
    firing: tuple[str, ...] = ()  # in words
    trouble: str = ""  # why there is no answer


class HookState(StrEnum):
    """What a run of a hook came to, one line of meaning each."""

    WANTED = "wanted"  # it runs, or will: at least once, and again if its controller died
    PASSED = "passed"  # exit code 0: go on
    NOTHING = "nothing"  # exit code 70: nothing to do here
    FAILED = "failed"  # anything else, or no end within its time


class HookRun(Frozen):
    """The newest run of a stage's hook for one host."""

    stage: HookStage
    number: int = 1
    state: HookState = HookState.WANTED
    wanted_at: datetime
    ended_at: datetime | None = None
    exit_code: int | None = None  # None: it was ended for want of time, or could not be started
    tail: str = ""  # of what it printed
    outdated: bool = False  # after a drain: a guest was there again, so it runs once more
