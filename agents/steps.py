"""The one job that a worker runs: make sure that an attempt is started once, wait for its end.

RQ may run it again, twice at a time, or after the host was away: the journal decides, not RQ.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

import redis
from pydantic import ValidationError

from agents import host_files, journal, steprun, watch_move
from agents.gates import PATCHES
from agents.journal import Journal
from agents.keys import CLAIM_LUA, SETTLED, keys
from agents.prepare import Refusal, Work, prepare
from agents.settings import Settings
from agents.watch_move import MoveWatch
from agents.wire import AttemptState, Kind, Order, RefusalCode

CLAIM = "local KEYS = {ARGV[4], ARGV[5], KEYS[1]}\n" + CLAIM_LUA
"""Only the key that is written is named as such: a host may read the other two, not write them,
and a server demands the right to write from every key of a script."""

FRESH_S = 10.0
"""For so long the look of a gate counts."""

ISOLATED = ("-I", "-S")
UNIT = ("Type=exec", "KillMode=process", "TimeoutStopSec=infinity", "OOMScoreAdjust=-900")


class OrderError(Exception):
    """An order cannot be read, or is not for this host; the text says what is wrong with it."""


class StartError(Exception):
    """The step runner did not come up; nothing was started."""


@dataclass(frozen=True)
class Context:
    """What a job needs besides its argument."""

    settings: Settings
    client: redis.Redis
    now: Callable[[], datetime]


def run_step(context: Context, attempt_id: str) -> dict[str, str]:
    """Start the attempt unless it was ever started, and wait until it has ended or was refused.

    Raises OrderError, StartError, JournalError, FileError.
    """
    book = Journal(context.settings.state)
    boot_id = host_files.boot_id(context.settings)
    looked_s = None
    if book.state(attempt_id, boot_id) is None:
        looked_s = time.monotonic()
        order = read_order(context, attempt_id)
        if order is None:
            return {"attempt_id": attempt_id, "state": RefusalCode.REVOKED.value}
        directory = book.record(order)
        try:
            work = cleared(context, book, order)
            start(context.settings, book, order, work, directory)
        except Refusal as refusal:
            book.refuse(attempt_id, refusal.code, refusal.reason)
        settle_claim(context, attempt_id)
        wake(context)
    else:
        settle_claim(context, attempt_id)  # the job that started it may not have come so far
    watch = watch_move.of(context.settings, book, attempt_id, looked_s)
    state = wait(context, book, attempt_id, watch)
    wake(context)
    return {"attempt_id": attempt_id, "state": state.value}


def read_order(context: Context, attempt_id: str) -> Order | None:
    """The order as the controller wrote it; None if it was taken back. Raises OrderError."""
    host = context.settings.host
    raw = context.client.hget(keys.orders(host), attempt_id)
    if raw is None:
        return None
    assert isinstance(raw, bytes | str)
    try:
        order = Order.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise OrderError(f"order {attempt_id}: {where}: {first['msg']}") from None
    if order.host != host or order.attempt_id != attempt_id:
        raise OrderError(f"order {attempt_id} is {order.attempt_id} for {order.host}, not {host}")
    missing = [name for name in NEEDS[order.kind] if getattr(order, name) is None]
    if missing:
        raise OrderError(f"order {attempt_id}: {order.kind} needs {', '.join(missing)}")
    return order


NEEDS: dict[Kind, tuple[str, ...]] = {
    Kind.MOVE: ("guest", "guest_uuid", "destination", "destination_address"),
    Kind.STOP: ("guest", "guest_uuid"),
    Kind.START: ("guest", "guest_uuid"),
    Kind.REBOOT: ("boot_id",),
    Kind.LIVEPATCH: ("payload",),
    Kind.MEND: ("guest", "guest_uuid", "mend", "domid"),
    Kind.RETUNE: ("guest", "guest_uuid", "domid", "tuning"),
    Kind.REVERT: ("payload",),
}
"""The fields that each kind of order must have."""


def cleared(context: Context, book: Journal, order: Order) -> Work:
    """Gate, then claim; the gate again where the claim had to wait for Redis. Raises Refusal."""
    looked = time.monotonic()
    work = prepare(order, context.settings, book)
    claim(context, order)
    if time.monotonic() - looked < FRESH_S:
        return work
    return prepare(order, context.settings, book)


def claim(context: Context, order: Order) -> None:
    """The last word of the control record, at this very moment. Raises Refusal."""
    host = context.settings.host
    answer = context.client.eval(
        CLAIM,
        1,
        keys.claims(host),
        order.attempt_id,
        str(order.epoch),
        context.now().isoformat(),
        keys.control(order.rollout_id),
        keys.orders(host),
    )
    said = answer.decode() if isinstance(answer, bytes) else str(answer)
    if said != "run":
        raise Refusal(RefusalCode(said), f"rollout {order.rollout_id} is {said}")


def settle_claim(context: Context, attempt_id: str) -> None:
    """Whether it has started is on disk now: a pause need not wait for this claim any longer."""
    context.client.hset(keys.claims(context.settings.host), attempt_id, SETTLED)


def start(settings: Settings, book: Journal, order: Order, work: Work, directory: Path) -> None:
    """Hand over to the step runner; on return it has started, or refused. Raises StartError."""
    spec_name = f"spec.{time.monotonic_ns()}.json"
    steprun.write_durably(f"{directory}/{spec_name}", spec(settings, book, order, work))
    argv = runner_argv(settings, order.attempt_id, str(directory), spec_name)
    with open(directory / "steprun.log", "ab") as log:
        _call(argv, log, settings.start_limit_s)
    if not journal.wait_until_settled(
        book, order.attempt_id, settings.start_limit_s, settings.poll_s
    ):
        raise StartError(f"attempt {order.attempt_id}: no start, see {directory}/steprun.log")


def _call(argv: tuple[str, ...], log: IO[bytes], limit_s: float) -> None:
    try:
        subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            timeout=limit_s,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StartError(f"{argv[0]}: {error}") from None


def spec(settings: Settings, book: Journal, order: Order, work: Work) -> dict[str, object]:
    """What the step runner is told (see `steprun`)."""
    locks = [{"path": str(book.host_lock), "exclusive": order.kind is Kind.REBOOT}]
    if order.guest_uuid is not None:
        locks.append({"path": str(book.guest_lock(order.guest_uuid)), "exclusive": True})
    if order.kind in PATCHES:
        locks.append({"path": str(book.payloads_lock), "exclusive": True})
    return {
        "kind": order.kind.value,
        "domid": work.domid,
        "commands": [asdict(command) for command in work.commands],
        "locks": locks,
        "inherit_locks": work.inherit_locks,
        "epoch": {"path": str(book.epoch_file(order.rollout_id)), "value": order.epoch},
        "boot_id_path": str(settings.path(settings.boot_id_path)),
        "linger_s": work.linger_s,
        "tuning": work.tuning.model_dump(mode="json") if work.tuning else None,
        "untold": work.untold,
    }


def runner_argv(
    settings: Settings, attempt_id: str, directory: str, spec_name: str
) -> tuple[str, ...]:
    """The step runner, detached by itself or as a unit of systemd."""
    python = settings.python or sys.executable
    runner = (python, *ISOLATED, steprun.__file__, directory, spec_name)
    if not settings.systemd_run:
        return runner
    properties = (f"--property={one}" for one in UNIT)
    unit = f"--unit=xenroll-{attempt_id}"
    return (*settings.systemd_run, unit, "--collect", "--quiet", *properties, *runner, "--stay")


def wait(
    context: Context, book: Journal, attempt_id: str, watch: MoveWatch | None = None
) -> AttemptState:
    """Until it runs no more. There is no limit: a migration takes as long as it takes.

    Raises StartError where nobody holds it and it was never started.
    """
    settings = context.settings
    pause_s = min(settings.poll_s, settings.watch_poll_s) if watch else settings.poll_s
    while True:
        state = book.state(attempt_id, host_files.boot_id(settings))
        if watch:  # after the state: what was said to the end is heard
            watch.look()
        if state not in (None, AttemptState.RUNNING):
            return AttemptState(state)
        if state is None and not journal.held(book.directory(attempt_id) / "lock"):
            raise StartError(f"attempt {attempt_id}: it was not started")
        time.sleep(pause_s)


def wake(context: Context) -> None:
    """Let the agent report at once."""
    context.client.lpush(keys.wake(context.settings.host), "step")
