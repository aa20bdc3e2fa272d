"""How long a guest stood still in a move: bounds that the truth is never outside of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from agents import blackout
from agents.blackout import ARRIVED, PERMISSION, RUNS_THERE, Blackout, Watch
from agents.journal import Journal, keep_watch, watch_of
from agents.watch_move import MoveWatch
from agents.wire import Kind, Order
from scheduler.blackouts import blackouts
from scheduler.rollout import Step, StepState
from scheduler.standin import faults, ledger
from scheduler.standin.fault_table import clear, inject
from tests.agents_dom0 import Dom0
from tests.agents_kit import domain
from tests.agents_pair import Pair
from tests.waiting import until

RECORDED = Path(__file__).parent / "xl_output/xen-4.17"


@pytest.mark.parametrize("name", ["migrate-ok-1-B-to-A", "migrate-ok-disk-A-to-B"])
def test_the_messages_of_a_real_migration_tell_the_moments(name: str) -> None:
    said = (RECORDED / f"{name}.err").read_text()
    assert PERMISSION in said
    assert all(one in said for one in (*ARRIVED, *RUNS_THERE))
    assert said.index(PERMISSION) > max(said.index(one) for one in ARRIVED)
    assert said.index(PERMISSION) < min(said.index(one) for one in RUNS_THERE)


@pytest.mark.parametrize(
    "name", [path.name for path in sorted(RECORDED.glob("migrate-fail-*.err"))]
)
def test_no_real_migration_that_failed_says_that_the_guest_runs_there(name: str) -> None:
    said = (RECORDED / name).read_text(errors="replace")
    assert not any(one in said for one in RUNS_THERE)


# A move as it is: (stops, permission, runs), and looks at any moments whatever.
Moments = st.lists(st.floats(0.0, 100.0), min_size=3, max_size=3, unique=True).map(sorted)
Looks = st.lists(st.tuples(st.booleans(), st.floats(0.0, 120.0), st.floats(0.0, 5.0)), max_size=40)


@given(moments=Moments, looks=Looks, end_s=st.floats(101.0, 130.0))
def test_the_truth_is_never_outside_of_the_bounds(
    moments: list[float], looks: list[tuple[bool, float, float]], end_s: float
) -> None:
    stops_s, _, runs_s = moments
    watch = Watch(ran_s=0.0, looked_s=0.0)
    for asks, from_s, takes_s in sorted(looks, key=lambda look: look[1]):
        if asks and from_s < runs_s:
            # What a question shows was true at some moment between its two ends: take the middle.
            suspended = from_s + takes_s / 2 >= stops_s
            watch = blackout.shown(watch, suspended, from_s, from_s + takes_s)
        elif not asks:
            watch = blackout.heard(watch, said_by(from_s, *moments), from_s, from_s + takes_s)
    watch = blackout.heard(watch, said_by(end_s, *moments), end_s, end_s)
    found = blackout.blackout(watch)
    assert found is not None
    slack_s = 0.0011  # bounds are in whole milliseconds
    assert found.at_least_s <= runs_s - stops_s + slack_s
    assert found.at_most_s >= runs_s - stops_s - slack_s


def said_by(at_s: float, stops_s: float, permission_s: float, runs_s: float) -> str:
    """What xl has said by a moment; that all has arrived, and that it runs, a little later."""
    lines = ["migration target: Ready to receive domain."]
    lines += [ARRIVED[0]] if at_s > (stops_s + permission_s) / 2 else []
    lines += [PERMISSION] if at_s >= permission_s else []
    lines += [RUNS_THERE[0]] if at_s > runs_s else []
    return "\n".join(lines)


def test_what_nobody_watched_has_no_figure() -> None:
    assert blackout.blackout(Watch()) is None
    assert blackout.blackout(Watch(began_s=9.0)) is None, "not seen to run before"
    assert blackout.blackout(Watch(ran_s=1.0)) is None, "not seen to run after"


def test_a_worker_that_takes_over_at_once_goes_on_and_one_that_comes_late_forgets() -> None:
    watch = Watch(ran_s=10.0, stood_s=12.0, waited_s=13.0, looked_s=13.0)
    assert blackout.taken_up(watch, 14.0) == watch
    late = blackout.taken_up(watch, 60.0)
    assert late == Watch(stood_s=12.0, looked_s=60.0)
    assert blackout.blackout(blackout.heard(late, RUNS_THERE[0], 61.0, 61.0)) is None


def test_a_guest_that_was_resumed_at_its_source_has_no_later_beginning() -> None:
    watch = blackout.shown(Watch(ran_s=1.0), True, 4.0, 5.0)
    watch = blackout.shown(watch, False, 8.0, 9.0)
    assert (watch.ran_s, watch.stood_s) == (1.0, 5.0)


ORDER = {
    "attempt_id": "r1-s1-a1",
    "rollout_id": "r1",
    "step_id": "s1",
    "epoch": 1,
    "kind": Kind.MOVE,
    "host": "n1",
    "guest": "db",
    "guest_uuid": domain("db").uuid,
    "guest_memory_mib": 64,
    "destination": "n2",
    "destination_address": "n2",
}


class Ticking:
    """A clock that goes on by a second with every question."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 1.0
        return self.now_s


@pytest.fixture
def watched(tmp_path: Path) -> tuple[Dom0, Path, MoveWatch]:
    dom0 = Dom0(tmp_path, watch_far_s=2.0, watch_near_s=0.5)
    dom0.shows(domain("db"))
    order = Order.model_validate(ORDER)
    directory = Journal(dom0.settings.state).record(order)
    return dom0, directory, MoveWatch(dom0.settings, order, directory, 0.0, Ticking())


def looks(watch: MoveWatch, number: int) -> None:
    for _ in range(number):
        watch.look()


def test_it_asks_xl_while_the_guest_runs_and_no_more_once_it_stands(
    watched: tuple[Dom0, Path, MoveWatch],
) -> None:
    dom0, directory, watch = watched
    looks(watch, 4)
    assert dom0.calls("list") and (watch_of(directory).ran_s or 0.0) > 0
    dom0.shows(domain("db", state="---ss-"))
    looks(watch, 4)
    asked = len(dom0.calls("list"))
    assert watch_of(directory).stood_s is not None
    looks(watch, 4)
    assert len(dom0.calls("list")) == asked


def test_an_xl_that_shows_nothing_only_widens_the_bounds(
    watched: tuple[Dom0, Path, MoveWatch],
) -> None:
    dom0, directory, watch = watched
    dom0.program("xl", "echo cannot >&2; exit 1")
    looks(watch, 5)
    (directory / "err.log").write_text("\n".join((ARRIVED[0], PERMISSION, RUNS_THERE[0])))
    watch.look()
    found = blackout.blackout(watch_of(directory))
    assert found is not None and found.at_least_s == 0 and found.at_most_s > 5


def test_a_journal_that_cannot_be_written_ends_the_watch_and_nothing_else(
    watched: tuple[Dom0, Path, MoveWatch],
) -> None:
    _, directory, watch = watched
    (directory / "order.json").unlink()
    directory.rmdir()
    looks(watch, 5)
    assert not directory.exists()


def test_a_file_of_another_age_is_as_good_as_none(tmp_path: Path) -> None:
    keep_watch(tmp_path, Watch(ran_s=1.0))
    assert watch_of(tmp_path) == Watch(ran_s=1.0)
    (tmp_path / "watch.json").write_text(json.dumps({"unknown": 1}))
    assert watch_of(tmp_path) == Watch()
    assert watch_of(tmp_path / "nowhere") == Watch()


@pytest.mark.slow
def test_a_move_by_the_stand_in_stood_still_for_as_long_as_its_hypervisors_say(
    tmp_path: Path, redis_client: redis.Redis
) -> None:
    """The guest is held while it is suspended until the watch has seen it; the ledger of both
    hypervisors, and the time that it is held, tell the truth."""
    import threading

    pair = Pair(tmp_path, redis_client, speed=4.0, watch_far_s=0.05, watch_near_s=0.05)
    inject(pair.world, "db", "hold-suspended", count=1)
    order = pair.order(Kind.MOVE, "n1", destination="n2", destination_address="n2")
    directory = Journal(pair.settings["n1"].state).directory(order.attempt_id)

    def let_go() -> None:
        until(lambda: bool(faults.held(pair.world, "db", "suspended")), "the guest is suspended")
        until(lambda: watch_of(directory).stood_s is not None, "the watch has seen it")
        clear(pair.world, "db")

    other = threading.Thread(target=let_go)
    other.start()
    attempt = pair.runs(order)
    other.join()
    assert attempt.blackout is not None and pair.where() == ["n2"]
    past = [e for e in ledger.events(pair.world) if e.get("uuid") == pair.uuid]
    stops = next(e["t"] for e in past if e["event"] == "stops")
    runs = next(e["t"] for e in past if e["event"] == "runs" and e["t"] > stops)
    clocks_s = 0.05  # the ledger's clock is not the one that only grows
    assert attempt.blackout.at_least_s <= runs - stops + clocks_s
    assert attempt.blackout.at_most_s >= runs - stops - clocks_s
    assert attempt.blackout.at_most_s >= pair.world.settings["downtime_s"] / 4.0
    verdict = pair.settles(order, attempt)
    assert verdict.blackout == attempt.blackout


def test_what_is_no_move_is_not_watched(tmp_path: Path) -> None:
    dom0 = Dom0(tmp_path)
    dom0.shows(domain("db"))
    from agents import watch_move

    order = Order.model_validate(ORDER | {"kind": Kind.STOP})
    Journal(dom0.settings.state).record(order)
    found = watch_move.of(dom0.settings, Journal(dom0.settings.state), order.attempt_id, 0.0)
    assert found is None


def moved(name: str, *bounds: float) -> Step:
    seen = Blackout(at_least_s=bounds[0], at_most_s=bounds[1]) if bounds else None
    return Step(
        id=f"s-{name}",
        generation=1,
        kind=Kind.MOVE,
        wave=1,
        needs=(),
        host="n1",
        guest=name,
        state=StepState.DONE,
        outcome="moved",
        blackout=seen,
    )


def test_a_rollout_adds_them_up_by_their_upper_bounds() -> None:
    steps = [moved("a", 0.1, 0.4), moved("b", 2.0, 5.5), moved("c", 0.0, 0.2), moved("d")]
    found = blackouts(steps)
    assert (found.moves, found.unknown, found.half_at_most_s) == (3, 1, 0.4)
    assert (found.longest_guest, found.longest_at_least_s, found.longest_at_most_s) == (
        "b",
        2.0,
        5.5,
    )
    assert str(found) == ("half of 3 at most 0.4 s, the longest 2.0 to 5.5 s (b); 1 not measured")
    assert str(blackouts([moved("d")])) == "not measured"


def test_a_step_that_an_older_controller_wrote_has_none() -> None:
    fields = json.loads(moved("a", 1, 2).model_dump_json())
    for name in ("blackout", "suspended_since", "suspended_alarm"):
        del fields[name]
    old = Step.model_validate(fields)
    assert old.blackout is None and old.suspended_since is None and not old.suspended_alarm
