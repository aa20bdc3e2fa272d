"""More seeds, or spare hosts, as what makes a deadline: really planned, and really played."""

from __future__ import annotations

import io
import json
from datetime import timedelta

import pytest
import redis
from rich.console import Console

from planner.evacuate import plan_rollout
from planner.options import PlanOptions
from scheduler.advisory import Advisory
from scheduler.fleet_left import fleet_left
from scheduler.fleet_view import fleet_from
from scheduler.forecast import Asked, Forecast, Remedy, finish, forecast
from scheduler.forecast_runs import Chance, ends
from scheduler.forecast_seeds import more_seeds, seeds_left, works_of_plan
from scheduler.forecast_speeds import AS_PLANNED
from scheduler.forecast_works import ceilings, works_of
from scheduler.gates import GatePolicy
from scheduler.service.seed_advice import KEEP_S, SeedAdvice
from scheduler.show_forecast import render
from scheduler.store import Store
from tests.make import fleet, guest, host
from tests.redis_fleet import RedisFleet
from tests.sim import NEW, Sim
from tests.waiting import until

TWO_MORE = 0.765
"""A share of the time without more seeds: with two more it takes 0.71 of it, with one 0.82."""


def full_fleet(**sim: object) -> Sim:
    """Thirty hosts, three quarters full, one seed: hosts wait for one another."""
    hosts = [host(f"h{n}", gib=32, cpus=64) for n in range(30)]
    guests = [guest(f"g{n}", f"h{n % 30}", gib=3) for n in range(240)]
    policy = {"canary_hosts": 1, "gates": "canary", "max_hosts_away": 10, "extra_moves": 0.0}
    return Sim(fleet(hosts, guests, **policy), **sim)  # type: ignore[arg-type]


def late(played: Sim, share: float) -> Forecast:
    """Its forecast with a deadline at this share of its p90."""
    said = forecast(played.book, played.now, Asked(runs=100))
    due = played.now + timedelta(seconds=said.p90_s * share)
    advisory = Advisory(id="XSA-1", fixed_builds=(NEW,), deadline=due)
    played.book.rollout = played.book.rollout.model_copy(update={"advisories": (advisory,)})
    return forecast(played.book, played.now, Asked(runs=100))


def searched(played: Sim, said: Forecast) -> tuple[Remedy, ...]:
    works, limits = works_of(played.book, played.now), ceilings(played.book.rollout)
    return more_seeds(played.book, played.announced.fleet or b"{}", works, limits, said)


def test_the_seeds_of_a_plan_are_the_hosts_that_it_empties_onto_hosts_still_to_reboot() -> None:
    played = full_fleet()
    assert seeds_left(played.book) == 1
    played.run(until_s=2500)
    assert seeds_left(played.book) == 0, "it is back by now"


def test_the_fewest_more_seeds_that_make_the_deadline_are_told_with_their_price() -> None:
    played = full_fleet()
    said = late(played, TWO_MORE)
    (found,) = searched(played, said)
    assert found.change == "2 more seeds (1 -> 3 hosts emptied at the start): 14 moves more"
    assert found.in_time and found.p90_s < said.p90_s * TWO_MORE
    assert found.gain_p90_s == pytest.approx(said.p90_s - found.p90_s, rel=0.1)
    assert found.late_hosts == 0
    easier = late(played, 0.9)
    (one,) = searched(played, easier)
    assert one.change.startswith("1 more seed (1 -> 2 hosts")


def test_what_is_told_is_what_such_a_plan_takes() -> None:
    played = full_fleet()
    (found,) = searched(played, late(played, TWO_MORE))
    wide = fleet_from(played.announced.fleet or b"{}")
    plan = plan_rollout(wide, "0" * 64, PlanOptions(seed_hosts=3, time_limit_s=0))
    exact = ends(
        works_of_plan(wide, plan),
        ceilings(played.book.rollout),
        AS_PLANNED,
        Chance(seed=1, runs=1),
    )
    assert float(finish(exact, 1)[0]) == pytest.approx(plan.summary.makespan_s)
    assert found.p50_s == pytest.approx(plan.summary.makespan_s, rel=0.35)
    assert plan.summary.moves - played.planned.plan.summary.moves == 14


def test_where_seeds_are_not_enough_spare_hosts_are_told_too() -> None:
    played = full_fleet()
    seeds, spares = searched(played, late(played, 0.5))
    assert not seeds.in_time and "more seeds" in seeds.change
    assert spares.in_time and "more spare hosts, empty and fixed, like h9" in spares.change
    assert spares.p90_s < seeds.p90_s


def test_what_soak_times_take_is_no_gain_of_seeds() -> None:
    plain, soaked = full_fleet(), full_fleet(gates=GatePolicy(soak_s=1800))
    bare = late(plain, TWO_MORE)
    longer = forecast(soaked.book, soaked.now, Asked(runs=100)).p90_s
    assert longer == pytest.approx(bare.p90_s + 1800, rel=0.05)
    said = late(soaked, (bare.p90_s * TWO_MORE + 1800) / longer)
    (without,), (two,) = searched(plain, bare), searched(soaked, said)
    assert two.change == without.change
    assert two.gain_p90_s == pytest.approx(without.gain_p90_s, rel=0.01)
    assert two.p90_s == pytest.approx(said.p90_s - two.gain_p90_s)


def test_a_deadline_that_nothing_makes_gets_the_best_there_is_and_no_promise() -> None:
    played = full_fleet()
    found = searched(played, late(played, 0.01))
    assert found and not any(one.in_time for one in found)
    assert all(one.late_hosts == 30 for one in found)


def test_nothing_is_searched_for_where_the_deadline_is_met_or_there_is_none() -> None:
    played = full_fleet()
    assert searched(played, forecast(played.book, played.now, Asked(runs=100))) == ()
    assert searched(played, late(played, 1.5)) == ()


@pytest.mark.parametrize("after_s", [0, 500, 1500, 3000])
def test_half_way_the_fleet_that_is_planned_on_is_the_one_that_is_left(after_s: float) -> None:
    played = full_fleet()
    played.run(until_s=after_s)
    left = fleet_left(played.book, json.loads(played.announced.fleet or b"{}"))
    planned = fleet_from(json.dumps(left).encode())
    flying = {step.guest for step in played.book.running()}
    seen = {name: h.name for h in played.hosts.values() for name in h.domains}
    for one in planned.guests:
        assert one.name in flying or seen[one.name] == one.host
    away = {step.host for step in played.book.running()}
    for known in planned.hosts:
        sim = played.hosts[known.name]
        assert known.name in away or known.reboot == (sim.build != NEW)
    if after_s:
        assert any(not known.reboot for known in planned.hosts)


def test_half_way_more_seeds_are_searched_for_among_what_is_left() -> None:
    played = full_fleet()
    played.run(until_s=1500)
    said = late(played, 0.8)
    found = searched(played, said)
    assert found
    assert all(one.p90_s > 0 for one in found)


def test_guests_that_crashed_or_cannot_be_moved_and_hosts_left_out_are_taken_as_they_are() -> None:
    played = full_fleet()
    document = json.loads(played.announced.fleet or b"{}")
    book = played.book
    first, second = "g0", "g1"
    gone = book.guest(first, "h0").model_copy(update={"crashed": True})
    stuck = book.guest(second, "h1").model_copy(update={"evacuation": "give_up"})
    book.guests |= {first: gone, second: stuck}
    book.hosts["h5"] = book.hosts["h5"].model_copy(update={"lost": True})
    left = fleet_left(book, document)
    rows = {row["name"]: row for row in left["guests"]}
    assert first not in rows and rows[second]["evacuation"] == "hold"
    assert "h5" not in {row["name"] for row in left["hosts"]}
    assert not [row for row in left["guests"] if row["host"] == "h5"]
    fleet_from(json.dumps(left).encode())


def test_where_no_host_waits_for_a_reboot_any_more_no_spare_host_is_spoken_of() -> None:
    played = full_fleet()
    said = late(played, TWO_MORE)
    document = json.loads(played.announced.fleet or b"{}")
    for row in document["hosts"]:
        row["reboot"] = False  # only moves are left, as after a reboot of the last host
    works, limits = works_of(played.book, played.now), ceilings(played.book.rollout)
    assert more_seeds(played.book, json.dumps(document).encode(), works, limits, said) == ()


def test_a_table_shows_it_among_the_other_remedies() -> None:
    played = full_fleet()
    said = late(played, TWO_MORE)
    said = said.model_copy(update={"remedies": searched(played, said)})
    console = Console(width=160, file=io.StringIO())
    console.print(render(said))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "2 more seeds" in shown and "P90 EARLIER BY" in shown


class CountingStore(Store):
    """Counts how often somebody wants a fleet to plan on."""

    asked = 0

    def fleet_document(self, rollout_id: str, generation: int) -> bytes | None:
        self.asked += 1
        return super().fleet_document(rollout_id, generation)


def test_a_search_is_made_once_in_a_while_and_again_for_another_plan(
    redis_client: redis.Redis,
) -> None:
    played = full_fleet()
    store, now_s = CountingStore(redis_client, "test"), [0.0]
    on_server = RedisFleet(redis_client, played.fleet)
    rollout_id = on_server.begin().id
    said = late(played, TWO_MORE)
    played.book.rollout = played.book.rollout.model_copy(update={"id": rollout_id})
    advice = SeedAdvice(store, lambda: now_s[0], print, waits=True)
    assert advice.added(said, played.book).remedies[-1].change.startswith("2 more seeds")
    now_s[0] = KEEP_S - 1
    assert advice.added(said, played.book).remedies[-1].in_time
    assert store.asked == 1
    now_s[0] = KEEP_S + 1
    advice.added(said, played.book)
    assert store.asked == 2
    played.book.rollout = played.book.rollout.model_copy(update={"generation": 2})
    assert advice.added(said, played.book).remedies == (), "there is no plan 2 to look at"
    assert store.asked == 3
    fine = said.model_copy(update={"deadline": None})
    assert advice.added(fine, played.book) == fine


def test_a_service_does_not_wait_for_the_search_and_has_it_soon(redis_client: redis.Redis) -> None:
    played = full_fleet()
    rollout_id = RedisFleet(redis_client, played.fleet).begin().id
    said = late(played, TWO_MORE)
    played.book.rollout = played.book.rollout.model_copy(update={"id": rollout_id})
    advice = SeedAdvice(Store(redis_client, "test"), lambda: 0.0, print, waits=False)
    advice.added(said, played.book)
    until(lambda: bool(advice.added(said, played.book).remedies))
    assert advice.added(said, played.book).remedies[-1].in_time


@pytest.mark.parametrize("waits", [True, False])
def test_a_search_that_fails_is_logged_once_and_the_forecast_stands_without_it(
    redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    played, now_s, log = full_fleet(), [0.0], list[str]()
    rollout_id = RedisFleet(redis_client, played.fleet).begin().id
    said = late(played, TWO_MORE)
    played.book.rollout = played.book.rollout.model_copy(update={"id": rollout_id})
    monkeypatch.setattr("scheduler.service.seed_advice.more_seeds", _fails)
    advice = SeedAdvice(Store(redis_client, "test"), lambda: now_s[0], log.append, waits=waits)
    assert advice.added(said, played.book) == said
    until(lambda: log, "a word about it")
    until(lambda: not advice._searching.locked(), "the end of the search")
    assert advice.added(said, played.book) == said
    assert log == ["more seeds could not be searched for: ValueError: no such plan"]
    now_s[0] = KEEP_S
    advice.added(said, played.book)
    until(lambda: len(log) == 2, "the next search")


def _fails(*given: object) -> tuple[Remedy, ...]:
    raise ValueError("no such plan")
