"""In what the end of a story differs from what it expects, and from what must always hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import cast

from agents.keys import keys
from scheduler.advisory import Exposure, standing
from scheduler.book import Book
from scheduler.closed import closed_hosts
from scheduler.crash_views import crash_compare
from scheduler.holds import HeldView, holds
from scheduler.rollout import ENDED, HostState, RolloutState
from scheduler.watch_store import WatchStore
from tests.sim import NEW
from tests.stories import Expected, Held
from tests.story_log import KINDS, fits, missing_line, told
from tests.story_player import Player

SAFE = frozenset({Exposure.FIXED, Exposure.LIVEPATCHED, Exposure.NOT_AFFECTED})

COMPARED_DAYS = 90


def complaints(player: Player) -> list[str]:
    """All of it, a line each."""
    book, expected = player.book(), player.story.expected
    found = list(always(player, book))
    if expected is None:
        return found
    found += [*_rollout(player, book, expected), *_lines(player, expected)]
    found += _watched(player, expected)
    found += [*_hosts(player, book, expected), *_guests(player, book, expected)]
    return found + _not_as_told(player)


def _rollout(player: Player, book: Book, expected: Expected) -> Iterator[str]:
    rollout = book.rollout
    if rollout.state != expected.state:
        yield f"it ended {rollout.state}: {rollout.hold}"
    if expected.hold and expected.hold not in (rollout.hold.reason if rollout.hold else ""):
        yield f"held by {rollout.hold}"
    held = holds(book)
    for what, wanted in expected.holds.items():
        found = [one for one in held if one.what == what]
        if not any(_as_told(player, hold, wanted) for hold in found):
            yield f"{what} is held by {found}"
    if sorted(rollout.quarantined) != sorted(expected.quarantined):
        yield f"quarantined: {rollout.quarantined}"


def _as_told(player: Player, one: HeldView, wanted: Held) -> bool:
    for_s = (player.played.clock.now() - one.since).total_seconds()
    right = wanted.reason in one.reason and wanted.by in ("", one.by)
    return right and for_s >= wanted.at_least_s


def _watched(player: Player, expected: Expected) -> Iterator[str]:
    """What the watch over guests said, and what it comes to."""
    store, now = WatchStore(player.played.client, "judge"), player.played.clock.now()
    lines = [told(one) for one in store.events(500)]
    if (missing := missing_line(lines, expected.watched)) is not None:
        yield f"the watch: {missing}"
    if expected.compared:
        said = crash_compare(store, now, COMPARED_DAYS, confidence=0.95, with_unknown=False)
        if expected.compared not in said.words:
            yield f"compared: {said.words}"


def _lines(player: Player, expected: Expected) -> Iterator[str]:
    missing = missing_line(player.log, expected.log)
    if missing:
        yield missing
    for line in player.log:
        if any(fits(line.text, never) for never in expected.never):
            yield f"line: {line.text}"
        kind = line.text.partition(":")[0]
        if kind not in KINDS:
            yield f'tests.story_log.KINDS does not know "{kind}"'


def _not_as_told(player: Player) -> list[str]:
    """Deeds that nothing set off, and words of people that were taken otherwise."""
    late = [deed for _, deed, _ in player.due] + [d for d in player.todo if not d.every]
    return player.hand.odd + [
        f"it never came to: {d.model_dump(exclude_defaults=True)}" for d in late
    ]


def _hosts(player: Player, book: Book, expected: Expected) -> Iterator[str]:
    states = {name: record.state for name, record in book.hosts.items()}
    fixed = {name for name, state in states.items() if state is HostState.FIXED}
    left = {*expected.blocked, *expected.opened}
    wanted = set(book.hosts) - left if expected.fixed == "all" else set(expected.fixed)
    if fixed != wanted:
        yield f"fixed: {sorted(fixed)}"
    rebooted = Counter({h.name: h.boot - 1 for h in player.world.hosts.values() if h.boot > 1})
    if rebooted != Counter(wanted if expected.rebooted == "fixed" else expected.rebooted):
        yield f"rebooted: {dict(rebooted)}"
    waiting = {name for name, state in states.items() if state is HostState.WAITING}
    if not set(expected.waiting) <= waiting:
        yield f"waiting: {sorted(waiting)}"
    closed = {name for name, record in book.hosts.items() if record.closed}
    if not set(expected.closed) <= closed:
        yield f"closed: {sorted(closed)}"
    yield from _reasons(book, HostState.BLOCKED, expected.blocked)
    yield from _reasons(book, HostState.OPENED, expected.opened)
    yield from _shown(player, expected)


def _reasons(book: Book, state: HostState, expected: dict[str, str]) -> Iterator[str]:
    found = {name: h.reason for name, h in book.hosts.items() if h.state is state}
    ended = book.rollout.state is RolloutState.ABORTED  # opens what was closed, without a reason
    more = set(found) - set(expected) if not (ended and state is HostState.OPENED) else set()
    if more or set(expected) - set(found):
        yield f"{state}: {found}"
    for name, part in expected.items():
        if name in found and part not in found[name]:
            yield f"{name} is {state}: {found[name]}"


def _shown(player: Player, expected: Expected) -> Iterator[str]:
    for name, wanted in expected.livepatches.items():
        applied = list(player.world.hosts[name].livepatches)
        if applied != wanted:
            yield f"live patches on {name}: {applied}"
    for name, stages in expected.hooks.items():
        ran = [line.split()[0] for line in player.around.ran if line.endswith(f" {name}")]
        if ran != stages:
            yield f"hooks of {name}: {ran}"


def _guests(player: Player, book: Book, expected: Expected) -> Iterator[str]:
    world = player.world
    runs = Counter(
        name
        for host in world.hosts.values()
        for name, domain in host.domains.items()
        if name in world.guests and domain.state[3:5] not in ("sc", "ss")
    )
    wanted = Counter(set(world.guests) - set(expected.gone)) + Counter(expected.twice)
    if runs != wanted:
        yield f"guests: {dict((wanted - runs) or (runs - wanted))} differ"
    restarted = {g.name for g in book.guests.values() if g.restarts}
    if restarted != set(expected.restarted):
        yield f"restarted: {sorted(restarted)}"
    crashed = {g.name for g in book.guests.values() if g.crashed}
    if expected.crashed is not None and crashed != set(expected.crashed):
        yield f"crashed: {sorted(crashed)}"


def always(player: Player, book: Book) -> Iterator[str]:
    """What no story may come to, seen from outside: on the hosts and in the server."""
    yield from player.world.wrongs
    if book.rollout.state in ENDED:
        yield from _given_free(player, book)
        yield from _honest(player, book)
    elif book.rollout.state is RolloutState.STOPPED and book.rollout.hold is None:
        yield "it is stopped, and nothing says why"


def _given_free(player: Player, book: Book) -> Iterator[str]:
    """Nothing is left closed, owned, ordered or claimed without a rollout."""
    yield from (f"{host.name} is still closed" for host in book.hosts.values() if host.closed)
    client = player.played.client
    yield from (f"{one.host} is still closed in the server" for one in closed_hosts(client))
    yield from (f"{host} is still owned" for host in player.played.store.owners())
    for host in book.hosts:
        left = {
            "order": keys.orders,
            "claim": keys.claims,
            "notice": keys.notices,
            "mark": keys.brief,
        }
        for word, key in left.items():
            names = cast("list[bytes]", client.hkeys(key(host)))
            yield from (f"{host} still has the {word} {name.decode()}" for name in names)
    down = [g.name for g in book.guests.values() if g.down]
    if down:
        yield f"shut down and not started again: {down}"


def _honest(player: Player, book: Book) -> Iterator[str]:
    """Its end says what is so: no host is exposed but those that it names with a reason."""
    for name, record in book.hosts.items():
        safe = _is_safe(player, book, name)
        if record.state is HostState.FIXED and not safe:
            yield f"{name} is said to be fixed, and is not"
        named = record.state in (HostState.BLOCKED, HostState.OPENED) and record.reason
        if book.rollout.state is RolloutState.DONE and not safe and not named:
            yield f"it is said to be done, and {name} ({record.state}) is not safe"


def _is_safe(player: Player, book: Book, name: str) -> bool:
    host = player.world.hosts[name]
    if not book.rollout.advisories:
        return host.build == NEW
    report = player.world.look(host)
    return all(
        standing(one, report, whatever_it_carries=True).exposure in SAFE
        for one in book.rollout.advisories
    )
