"""The story of `make run`: set the stage, start a rollout as a person would, watch it, judge it."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
from redis.exceptions import RedisError
from rich.console import Console

from agents.wire import Wanted
from planner.fleet import Fleet, FleetError, load_fleet
from scheduler.demo.judge import Verdict, judge
from scheduler.demo.layout import Pace, Places, fixed_build, lay_out
from scheduler.demo.stage import Plot, Stage
from scheduler.demo.trouble import Trouble, arm, choose, mend
from scheduler.rollout import ENDED
from scheduler.show import Pictures, look
from scheduler.show_screen import duration

ADVISORY = "XSA-999"
BY_US = "make run was ended"
LAST_MOVES_S = 30.0
POLL_S = 0.1
DRAWN_EVERY_S = 0.4

CONTROLLER = {
    "XENROLL_TICK_S": "0.06",
    "XENROLL_LOOK_WAIT_S": "60",
    "XENROLL_LIMITS__STALE_AFTER_S": "30",
    "XENROLL_LIMITS__RETRY_BACKOFF_S": "1",
    "XENROLL_LIMITS__GATE_BACKOFF_S": "0.5",
    "XENROLL_LIMITS__HELD_LIMIT_S": "20",
    "XENROLL_LIMITS__SETTLE_LIMIT_S": "60",
    "XENROLL_LIMITS__REBOOT_LIMIT_S": "120",
}
"""The controller's patience, in real seconds, cut to a fleet whose time goes faster than ours."""

ROOM_FOR_A_CLASS = {"XENROLL_LIMITS__CRASH_BUDGET": "0.1"}
"""Where many are made to crash: their class is quarantined, and the rollout goes on without it."""


class DemoError(Exception):
    """It could not be tried; the text says why."""


@dataclass(frozen=True)
class Wish:
    """What was asked for on the command line."""

    places: Places
    fleet_file: Path
    speed: float
    resume: bool
    redis_url: str | None
    whole_class: bool = False  # a class of guests crashes, not only one of them


@dataclass(frozen=True)
class Memory:
    """What a resumed run has to know of the one before it."""

    speed: float
    trouble: Trouble
    redis_url: str | None

    def write(self, places: Places) -> None:
        """Keep it in the state directory."""
        record = {"speed": self.speed, "redis_url": self.redis_url, **self.trouble.record()}
        (places.state_dir / "run.json").write_text(json.dumps(record, indent=1) + "\n")

    @staticmethod
    def read(places: Places) -> Memory:
        """The run before this one. Raises DemoError."""
        kept = places.state_dir / "run.json"
        try:
            record = json.loads(kept.read_text())
            return Memory(record["speed"], Trouble.of(record), record["redis_url"])
        except FileNotFoundError:
            said = f"{places.state_dir} holds no run to go on with or to mend: make run begins one"
        except (ValueError, LookupError, TypeError) as error:
            said = f"{kept} is not what a run keeps ({error}): begin one anew"
        raise DemoError(said)


def run(wish: Wish) -> int:
    """Do it all; the exit code. Raises DemoError, ServerError, StageError."""
    console = Console()
    fleet, memory = _resumed(wish) if wish.resume else _fresh(wish)
    patience = CONTROLLER | (ROOM_FOR_A_CLASS if len(memory.trouble.crashing) > 1 else {})
    plot = Plot(wish.places, fleet, _pace(memory.speed), memory.redis_url, patience)
    with _ctrl_c_is_heard() as began_s, Stage(plot) as stage:
        try:
            rollout_id = _begin(stage, console, memory)
            _watch(stage, console, rollout_id)
        except KeyboardInterrupt:
            return _leave(stage, console)
        return _close(stage, console, rollout_id, memory, time.monotonic() - began_s)


@contextmanager
def _ctrl_c_is_heard() -> Iterator[float]:
    """The time it began; Ctrl-C on the way up or down ends it without a trace of ours."""
    try:
        yield time.monotonic()
    except KeyboardInterrupt:
        print("\nended; nothing runs any more", file=sys.stderr)
        raise SystemExit(130) from None


def mend_guests(places: Places) -> int:
    """Take the crashes away from the guests of a run; the exit code. Raises DemoError."""
    trouble = Memory.read(places).trouble
    mend(places.world, trouble)
    print(f"mended: {', '.join(trouble.crashing) or 'nobody'}")
    return 0


def _pace(speed: float) -> Pace:
    patience = {"stop_wait_s": 60.0, "reboot_linger_s": 60.0, "poll_s": 0.05, "least_gap_s": 0.05}
    return Pace(speed=speed, report_interval_s=10.0, workers=3, agent_settings=patience)


def _fresh(wish: Wish) -> tuple[Fleet, Memory]:
    try:
        document = wish.fleet_file.read_bytes()
        fleet = load_fleet(document)
    except OSError as error:
        raise DemoError(f"{wish.fleet_file}: {error.strerror}") from None
    except FleetError as error:
        raise DemoError(f"{wish.fleet_file}: {'; '.join(error.problems[:5])}") from None
    if wish.redis_url:
        _refuse_a_server_in_use(wish.redis_url)
    trouble = choose(fleet, wish.whole_class)
    memory = Memory(wish.speed, trouble, wish.redis_url)
    lay_out(wish.places, fleet, document, _pace(wish.speed), frozenset(trouble.refusing))
    arm(wish.places.world, trouble)
    memory.write(wish.places)
    return fleet, memory


def _refuse_a_server_in_use(url: str) -> None:
    """A demo must never write over the records of a real fleet. Raises DemoError."""
    try:
        with redis.Redis.from_url(url, socket_timeout=5) as client:
            if client.exists("xr:inventory", "xr:rollouts", "xr:owner"):
                raise DemoError(
                    f"the server at {url} already holds a fleet's records, which a simulated one "
                    "would write over: name an empty database, or unset XENROLL_REDIS_URL"
                )
    except (RedisError, ValueError):
        return  # whether it answers at all is found out, and said, when it is used


def _resumed(wish: Wish) -> tuple[Fleet, Memory]:
    memory = Memory.read(wish.places)
    return load_fleet(wish.places.fleet.read_bytes()), memory


def _begin(stage: Stage, console: Console, memory: Memory) -> str:
    """Bring the fleet up and start the rollout, or find the one under way; its id."""
    places = stage.plot.places
    console.print(
        f"{len(stage.plot.fleet.hosts)} hosts, {len(stage.plot.fleet.guests)} guests; "
        f"one second here is {memory.speed:g} of theirs. In another terminal:"
    )
    console.print(f"  export XENROLL_REDIS_URL={stage.url}", soft_wrap=True, highlight=False)
    console.print("  .venv/bin/xenroll rollout status --watch", highlight=False)
    stage.web.start()
    console.print(f"the dashboard: {stage.web.url}, and a link that lets one browser in, once:")
    console.print(f"  {stage.web.link(stage.client)}", soft_wrap=True, highlight=False)
    _say(console, stage.xenroll("inventory", "apply", str(places.inventory)))
    stage.machines.start()
    stage.controller.start()
    with console.status("agents report") as status:
        stage.wait_for_agents(lambda here, of: status.update(f"{here} of {of} agents report"))
    if not stage.store.ids():
        return _start(stage, console)
    rollout_id = stage.store.ids()[-1]
    if stage.store.control(rollout_id).get("reason") == BY_US:
        _say(console, stage.xenroll("rollout", "resume", rollout_id))
    return rollout_id


def _start(stage: Stage, console: Console) -> str:
    fleet = stage.plot.fleet
    words = ["--fixed-build", fixed_build(fleet), "--reason", "make run"]
    if fleet.policy.xen_after:
        words += ["--xen-after", fleet.policy.xen_after]
    with console.status("the planner plans"):
        _say(console, stage.xenroll("rollout", "start", ADVISORY, *words))
    return stage.store.ids()[-1]


def _say(console: Console, answer: tuple[int, str]) -> None:
    code, said = answer
    if code:
        raise DemoError(f"a command ended with exit code {code}: {said}")
    console.print(said, markup=False, highlight=False, soft_wrap=True)


def _watch(stage: Stage, console: Console, rollout_id: str) -> None:
    """Draw the rollout until it has ended, keeping everything up meanwhile."""
    drawn_s = float("-inf")
    with Pictures(console) as pictures:
        while True:
            stage.keep_up()
            now_s = time.monotonic()
            if now_s - drawn_s >= DRAWN_EVERY_S:
                drawn_s = now_s
                if _drawn(stage, pictures, rollout_id, now_s):
                    return
            time.sleep(POLL_S)


def _drawn(stage: Stage, pictures: Pictures, rollout_id: str, now_s: float) -> bool:
    """Draw once; whether the rollout has ended."""
    try:
        view, happenings = look(stage.store, rollout_id)
    except RedisError as error:
        pictures.say(f"the server is away ({type(error).__name__}); it is started again")
        return False
    pictures.show(view, happenings, now_s)
    return view.state in ENDED


def _leave(stage: Stage, console: Console) -> int:
    """Ctrl-C: no new step, let moves under way end, and say how to go on."""
    console.print("\nending: no new step starts; waiting for the moves under way", highlight=False)
    try:
        for rollout_id in stage.store.ids()[-1:]:
            if stage.store.control(rollout_id).get("wanted") == Wanted.RUN:
                stage.xenroll("rollout", "pause", rollout_id, "--reason", BY_US)
        end_s = time.monotonic() + LAST_MOVES_S
        while stage.moves_under_way() and time.monotonic() < end_s:
            stage.keep_up()
            time.sleep(POLL_S)
    except (KeyboardInterrupt, RedisError):
        console.print("not waiting any longer", highlight=False)
    console.print("to go on: make run ARGS=--resume", highlight=False)
    return 130


def _close(stage: Stage, console: Console, rollout_id: str, memory: Memory, took_s: float) -> int:
    """The account, and what the machines themselves show; the exit code."""
    code, account = stage.xenroll("rollout", "report", rollout_id)
    console.print(account, markup=False, highlight=False, soft_wrap=True)
    view, _ = look(stage.store, rollout_id)
    console.print(
        f"by the fleet's clock {duration(view.elapsed_s * memory.speed)}, because what this "
        f"machine takes to start programs and to look counts {memory.speed:g} times there; planned "
        f"{duration(view.planned_makespan_s)}, and no plan is below "
        f"{duration(view.makespan_lower_bound_s)}, with the durations planned with; here: "
        f"{duration(took_s)} in all",
        highlight=False,
        soft_wrap=True,
    )
    page = stage.plot.places.state_dir / "report.html"
    page.write_text(stage.xenroll("report", rollout_id, "--output", "html")[1] + "\n")
    console.print(f"the same as a page with plots: {page}", soft_wrap=True, highlight=False)
    verdict: Verdict = judge(stage.plot.places.world, stage.plot.fleet, memory.trouble)
    for line in verdict.lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return 0 if verdict.good and code == 0 else 1
