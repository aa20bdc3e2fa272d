"""`xenroll rollout pause`, `resume`, `abort`, `approve`: of a rollout, a wave, a host."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from scheduler.cli_ask import Api, Refused, segment
from scheduler.cli_exit import Exit
from scheduler.cli_forecast import pause_costs
from scheduler.cli_people import (
    NotAsked,
    Reason,
    RolloutId,
    Yes,
    ask,
    chosen,
    sure,
    the_rollout,
    why,
)
from scheduler.cli_print import print_lines
from scheduler.wishes import let_starts_end

Wave = Annotated[int | None, typer.Option("--wave", help="Only this wave.", min=1)]
Host = Annotated[str | None, typer.Option("--host", help="Only this host.")]
OfWave = Annotated[int | None, typer.Option("--wave", help="The wave that may go on.", min=1)]

SAID = {
    "pause": "paused: no new step starts from now on; running ones end",
    "resume": "resumed",
    "abort": "aborted: no new step starts; closed hosts open when running ones have ended",
    "approve": "is approved",
    "dead": "taken for dead: what hangs on it is judged from what can be seen",
    "start": "begins",
}


def pause(
    rollout: RolloutId = None,
    wave: Wave = None,
    host: Host = None,
    reason: Reason = "",
    yes: NotAsked = False,
) -> None:
    """No new step from this moment; running ones end. Works without the controller."""
    _act(rollout, wave, host, "pause", reason)


def resume(
    rollout: RolloutId = None,
    wave: Wave = None,
    host: Host = None,
    reason: Reason = "",
    yes: NotAsked = False,
) -> None:
    """Go on after a pause, or after a doubt that a person has looked into."""
    _act(rollout, wave, host, "resume", reason)


def abort(
    rollout: RolloutId = None,
    wave: Wave = None,
    host: Host = None,
    reason: Reason = "",
    yes: Yes = False,
) -> None:
    """No new step, for good; running ones end, and closed hosts are opened again.

    With --wave or --host the rollout goes on without these hosts.
    """
    _act(rollout, wave, host, "abort", reason, yes)


def dead(
    host: Annotated[str, typer.Option("--host", help="A host that does not report.")],
    rollout: RolloutId = None,
    reason: Reason = "",
    yes: Yes = False,
) -> None:
    """Say that a silent host's power is cut, and stays cut: nothing runs there any more.

    Moves that hang on it are judged from their other end alone, guests that were shut down there
    are left to you; the rollout, or its abort, goes on without it. If the host runs after all,
    guests may come to run twice: look, or cut its power, first.
    """
    _act(rollout, None, host, "dead", reason, yes)


def approve(
    rollout: RolloutId = None, wave: OfWave = None, reason: Reason = "", yes: Yes = False
) -> None:
    """Let a rollout begin that waits for a second person; --wave: let a wave go on."""
    _act(rollout, wave, None, "approve", reason, yes)


def begin(rollout: RolloutId = None, reason: Reason = "", yes: Yes = False) -> None:
    """Let a rollout begin that was started with --wait."""
    _act(rollout, None, None, "start", reason, yes)


def _act(
    rollout: str | None,
    wave: int | None,
    host: str | None,
    action: str,
    reason: str,
    yes: bool = True,
) -> None:
    if wave is not None and host is not None:
        raise Refused(Exit.BAD_INPUT, "give --wave or --host, not both")
    api = ask()
    rollout_id = the_rollout(api, rollout)
    path, what = f"/rollouts/{rollout_id}", f"rollout {rollout_id}"
    if wave is not None:
        path, what = f"{path}/waves/{wave}", f"{what}, wave {wave}"
    elif host is not None:
        path, what = f"{path}/hosts/{segment(host)}", f"{what}, host {host}"
    sure(f"{action} {what}?", yes)
    said = api.act(f"{path}/actions/{action}", {"reason": why(reason)})
    lines = [f"{what} {SAID[action]}"]
    if action in ("pause", "abort"):
        lines = [*_still_starting(api, rollout_id), *lines]
    if action == "pause" and wave is None and host is None and not chosen().for_programs:
        lines += pause_costs(api, rollout_id)
    print_lines(said, lines, chosen())


def _still_starting(api: Api, rollout_id: str) -> list[str]:
    """A step that was claimed a moment before may still be starting: acknowledge after it has."""
    path = f"/rollouts/{rollout_id}/starting"
    left = let_starts_end(lambda: set(api.get(path)["attempts"]), time.monotonic)
    return [f"{left} steps that were allowed a moment before may still be starting"] if left else []
