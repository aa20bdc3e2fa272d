"""`xenroll rollout pause`, `resume`, `abort`, `approve`: of a rollout, a wave, a host."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated

import typer

from agents.wire import Wanted
from scheduler.cli_common import Exit, fail, person, store, the_rollout
from scheduler.rollout import ENDED, Rollout, RolloutState
from scheduler.store import Store
from scheduler.wishes import Part, WishRefused, let_starts_end, wish
from scheduler.wishes import approve as approve_wave

RolloutId = Annotated[
    str | None, typer.Argument(metavar="[ROLLOUT]", help="Its id; the newest if left out.")
]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept with the change.")]
Wave = Annotated[int | None, typer.Option("--wave", help="Only this wave.", min=1)]
Host = Annotated[str | None, typer.Option("--host", help="Only this host.")]
OfWave = Annotated[int, typer.Option("--wave", help="The wave that may go on.", min=1)]


def pause(
    rollout: RolloutId = None, wave: Wave = None, host: Host = None, reason: Reason = ""
) -> None:
    """No new step from this moment; running ones end. Works without the controller."""
    _want(rollout, Wanted.PAUSE, _part(wave, host), reason)


def resume(
    rollout: RolloutId = None, wave: Wave = None, host: Host = None, reason: Reason = ""
) -> None:
    """Go on after a pause, or after a doubt that a person has looked into."""
    _want(rollout, Wanted.RUN, _part(wave, host), reason)


def abort(
    rollout: RolloutId = None, wave: Wave = None, host: Host = None, reason: Reason = ""
) -> None:
    """No new step, for good; running ones end, and closed hosts are opened again.

    With --wave or --host the rollout goes on without these hosts.
    """
    _want(rollout, Wanted.ABORT, _part(wave, host), reason)


def approve(wave: OfWave, rollout: RolloutId = None, reason: Reason = "") -> None:
    """Let a wave go on that waits, or will wait, for a person's word."""
    with store() as held:
        rollout_id = the_rollout(held, rollout)
        try:
            approve_wave(held, rollout_id, wave, person(), reason, datetime.now(UTC))
        except WishRefused as refused:
            fail(_exit(refused), str(refused))
    typer.echo(f"rollout {rollout_id}: wave {wave} is approved")


def _part(wave: int | None, host: str | None) -> Part | None:
    if wave is not None and host is not None:
        fail(Exit.BAD_INPUT, "give --wave or --host, not both")
    return Part(wave, host) if wave is not None or host is not None else None


def _exit(refused: WishRefused) -> Exit:
    return Exit.BAD_INPUT if refused.code in ("no_wave", "no_host") else Exit.REFUSED


def _want(rollout: str | None, wanted: Wanted, part: Part | None, reason: str) -> None:
    with store() as held:
        rollout_id = the_rollout(held, rollout)
        if part is None:
            _want_all(held, rollout_id, wanted, reason)
        else:
            _want_part(held, rollout_id, part, wanted, reason)
        if wanted is not Wanted.RUN:
            _let_starts_end(held, rollout_id)
    said = {
        Wanted.PAUSE: "paused: no new step starts from now on; running ones end",
        Wanted.RUN: "resumed",
        Wanted.ABORT: "aborted: no new step starts; closed hosts open when running ones have ended",
    }
    what = f"rollout {rollout_id}" + (f", {part}" if part else "")
    typer.echo(f"{what} {said[wanted]}")


def _want_part(held: Store, rollout_id: str, part: Part, wanted: Wanted, reason: str) -> None:
    try:
        wish(held, rollout_id, part, wanted, person(), reason, datetime.now(UTC))
    except WishRefused as refused:
        fail(_exit(refused), str(refused))


def _want_all(held: Store, rollout_id: str, wanted: Wanted, reason: str) -> None:
    head = held.head(rollout_id)
    _refuse(head, wanted, held.control(head.id).get("wanted"))
    if not held.want(head.id, wanted, person(), reason, datetime.now(UTC)):
        fail(Exit.REFUSED, f"rollout {head.id} is being aborted: it cannot be resumed")


def _let_starts_end(held: Store, rollout_id: str) -> None:
    """A step that was claimed a moment before may still be starting: acknowledge after it has."""
    starting = let_starts_end(held, rollout_id, time.monotonic)
    if starting:
        typer.echo(f"{starting} steps that were allowed a moment before may still be starting")


def _refuse(head: Rollout, wanted: Wanted, now_wanted: str | None) -> None:
    if head.state in ENDED:
        fail(Exit.REFUSED, f"rollout {head.id} has ended ({head.state}): nothing to {wanted}")
    if wanted is Wanted.PAUSE and now_wanted == Wanted.PAUSE:
        fail(Exit.REFUSED, f"rollout {head.id} is {head.state} already")
    waiting = (RolloutState.PAUSED, RolloutState.STOPPED)
    if wanted is Wanted.RUN and now_wanted == Wanted.RUN and head.state not in waiting:
        fail(Exit.REFUSED, f"rollout {head.id} is {head.state}: there is nothing to resume")
