"""`xenroll notify …`: webhooks that tell other systems what happens."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from scheduler.cli_ask import Api, Refused, segment
from scheduler.cli_common import Exit, fail, settings
from scheduler.cli_people import Reason, Yes, ask, chosen, people, sure, why
from scheduler.cli_print import Column, Row, minute, print_lines, print_rows

WAIT_S = 65.0
"""For a test's answer: a little more than the longest time that a target may be given."""
POLL_S = 0.1
LISTED = 20

app = typer.Typer(no_args_is_help=True, help="Tell other systems what happens, by webhooks.")

Name = Annotated[str, typer.Argument(metavar="TARGET", help="Its name in the notification file.")]
File = Annotated[
    Path | None, typer.Option("--file", help="The notification file; else XENROLL_NOTIFY_FILE.")
]


@app.command()
def run(file: File = None) -> None:
    """Send notifications until SIGTERM; a second one waits its turn."""
    from scheduler.link import Away, patient
    from scheduler.notify.run import Notifier
    from scheduler.notify.targets import TargetError, load_config
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


COLUMNS = (
    Column("TARGET", "name"),
    Column("KIND", "kind"),
    Column("CALLS", "where"),
    Column("WAITING", "waiting"),
    Column("DELIVERED", "delivered"),
    Column("GIVEN UP", "dead"),
    Column("FROM", "severity", wide=True),
    Column("TRIES", "tries", wide=True),
    Column("NEWEST", minute("last_ok_at"), wide=True),
    Column("LAST ANSWER", "last_said"),
)


@people(app, "list", watch=True)
def list_() -> None:
    """Every target: what waits, what was delivered, what was given up and why."""
    api = ask()
    found = api.get("/notifications")
    for one in found["targets"]:
        dead = f"{_path(one['name'])}/dead"
        one["given_up_newest"] = api.get(dead, limit=LISTED)["items"] if one["dead"] else []
    if chosen().for_programs:
        print_lines(found, [], chosen())
        return
    leader = found["sender"]
    print_lines(
        {}, [f"sent by {leader}" if leader else "nothing is sent: no sender runs"], chosen()
    )
    if found["targets"]:
        print_rows(found["targets"], COLUMNS, chosen())
    print_lines(
        {},
        [_lost(one, lost) for one in found["targets"] for lost in one["given_up_newest"]],
        chosen(),
    )


def _path(target: str) -> str:
    return f"/notifications/{segment(target)}"


def _lost(target: Row, lost: Row) -> str:
    event = lost["event"]
    what = f"{event['rollout']} {event['kind']}"
    return f"given up by {target['name']}: {event['id']} ({what}): {lost['said']}"


@people(app)
def test(name: Name, reason: Reason = "") -> None:
    """Send a test to one target, now and once, and say what came back."""
    api = ask()
    asked = api.act(f"{_path(name)}/test", {"reason": why(reason)})
    result = _wait(api, asked["id"])
    if result is None:
        said = f"nobody sent the test within {WAIT_S:.0f} s; see its sender's log"
        raise Refused(Exit.REFUSED, said)
    if not result["ok"]:
        said = f"target {name}: {result['said']} (after {result['took_ms']} ms)"
        raise Refused(Exit.REFUSED, said)
    said = f"target {name} has it: {result['said']}, {result['took_ms']} ms"
    print_lines(result, [said], chosen())


def _wait(api: Api, test_id: str) -> Row | None:
    """What came of a test; None where nobody has sent it by then."""
    end_s = time.monotonic() + WAIT_S
    while time.monotonic() < end_s:
        try:
            found: Row = api.get(f"/notification-tests/{test_id}")
        except Refused as refused:
            if refused.code is not Exit.NOT_FOUND:
                raise
            time.sleep(POLL_S)
        else:
            return found
    return None


@people(app)
def retry(name: Name, reason: Reason = "", yes: Yes = False) -> None:
    """Send everything again that a target was not given, with the same ids."""
    sure(f"send everything again that {name} was not given?", yes)
    said = ask().act(f"{_path(name)}/retry", {"reason": why(reason)})
    print_lines(said, [f"{said['again']} notifications for {name} are sent again"], chosen())
