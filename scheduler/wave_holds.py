"""What keeps a wave from opening, and an open one from draining further hosts: all of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from scheduler.draft import Draft
from scheduler.gates import Alerts, Answer, HookStage
from scheduler.hooking import passed, preflights_left
from scheduler.late_wave import late_holds
from scheduler.rollout import HostState
from scheduler.waves import Hold, WaveRecord, WaveState
from scheduler.windows import Windows, is_open, next_opening

BACK = frozenset({HostState.FIXED, HostState.BLOCKED, HostState.OPENED, HostState.UNAFFECTED})
LIVE = frozenset({WaveState.WAITING, WaveState.OPEN})
BEFORE = "wave before"
"""Who holds a wave that waits for others: the plan itself, so nobody is told of it."""

OLD_AFTER = 3
"""An answer of alerts counts for so many rounds of asking."""

Answers = Mapping[str, Answer]
"""The newest answer of each source of alerts, by its name."""


def not_back(draft: Draft, wave: WaveRecord) -> list[str]:
    """The hosts of a wave that are still to be rebooted, on their way, or not taken back."""
    return [name for name in wave.hosts if not _is_back(draft, name)]


def _is_back(draft: Draft, name: str) -> bool:
    host = draft.host(name)
    if host.state is HostState.FIXED:
        return passed(draft, host, HookStage.AFTER_REBOOT) or not host.closed
    return host.state in BACK


def ahead(draft: Draft, wave: WaveRecord) -> list[WaveRecord]:
    """The waves that have to be back before this one opens."""
    if wave.behind is None:
        return []
    numbers = sorted(n for n in draft.book.waves.keys() | draft.waves.keys() if n <= wave.behind)
    found = [draft.wave(number) for number in numbers]
    return [one for one in found if one is not None]


def wave_holds(draft: Draft, wave: WaveRecord, answers: Answers) -> list[Hold]:
    """Everything that keeps a wave from opening now."""
    if wave.late:
        return late_holds(draft, wave)
    gates = draft.rollout.gates
    reasons = [*_waves_before(draft, wave), *_word_missing(draft, wave)]
    if gates.hooks.preflight and (left := preflights_left(draft, wave.hosts)):
        reasons.append(("hook preflight", f"hook preflight of {left} hosts has not ended"))
    reasons += _outside(gates.windows, draft.now)
    reasons += _alerts(gates.alerts, answers, draft.now)
    return [Hold(reason=text, since=draft.now, by=by) for by, text in reasons]


def drain_holds(draft: Draft, answers: Answers) -> list[Hold]:
    """Everything that keeps hosts of open waves from being drained now."""
    gates = draft.rollout.gates
    reasons = _outside(gates.windows, draft.now)
    if gates.alerts.holds == "drains":
        reasons += _alerts(gates.alerts, answers, draft.now)
    return [Hold(reason=text, since=draft.now, by=by) for by, text in reasons]


def _waves_before(draft: Draft, wave: WaveRecord) -> Iterator[tuple[str, str]]:
    waves = ahead(draft, wave)
    live = [one for one in waves if one.state in LIVE]
    names = [name for one in live for name in not_back(draft, one)]
    if names:
        numbers = ", ".join(str(one.number) for one in live)
        shown = ", ".join(names[:3]) + (" and others" if len(names) > 3 else "")
        many = f"{len(names)} hosts are not back ({shown})"
        text = many if len(names) > 1 else f"{names[0]} is not back"
        yield BEFORE, f"waits for wave {numbers}: {text}"
        return
    ends = [one.ended_at for one in waves if one.ended_at and one.state is WaveState.ENDED]
    until = max(ends, default=draft.now) + timedelta(seconds=draft.rollout.gates.soak_s)
    if ends and draft.now < until:
        yield "soak time", f"soaks until {until:%Y-%m-%d %H:%M:%S} UTC"


def _word_missing(draft: Draft, wave: WaveRecord) -> Iterator[tuple[str, str]]:
    if draft.rollout.gates.approval and wave.behind is not None and wave.approval is None:
        command = f"xenroll rollout approve {draft.rollout.id} --wave {wave.number}"
        yield "approval", f"waits for a person's word: {command}"


def _outside(windows: Windows | None, now: datetime) -> list[tuple[str, str]]:
    if windows is None or is_open(windows, now):
        return []
    opens = next_opening(windows, now)
    when = f"the next opens {opens:%a %Y-%m-%d %H:%M} {windows.zone}" if opens else "none opens"
    return [("maintenance windows", f"outside the maintenance windows: {when}")]


def _alerts(alerts: Alerts, answers: Answers, now: datetime) -> list[tuple[str, str]]:
    found = ((one.name, _said(answers.get(one.name), alerts, now)) for one in alerts.sources)
    return [(f"alerts {name}", f"{name}: {text}") for name, text in found if text]


def _said(answer: Answer | None, alerts: Alerts, now: datetime) -> str:
    if answer is None:
        return "it was not asked yet"
    if (now - answer.at).total_seconds() > OLD_AFTER * alerts.every_s + alerts.timeout_s:
        return f"it has not answered since {answer.at:%H:%M:%S} UTC"
    return answer.trouble or "; ".join(answer.firing)


def kept(before: Sequence[Hold], holds: Sequence[Hold]) -> tuple[Hold, ...]:
    """The holds, each with the time since when it has held under whatever words."""
    since = {hold.by: hold.since for hold in before}
    return tuple(h.model_copy(update={"since": since.get(h.by, h.since)}) for h in holds)
