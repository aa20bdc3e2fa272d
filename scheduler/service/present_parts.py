"""Waves and hosts as a page shows them: what holds each, and what may be asked of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agents.wire import Wanted
from scheduler.progress import WaveView
from scheduler.rollout import ENDED, HostRecord, HostState
from scheduler.service.views import RolloutView
from scheduler.waves import PartWish, WaveRecord, WaveState

GOING = frozenset({WaveState.WAITING, WaveState.OPEN})
SAFE = frozenset({HostState.FIXED, HostState.UNAFFECTED, HostState.OPENED})


@dataclass(frozen=True)
class WaveRow:
    """A wave's counts, why it waits, and the buttons that make sense."""

    wave: WaveView
    word: str  # empty while nothing special is to be said
    why: str
    actions: tuple[str, ...]  # `pause`, `resume`, `approve`


def wave_rows(view: RolloutView, control: Mapping[str, str]) -> list[WaveRow]:
    """Every wave; a wish counts from the moment it is written, before it is taken up."""
    ended = view.progress.state in ENDED
    rows = []
    for wave in view.progress.waves:
        record = view.book.waves.get(wave.number)
        word, why = _word(record, _wish(control, f"wave:{wave.number}"))
        approved = f"approve:{wave.number}" in control
        actions = () if ended else _wave_actions(record, word, approved)
        rows.append(WaveRow(wave, word, why, actions))
    return rows


def _wish(control: Mapping[str, str], field: str) -> PartWish | None:
    raw = control.get(field)
    return PartWish.model_validate_json(raw) if raw else None


def _word(record: WaveRecord | None, wish: PartWish | None) -> tuple[str, str]:
    if wish is not None and wish.wanted is Wanted.PAUSE:
        return "paused", f"{wish.reason} (by {wish.by})"
    if wish is not None and wish.wanted is Wanted.ABORT:
        return "left out", f"{wish.reason} (by {wish.by})"
    if record is None:
        return "", ""
    holds = "; ".join(hold.reason for hold in record.holds)
    return ("waits" if holds else ""), holds


def _wave_actions(record: WaveRecord | None, word: str, approved: bool) -> tuple[str, ...]:
    if record is None or record.state not in GOING or word == "left out":
        return ()
    first = "resume" if word == "paused" else "pause"
    asks = record.state is WaveState.WAITING and record.approval is None and not approved
    asks = asks and not record.late  # a person's word about the class is what that waits for
    wanted = asks and any("approv" in hold.reason or "word" in hold.reason for hold in record.holds)
    return (first, "approve") if wanted else (first,)


@dataclass(frozen=True)
class HostPart:
    """What a person wants of a host right now, and the buttons that make sense."""

    word: str
    why: str
    actions: tuple[str, ...]  # `pause`, `resume`, `abort`


def host_part(view: RolloutView, record: HostRecord, control: Mapping[str, str]) -> HostPart:
    """One host of a rollout."""
    wish = _wish(control, f"host:{record.name}")
    if record.left_out is not None:
        return HostPart("left out", f"{record.left_out.reason} (by {record.left_out.by})", ())
    word, why = _word(None, wish)
    if view.progress.state in ENDED or word == "left out" or record.state in SAFE:
        return HostPart(word, why, ())
    first = "resume" if word == "paused" or record.paused is not None else "pause"
    return HostPart(word, why, (first, "abort"))
