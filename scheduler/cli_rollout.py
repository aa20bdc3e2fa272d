"""`xenroll rollout …`: start, list, status, pause, resume, abort, report."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from scheduler.cli_ask import Api, Refused
from scheduler.cli_exit import Exit
from scheduler.cli_forecast import rollout_forecast
from scheduler.cli_people import Reason, RolloutId, Yes, ask, chosen, people, sure, the_rollout, why
from scheduler.cli_print import Column, document, minute, print_lines, print_rows, print_whole
from scheduler.cli_watch import DETACHED, again_and_again
from scheduler.cli_wishes import abort, approve, begin, dead, pause, resume

PLANNING_S = 600.0
"""The longest that hosts' looks and a plan of a large fleet may take."""

NEWEST = 40
"""Happenings that are read for a screen, which shows fewer of them."""

app = typer.Typer(no_args_is_help=True, help="Start, watch, pause and end rollouts.")


Patch = Annotated[
    bool | None,
    typer.Option(
        "--livepatch/--no-livepatch",
        help="Live-patch hosts that a payload fits, or reboot all; else as the inventory says.",
    ),
]
Soak = Annotated[
    float | None,
    typer.Option(help="Seconds between a wave that is back and the next; else the inventory's."),
]
Approval = Annotated[
    bool | None,
    typer.Option(help="Every wave behind another waits for a person; else as the inventory says."),
]
XenAfter = Annotated[
    str | None, typer.Option(help="Xen's major.minor after the reboot, if it changes.")
]
Builds = Annotated[
    list[str] | None,
    typer.Option(help="Build id of a fixed hypervisor, beside what the advisories say."),
]


@people(app)
def start(
    advisory: Annotated[list[str], typer.Argument(help="What it is for, such as XSA-469.")],
    fixed_build: Builds = None,
    xen_after: XenAfter = None,
    without_host: Annotated[
        list[str] | None, typer.Option(help="Leave this host out; may be given again.")
    ] = None,
    accept_blocked: Annotated[
        bool, typer.Option("--accept-blocked", help="Start although some hosts are blocked.")
    ] = False,
    livepatch: Patch = None,
    soak_s: Soak = None,
    approval: Approval = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan only.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Only write it down; `rollout begin` lets it begin.")
    ] = False,
    reason: Reason = "",
    yes: Yes = False,
) -> None:
    """Look at every host, plan the rollout, write it down; the controller carries it out."""
    body = {
        "advisory": advisory,
        "fixed_builds": fixed_build or [],
        "xen_after": xen_after,
        "without_hosts": without_host or [],
        "accept_blocked": accept_blocked,
        "livepatch": livepatch,
        "soak_s": soak_s,
        "approval": approval,
        "dry_run": dry_run,
        "wait": wait,
        "reason": NO_CHANGE if dry_run else why(reason),
    }
    if not dry_run:
        sure(f"start a rollout for {', '.join(advisory)}?", yes)
    said = ask().act("/rollouts", body, PLANNING_S)
    print_lines(said, _started(said), chosen())
    if said["blocked"]:
        raise typer.Exit(int(Exit.BLOCKED))


NO_CHANGE = "a dry run"


def _started(said: dict[str, Any]) -> list[str]:
    lines = [f"{one['hosts']} hosts: {one['way']}: {one['reason']}" for one in said["choices"]]
    lines += [f"planned: {said['moves']} moves, about {said['makespan_s'] / 60:.0f} minutes"]
    lines += [f"blocked: {host}: {why}" for host, why in sorted(said["blocked"].items())]
    if said["rollout"]:
        hosts = said["hosts_in_scope"]
        waits = said["state"] == "awaiting"
        did = "waits, nothing has begun" if waits else "started"
        lines.append(f"rollout {said['rollout']} {did}: {hosts} hosts in scope")
        if waits:
            verb = "approve" if said["second_person"] else "begin"
            who = "somebody else: " if said["second_person"] else ""
            lines.append(f"{who}xenroll rollout {verb} {said['rollout']}")
    return lines


COLUMNS = (
    Column("ROLLOUT", "id"),
    Column("STATE", "state"),
    Column("CREATED", minute("created_at")),
    Column("BY", "created_by", wide=True),
    Column("ADVISORY", "advisory", wide=True),
    Column("HOSTS", "hosts_in_scope", wide=True),
    Column("PLAN", "generation", wide=True),
    Column("HELD BY", lambda row: "{by}: {reason}".format_map(row["hold"]) if row["hold"] else ""),
)


@people(app, "list", watch=True)
def list_() -> None:
    """Every rollout, the newest last."""
    print_rows(ask().all("/rollouts")[::-1], COLUMNS, chosen())


@people(app)
def status(
    rollout: RolloutId = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Follow it until it ends; Ctrl-C only detaches.")
    ] = False,
) -> None:
    """How far a rollout has come, and what holds it."""
    from scheduler.show import Seen, show_once, show_until_ended

    api = ask()
    rollout_id = the_rollout(api, rollout)

    def look() -> Seen:
        return Seen.parse(
            api.get(f"/rollouts/{rollout_id}/progress"),
            api.get(f"/rollouts/{rollout_id}/events", newest=True, limit=NEWEST)["items"],
        )

    def patient() -> Seen | str:
        try:
            return look()
        except Refused as refused:
            if refused.code is not Exit.AWAY:
                raise
            return str(refused)

    if watch and chosen().for_programs:
        again_and_again(lambda: _print_progress(api, rollout_id), f"{DETACHED}: {rollout_id}")
    elif watch:
        look()  # whatever is wrong now ends the command; later only a refusal does
        show_until_ended(rollout_id, patient)
    elif chosen().for_programs:
        _print_progress(api, rollout_id)
    else:
        show_once(*look())


def _print_progress(api: Api, rollout_id: str) -> bool:
    """Print the whole of it; whether it has ended."""
    from scheduler.rollout import ENDED

    view = api.get(f"/rollouts/{rollout_id}/progress")
    print(document(view, chosen()))
    return str(view["state"]) in ENDED


people(app, "forecast", watch=True)(rollout_forecast)
for command in (pause, resume, abort, dead, approve, begin):
    people(app)(command)


@people(app)
def report(rollout: RolloutId = None) -> None:
    """What moved how often, what is held and why, what crashed, how long it took."""
    api = ask()
    rollout_id = the_rollout(api, rollout)
    if chosen().for_programs:
        print(document(api.get(f"/rollouts/{rollout_id}/report"), chosen()))
        return
    from scheduler.progress import Progress
    from scheduler.rollout import GuestRecord
    from scheduler.show_report import report as rendered

    view = Progress.model_validate(api.get(f"/rollouts/{rollout_id}/progress"), extra="ignore")
    guests = [
        GuestRecord.model_validate(one, extra="ignore")
        for one in api.all(f"/rollouts/{rollout_id}/guests")
    ]
    print_whole(rendered(view, guests))
