"""`xenroll rollout …`: start, list, status, pause, resume, abort, report."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated

import typer
from pydantic import ValidationError

from scheduler.advisory import Advisory
from scheduler.choice import Choice
from scheduler.cli_common import Exit, fail, inventory_of, person, settings, store, the_rollout
from scheduler.cli_forecast import rollout_forecast
from scheduler.cli_wishes import Reason, RolloutId, abort, approve, pause, resume
from scheduler.store import Store
from scheduler.text import plain

app = typer.Typer(no_args_is_help=True, help="Start, watch, pause and end rollouts.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


Patch = Annotated[
    bool | None,
    typer.Option(
        "--livepatch/--no-livepatch",
        help="Live-patch hosts that a payload fits, or reboot all; else as the inventory says.",
    ),
]
Builds = Annotated[
    list[str] | None,
    typer.Option(help="Build id of a fixed hypervisor, beside what the advisories say."),
]


@app.command()
def start(
    advisory: Annotated[list[str], typer.Argument(help="What it is for, such as XSA-469.")],
    fixed_build: Builds = None,
    xen_after: Annotated[
        str | None, typer.Option(help="Xen's major.minor after the reboot, if it changes.")
    ] = None,
    without_host: Annotated[
        list[str] | None, typer.Option(help="Leave this host out; may be given again.")
    ] = None,
    accept_blocked: Annotated[
        bool, typer.Option("--accept-blocked", help="Start although some hosts are blocked.")
    ] = False,
    livepatch: Patch = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan only.")] = False,
    reason: Reason = "",
) -> None:
    """Look at every host, plan the rollout, write it down; the controller carries it out."""
    from scheduler.launch import Wish

    with store() as held:
        advisories = _advisories(held, advisory, fixed_build or [])
        others = tuple(one for name, one in held.advisories().items() if name not in advisory)
    wish = Wish(
        advisory=", ".join(advisory),
        fixed_builds=tuple(fixed_build or ()),
        advisories=advisories,
        others=others,
        livepatch=livepatch,
        by=person(),
        xen_after=xen_after,
        without_hosts=tuple(without_host or ()),
        reason=reason,
    )
    with store() as held:
        _start(held, wish, accept_blocked=accept_blocked, dry_run=dry_run)


def _advisories(held: Store, names: list[str], builds: list[str]) -> tuple[Advisory, ...]:
    """What is known of the advisories named, with the builds given here added to each."""
    known = held.advisories()
    try:
        found = [known.get(name) or Advisory(id=name) for name in names]
        full = [
            Advisory.model_validate(
                one.model_dump() | {"fixed_builds": (*one.fixed_builds, *builds)}
            )
            for one in found
        ]
    except ValidationError as error:
        first = error.errors()[0]
        fail(Exit.BAD_INPUT, f"{first['loc'][0]} {first['input']!r}: {first['msg']}")
    for one in full:
        if not one.can_be_fixed:
            fail(
                Exit.BAD_INPUT,
                f"nothing says what a host fixed for {one.id} looks like: "
                "give --fixed-build, or use `xenroll advisory add`",
            )
    return tuple(full)


def _start(held: Store, wish: object, *, accept_blocked: bool, dry_run: bool) -> None:
    from scheduler.fleet_view import FleetDoubt
    from scheduler.launch import Wish, begin, draw
    from scheduler.planned import blocked_reasons
    from scheduler.planning import PlanBroken
    from scheduler.store import Conflict, Taken

    assert isinstance(wish, Wish)
    try:
        drawn = draw(held.client, inventory_of(held), wish, settings().look_wait_s)
        blocked = blocked_reasons(drawn.planned.plan)
        _show_choices(drawn.planned.choices.values())
        _show_plan(drawn.planned.plan.summary.moves, drawn.planned.plan.summary.makespan_s, blocked)
        if blocked and not accept_blocked and not dry_run:
            fail(Exit.BLOCKED, "nothing was started; --accept-blocked starts it for the others")
        if not dry_run:
            rollout = begin(held, drawn)
            typer.echo(f"rollout {rollout.id} started: {rollout.hosts_in_scope} hosts in scope")
    except FleetDoubt as doubt:
        fail(Exit.NO_PLAN, ["nothing was started:", *doubt.problems[:20]])
    except PlanBroken as broken:
        fail(Exit.INTERNAL, f"nothing was started; the checker refuses the plan: {broken}")
    except (Taken, Conflict) as error:
        fail(Exit.REFUSED, f"nothing was started: {error}")
    if blocked:
        raise typer.Exit(int(Exit.BLOCKED))


def _show_choices(choices: Iterable[Choice]) -> None:
    """How many hosts go which way, and why."""
    counted = Counter((choice.way, choice.reason) for choice in choices)
    for (way, reason), hosts in sorted(counted.items(), key=lambda one: (-one[1], one[0])):
        typer.echo(plain(f"{hosts} hosts: {way}: {reason}"))


def _show_plan(moves: int, makespan_s: float, blocked: dict[str, str]) -> None:
    typer.echo(f"planned: {moves} moves, about {makespan_s / 60:.0f} minutes")
    for host, why in sorted(blocked.items()):
        typer.echo(plain(f"blocked: {host}: {why}"))


@app.command(name="list")
def list_(as_json: AsJson = False) -> None:
    """Every rollout, the newest last."""
    with store() as held:
        heads = [held.head(rollout_id) for rollout_id in held.ids()]
    if as_json:
        typer.echo(json.dumps([head.model_dump(mode="json") for head in heads], indent=2))
        return
    for head in heads:
        why = f"  {head.hold.reason}" if head.hold else ""
        typer.echo(plain(f"{head.id:24} {head.state:10} {head.created_at:%Y-%m-%d %H:%M}{why}"))


@app.command()
def status(
    rollout: RolloutId = None,
    as_json: AsJson = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow it until it ends; Ctrl-C only detaches.")
    ] = False,
) -> None:
    """How far a rollout has come, and what holds it."""
    from scheduler.progress import progress
    from scheduler.show import show_once, show_until_ended

    with store() as held:
        rollout_id = the_rollout(held, rollout)
        if watch:
            show_until_ended(held, rollout_id)
            return
        view = progress(held.book(rollout_id), datetime.now(UTC))
        if as_json:
            typer.echo(view.model_dump_json(indent=2))
        else:
            show_once(view, held.happenings(rollout_id, 30))


app.command(name="forecast")(rollout_forecast)
for command in (pause, resume, abort, approve):
    app.command()(command)


@app.command()
def report(rollout: RolloutId = None, as_json: AsJson = False) -> None:
    """What moved how often, what is held and why, what crashed, how long it took."""
    from rich.console import Console

    from scheduler.account import account
    from scheduler.progress import progress
    from scheduler.show_report import report as rendered

    with store() as held:
        book = held.book(the_rollout(held, rollout))
    now = datetime.now(UTC)
    if as_json:
        typer.echo(account(book, now).model_dump_json(indent=2))
    else:
        Console().print(rendered(book, progress(book, now)))
