"""`xenroll notify …`: webhooks that tell other systems what happens."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from scheduler.cli_common import Exit, fail, note, person, settings, store
from scheduler.notify.outbox import Asked, Outbox, TargetStatus, TestResult
from scheduler.notify.targets import TargetError, load_config
from scheduler.store import Store
from scheduler.text import plain

WAIT_S = 65.0
"""For a test's answer: a little more than the longest time that a target may be given."""
POLL_S = 0.1
LISTED = 20

app = typer.Typer(no_args_is_help=True, help="Tell other systems what happens, by webhooks.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Name = Annotated[str, typer.Argument(metavar="TARGET", help="Its name in the notification file.")]
File = Annotated[
    Path | None, typer.Option("--file", help="The notification file; else XENROLL_NOTIFY_FILE.")
]


@app.command()
def run(file: File = None) -> None:
    """Send notifications until SIGTERM; a second one waits its turn."""
    from scheduler.link import Away, patient
    from scheduler.notify.run import Notifier
    from scheduler.serve import SystemClock, log

    given = settings()
    chosen = file or given.notify_file
    if chosen is None:
        fail(Exit.BAD_INPUT, "no notification file: give --file or set XENROLL_NOTIFY_FILE")
    try:
        config, targets = load_config(chosen)
        client = patient(given.redis_url)
    except TargetError as error:
        fail(Exit.BAD_INPUT, error.problems)
    except Away as error:
        fail(Exit.AWAY, str(error))
    raise typer.Exit(Notifier(client, config, targets, SystemClock().now, log).run())


def _outbox(held: Store) -> Outbox:
    return Outbox(held.client, held.writer)


@app.command(name="list")
def list_(as_json: AsJson = False) -> None:
    """Every target: what waits, what was delivered, what was given up and why."""
    with store() as held:
        outbox = _outbox(held)
        found, leader = outbox.status(), outbox.leader()
        dead = {one.name: outbox.dead(one.name, LISTED) for one in found}
    if as_json:
        rows = [
            one.model_dump(mode="json")
            | {"given_up_newest": [d.model_dump(mode="json") for d in dead[one.name]]}
            for one in found
        ]
        typer.echo(json.dumps({"sender": leader, "targets": rows}, indent=2))
        return
    typer.echo(plain(f"sent by {leader}" if leader else "nothing is sent: no sender runs"))
    for one in found:
        typer.echo(plain(_line(one)))
        for lost in dead[one.name]:
            what = f"{lost.event.rollout} {lost.event.kind}"
            typer.echo(plain(f"  given up: {lost.event.id} ({what}): {lost.said}"))


def _line(one: TargetStatus) -> str:
    said = f"; last: {one.last_said}" if one.last_said else ""
    counts = f"{one.waiting} waiting, {one.delivered} delivered, {one.dead} given up"
    return f"{one.name:16} {one.kind:12} {one.where:28} {counts}{said}"


@app.command()
def test(name: Name) -> None:
    """Send a test to one target, now and once, and say what came back."""
    asked = Asked(id=os.urandom(8).hex(), target=name, by=person(), at=datetime.now(UTC))
    with store() as held:
        outbox = _outbox(held)
        _known(outbox, name)
        note(held, "notify.test", name, "")
        outbox.ask(asked)
        result = _wait(outbox, asked.id)
    if result is None:
        fail(Exit.REFUSED, f"nobody sent the test within {WAIT_S:.0f} s; see its sender's log")
    if not result.ok:
        fail(Exit.REFUSED, f"target {name}: {result.said} (after {result.took_ms} ms)")
    typer.echo(plain(f"target {name} has it: {result.said}, {result.took_ms} ms"))


def _known(outbox: Outbox, name: str) -> None:
    """Ends the command where this target cannot be sent anything."""
    names = [one.name for one in outbox.targets()]
    if name not in names:
        known = ", ".join(names) or "none"
        fail(Exit.BAD_INPUT, f"no target {name}; the sender knows {known}")
    if not outbox.leader():
        fail(Exit.REFUSED, "no sender runs: start `xenroll notify run`")


def _wait(outbox: Outbox, test_id: str) -> TestResult | None:
    end_s = time.monotonic() + WAIT_S
    while (found := outbox.result(test_id)) is None and time.monotonic() < end_s:
        time.sleep(POLL_S)
    return found


@app.command()
def retry(name: Name) -> None:
    """Send everything again that a target was not given, with the same ids."""
    with store() as held:
        outbox = _outbox(held)
        _known(outbox, name)
        note(held, "notify.retry", name, "")
        again = outbox.revive(name, datetime.now(UTC))
    typer.echo(f"{again} notifications for {name} are sent again")
