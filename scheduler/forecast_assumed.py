"""What a forecast takes to go on at once, as nobody can tell when it will: people, alerts. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from scheduler.book import Book
from scheduler.outlook import Assumed
from scheduler.rollout import ENDED, HostRecord, RolloutState
from scheduler.wave_holds import BACK, LIVE
from scheduler.waves import Hold, WaveRecord, WaveState

LISTED = 3
IF = {
    "resume": "resumed",
    "approval": "approved",
    "alerts": "alerts clear",
    "report": "silent hosts report",
}
"""What is waited for -> what a forecast takes to happen now, in short."""


def assumed(book: Book) -> tuple[Assumed, ...]:
    """Everything that a forecast of this rollout assumes, the rollout's own first."""
    if book.rollout.state in ENDED:
        return ()
    waves = [wave for _, wave in sorted(book.waves.items()) if _counts(book, wave)]
    hosts = [book.hosts[name] for name in sorted(book.hosts)]
    hosts = [host for host in hosts if host.state not in BACK and not host.left_out]
    of_waves = (_approvals(book, waves), _late(waves), _paused(waves), _alerts(waves))
    return tuple(chain(_rollout(book), *of_waves, _hosts(hosts), _hooks(book)))


def in_short(assuming: Sequence[Assumed]) -> str:
    """The same in a few words: `if resumed and approved now`; empty: nothing has to happen."""
    awaited = {one.waits_for for one in assuming}
    words = [word for what, word in IF.items() if what in awaited]
    return f"if {' and '.join(words)} now" if words else ""


def _counts(book: Book, wave: WaveRecord) -> bool:
    return wave.state in LIVE and any(book.hosts[name].state not in BACK for name in wave.hosts)


def _rollout(book: Book) -> Iterator[Assumed]:
    hold = book.rollout.hold
    by = f" by {hold.by}, {hold.since:%Y-%m-%d %H:%M} UTC" if hold else ""
    if book.rollout.state is RolloutState.AWAITING:
        text = "the rollout waits for a person to let it begin; assuming approval now"
        yield Assumed(what="rollout", waits_for="approval", text=text)
    elif book.rollout.state is RolloutState.PAUSED:
        text = f"the rollout is paused{by}; its end cannot be told while paused; {_RESUMED}"
        yield Assumed(what="rollout", waits_for="resume", text=text)
    elif book.rollout.state is RolloutState.STOPPED:
        text = f"the rollout is stopped{by}; its end cannot be told while stopped; {_RESUMED}"
        yield Assumed(what="rollout", waits_for="resume", text=text)
    elif book.rollout.state is RolloutState.REPLANNING:
        text = "the rest is being planned anew; told by the plan so far"
        yield Assumed(what="rollout", waits_for="plan", text=text)


_RESUMED = "assuming that it is resumed now"


def _approvals(book: Book, waves: Sequence[WaveRecord]) -> Iterator[Assumed]:
    if not book.rollout.gates.approval:
        return
    missing = [w for w in waves if w.state is WaveState.WAITING and w.behind is not None]
    missing = [wave for wave in missing if wave.approval is None and not wave.late]
    if missing:
        what = _named("wave", [str(wave.number) for wave in missing])
        text = f"{what} {'needs' if len(missing) == 1 else 'need'} approval; assuming approval now"
        yield Assumed(what=what, waits_for="approval", text=text)


def _late(waves: Sequence[WaveRecord]) -> Iterator[Assumed]:
    for wave in waves:
        if wave.late:
            what = f"wave {wave.number}"
            text = f"{what} waits for quarantined classes; what is to be done there is not in these"
            yield Assumed(what=what, waits_for="release", text=f"{text} times")


def _paused(waves: Sequence[WaveRecord]) -> Iterator[Assumed]:
    for wave in waves:
        if wave.paused:
            yield _held(f"wave {wave.number}", "paused", wave.paused)


def _held(what: str, how: str, hold: Hold) -> Assumed:
    since = f"{hold.since:%Y-%m-%d %H:%M} UTC"
    text = f"{what} is {how} by {hold.by}, {since}; its end cannot be told while {how}; {_RESUMED}"
    return Assumed(what=what, waits_for="resume", text=text)


def _alerts(waves: Sequence[WaveRecord]) -> Iterator[Assumed]:
    sources = {hold.by for wave in waves for hold in wave.holds if hold.by.startswith("alerts ")}
    held = [str(w.number) for w in waves if any(hold.by in sources for hold in w.holds)]
    if held:
        what = _named("wave", held)
        by = ", ".join(sorted(sources))
        text = f"{by} {'holds' if len(sources) == 1 else 'hold'} {what}; assuming clear from now on"
        yield Assumed(what=what, waits_for="alerts", text=text)


def _hosts(hosts: Sequence[HostRecord]) -> Iterator[Assumed]:
    held = [(host.name, "paused", host.paused) for host in hosts if host.paused]
    held += [(host.name, "stopped", host.stopped) for host in hosts if host.stopped]
    for name, how, hold in held[:LISTED]:
        yield _held(f"host {name}", how, hold)
    if len(held) > LISTED:
        what = f"{len(held) - LISTED} more hosts"
        text = f"{what} are paused or stopped; {_RESUMED}"
        yield Assumed(what=what, waits_for="resume", text=text)
    unheard = [host for host in hosts if host.silent and not host.expected_silent]
    yield from _unheard([one.name for one in unheard if not one.aside], "assuming a report now")
    aside = [one.name for one in unheard if one.aside]
    yield from _unheard(aside, "set aside: what is to be done there is not in these times")


def _unheard(names: Sequence[str], then: str) -> Iterator[Assumed]:
    if names:
        what = _named("host", names)
        text = f"{what} {'is' if len(names) == 1 else 'are'} silent; {then}"
        yield Assumed(what=what, waits_for="report", text=text)


def _hooks(book: Book) -> Iterator[Assumed]:
    if any(hook is not None for _, hook in book.rollout.gates.hooks):
        text = "hooks run for each host; assuming that each ends at once and says to go on"
        yield Assumed(what="rollout", waits_for="hooks", text=text)


def _named(kind: str, names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"{kind} {names[0]}"
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"{kind}s {', '.join(names[:LISTED])}{more}"
