"""What has to end before what: from a sequence of decisions to steps that are safe in any order.

The argument, for one host between two of its reboots: let m1, m2, .. be the moves into it in the
order of the sequence. Move mk needs enough of the moves out of the host to have ended that what
was there at first, plus m1 .. mk, less those, is within the limits. In any order that keeps this,
let mk be the last in the sequence of all that came in or are on their way: then at most m1 .. mk
are in, and what mk needed has left. So the limits hold at every moment, whatever the durations.
What comes in after a reboot needs the reboot, which needs every move off the host; and a guest's
moves need each other in turn. All needs point backwards in the sequence: there is no cycle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from planner.arrays import RESTART, Arrays
from planner.plan import StepKind
from planner.state import Action, Move


@dataclass(frozen=True, slots=True)
class WaveHosts:
    """The hosts of a wave in the order of the sequence; after a gate everything waits for them."""

    hosts: list[int]
    gate: bool


@dataclass(slots=True)
class Draft:
    """A step by numbers: `needs` are places in the list of drafts, `wave` counts from 0."""

    kind: StepKind
    wave: int
    needs: list[int]
    guest: int = -1
    source: int = -1
    destination: int = -1
    host: int = -1


@dataclass(slots=True)
class _Ledger:
    """What a host may hold at once since its last reboot: guests that left are not taken off."""

    mib: int
    vcpus: int
    outs: list[int] = field(default_factory=list)
    names: dict[int, list[int]] = field(default_factory=dict)
    out_of: dict[int, int] = field(default_factory=dict)
    reboot: int | None = None


class Drafting:
    """Turns a sequence into drafts."""

    def __init__(self, arrays: Arrays, waves: Sequence[WaveHosts]) -> None:
        self.arrays = arrays
        self.drafts: list[Draft] = []
        self._wave_of = {host: n for n, wave in enumerate(waves) for host in wave.hosts}
        self._gate_before = _gates_before(waves)
        self._gate_reboots: list[list[int]] = [[] for _ in waves]
        self._waves = waves
        self._ledgers: dict[int, _Ledger] = {}
        self._last_of: dict[int, int] = {}

    def run(self, sequence: Sequence[Action]) -> list[Draft]:
        """The drafts of all actions, in the order of the sequence."""
        for action in sequence:
            if isinstance(action, Move):
                self._move(action)
            else:
                self._reboot(action.host)
        return self.drafts

    def _add(self, draft: Draft) -> int:
        gate = self._gate_before[draft.wave]
        if gate is not None and all(self.drafts[n].wave <= gate for n in draft.needs):
            draft.needs.extend(self._gate_reboots[gate])
        self.drafts.append(draft)
        return len(self.drafts) - 1

    def _move(self, move: Move) -> None:
        arrays, guest = self.arrays, move.guest
        source, destination = self._ledger(move.source), self._ledger(move.destination)
        needs = self._departures(move, destination)
        if destination.reboot is not None:
            needs.add(destination.reboot)
        if guest in self._last_of:
            needs.add(self._last_of[guest])
        wave = self._wave_of.get(move.serves, 0)
        draft = Draft(StepKind.MOVE, wave, sorted(needs), guest, move.source, move.destination)
        step = self._add(draft)
        self._last_of[guest] = step
        source.outs.append(step)
        source.out_of[guest] = step
        destination.mib += arrays.guest_mib[guest]
        destination.vcpus += arrays.guest_vcpus[guest]
        for name in arrays.guest_apart[guest]:
            destination.names.setdefault(name, []).append(guest)

    def _departures(self, move: Move, ledger: _Ledger) -> set[int]:
        """The moves out of the destination whose room, or whose absence, this one counts on."""
        arrays, guest, host = self.arrays, move.guest, move.destination
        over_mib = ledger.mib + arrays.guest_mib[guest] - arrays.take_mib[host]
        over_vcpus = ledger.vcpus + arrays.guest_vcpus[guest] - arrays.limit_vcpus[host]
        needs: set[int] = set()
        for step in ledger.outs:
            if over_mib <= 0 and over_vcpus <= 0:
                break
            gone = self.drafts[step].guest
            over_mib -= arrays.guest_mib[gone]
            over_vcpus -= arrays.guest_vcpus[gone]
            needs.add(step)
        for name in arrays.guest_apart[guest]:
            mates = ledger.names.get(name, ())
            # A mate that is there to stay is there since before this plan: nothing to wait for.
            needs.update(ledger.out_of[mate] for mate in mates if mate in ledger.out_of)
        return needs

    def _reboot(self, host: int) -> None:
        wave = self._wave_of[host]
        ledger = self._ledger(host)
        kinds, guests = self.arrays.guest_kind, self.arrays.guests_of[host]
        restarts = [guest for guest in guests if kinds[guest] == RESTART]
        stops = [
            self._add(Draft(StepKind.STOP, wave, list(ledger.outs), guest, host=host))
            for guest in restarts
        ]
        needs = stops or list(ledger.outs)
        reboot = self._add(Draft(StepKind.REBOOT, wave, needs, host=host))
        if self._waves[wave].gate:
            self._gate_reboots[wave].append(reboot)
        for guest in restarts:
            self._add(Draft(StepKind.START, wave, [reboot], guest, host=host))
        self._ledgers[host] = self._opened(restarts, reboot)

    def _ledger(self, host: int) -> _Ledger:
        ledger = self._ledgers.get(host)
        if ledger is None:
            ledger = self._ledgers[host] = self._opened(self.arrays.guests_of[host], None)
        return ledger

    def _opened(self, guests: Sequence[int], reboot: int | None) -> _Ledger:
        arrays = self.arrays
        ledger = _Ledger(
            mib=sum(arrays.guest_mib[guest] for guest in guests),
            vcpus=sum(arrays.guest_vcpus[guest] for guest in guests),
            reboot=reboot,
        )
        for guest in guests:
            for name in arrays.guest_apart[guest]:
                ledger.names.setdefault(name, []).append(guest)
        return ledger


def _gates_before(waves: Sequence[WaveHosts]) -> list[int | None]:
    """For each wave, the last gated wave before it."""
    before: list[int | None] = []
    gate: int | None = None
    for number, wave in enumerate(waves):
        before.append(gate)
        if wave.gate:
            gate = number
    return before
