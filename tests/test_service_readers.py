"""Reading what has changed alone gives what reading all of it gives."""

from __future__ import annotations

import gc
import random
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from agents.wire import Wanted
from scheduler.book import Book
from scheduler.rollout import ENDED
from scheduler.service.book_reader import BookReader
from scheduler.service.fleet_reader import FleetReader, FleetView, GuestIndex
from scheduler.service.memory import tidy
from tests.redis_fleet import RedisFleet
from tests.service_kit import begun, small_fleet


def told(book: Book) -> dict[str, Any]:
    """All that a Book knows, in an order of its own; empty entries say nothing."""
    found = {}
    for name, value in vars(book).items():
        if isinstance(value, dict):
            rows = {key: sorted(v) if isinstance(v, list) else v for key, v in value.items() if v}
            value = {key: rows[key] for key in sorted(rows)}
        found[name] = value
    return found


@pytest.fixture
def played(redis_client: redis.Redis) -> RedisFleet:
    """A rollout that has to be planned anew: a guest refuses, another one crashes."""
    faults = {"g1": "crashes", "g2": "refuses"}
    made = RedisFleet(redis_client, small_fleet(), faults=faults)
    begun(made)
    return made


def test_a_rollout_that_is_followed_is_always_the_one_in_the_store(played: RedisFleet) -> None:
    reader, controller = BookReader(played.store, "xsa-1"), played.controller()
    every, third = BookReader(played.store, "xsa-1"), 0
    generations = set()
    while played.head().state not in ENDED and third < 3000:
        played.round(controller, 2.0)
        third += 1
        stored = told(played.store.book("xsa-1"))
        assert told(every.read()) == stored
        if third % 3 == 0:  # many changes at once
            assert told(reader.read()) == stored
        generations.add(stored["rollout"].generation)
    assert played.head().state in ENDED and len(generations) > 1


def test_a_book_that_was_handed_out_is_never_changed(played: RedisFleet) -> None:
    reader, controller = BookReader(played.store, "xsa-1"), played.controller()
    first = reader.read()
    kept = told(first)
    frozen = {name: str(value) for name, value in kept.items()}
    for _ in range(20):
        played.round(controller, 2.0)
        reader.read()
    assert {name: str(value) for name, value in told(first).items()} == frozen
    assert reader.read().rollout.version > first.rollout.version


def test_a_server_that_got_an_older_copy_back_is_believed(played: RedisFleet) -> None:
    reader, controller = BookReader(played.store, "xsa-1"), played.controller()
    for _ in range(10):
        played.round(controller, 2.0)
    names = [name for name in played.client.keys("xr:rollout:xsa-1*")]
    older = {name: played.client.dump(name) for name in names}
    for _ in range(10):
        played.round(controller, 2.0)
    newer = reader.read()
    for name, dumped in older.items():
        played.client.restore(name, 0, dumped, replace=True)  # type: ignore[arg-type]
    assert reader.read().rollout.version < newer.rollout.version
    assert told(reader.read()) == told(played.store.book("xsa-1"))


def test_guests_are_found_whatever_the_hosts_show_one_after_the_other() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    draw, index = random.Random(seed), GuestIndex()
    shown: dict[str, list[Any]] = {}
    sample = next(iter(_guests()))
    for _ in range(300):
        host = f"h{draw.randrange(5)}"
        names = draw.choices("abcdefgh", k=draw.randrange(5))
        shown[host] = [
            sample.model_copy(update={"name": name, "domid": number})
            for number, name in enumerate(names, draw.randrange(3))
        ]
        index.take(host, shown[host])
        pairs = [(name, guest) for name, guests in shown.items() for guest in guests]
        pairs.sort(key=lambda pair: (pair[1].name, pair[0], pair[1].domid))
        assert list(index.guests()) == pairs
        places: dict[str, tuple[int, ...]] = {}
        for place, (_, guest) in enumerate(pairs):
            places[guest.name] = (*places.get(guest.name, ()), place)
        assert index.where() == places


def _guests() -> Iterator[Any]:
    from tests.sim import Sim

    sim = Sim(small_fleet())
    return (guest for host in sim.hosts.values() for guest in sim.look(host).guests)


def fleet_told(view: FleetView) -> tuple[Any, ...]:
    return (view.hosts, view.reports, view.guests, view.where, view.owners, view.guest_owners)


def test_a_fleet_that_is_followed_is_always_the_one_that_was_reported(played: RedisFleet) -> None:
    followed, controller = FleetReader(played.store, played.clock), played.controller()
    view: FleetView | None = None
    for turn in range(40):
        played.mute = {"h1"} if turn % 2 else set()
        played.round(controller, 5.0)
        view = followed.read(view)
        assert fleet_told(view) == fleet_told(FleetReader(played.store, played.clock).read(None))
    assert view is not None and len(view.guests) >= 8
    smaller = played.sim.inventory.model_copy(update={"hosts": played.sim.inventory.hosts[:2]})
    played.store.apply_inventory(smaller.model_dump_json(by_alias=True).encode())
    view = followed.read(view)
    assert {host for host, _ in view.guests} <= {"h0", "h1"}
    assert view.hosts == ("h0", "h1")
    assert followed.read(view) is view
    played.want(Wanted.PAUSE)
    assert followed.read(view) is view


class Ring:
    """Something that holds itself."""

    def __init__(self) -> None:
        self.me = self


def test_the_collector_passes_over_what_has_lived_for_a_while_and_looks_in_the_end() -> None:
    try:
        old, ring = [[number] for number in range(1000)], Ring()
        gone = weakref.ref(ring)
        tidy(whole=False)
        assert gc.get_freeze_count() > len(old)
        del ring
        gc.collect()
        assert gone() is not None
        tidy(whole=True)
        assert gone() is None and gc.get_freeze_count() > len(old)
    finally:
        gc.unfreeze()
