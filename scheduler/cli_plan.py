"""`xenroll plan` and `xenroll check`: on paper, without Redis, agents or network.

The solver, the checker and Rich are loaded by the command that uses them.
"""

from __future__ import annotations

import gc
import hashlib
import math
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from scheduler.cli_exit import Exit, fail
from scheduler.cli_files import (
    STANDARD,
    FileError,
    read_document,
    refuse_unwritable,
    same_file,
    write_document,
)
from scheduler.cli_form import Format
from scheduler.cli_plan_extra import (
    DeadlineS,
    Explain,
    Pareto,
    curve_of,
    curve_rows,
    explained,
    explanation_row,
    refuse_deadline,
    refuse_explain,
    show_curve,
    show_explanation,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.check import Problem
    from planner.explain import Explanation
    from planner.fleet import Fleet
    from planner.options import PlanOptions
    from planner.pareto import Curve
    from planner.plan import Plan

SHOWN = 20
"""Problems of a plan that are shown; `--json` has them all."""

FleetFile = Annotated[
    str, typer.Argument(metavar="FLEET", help="Fleet file; may be gzipped; - is standard input.")
]
PlanFile = Annotated[
    str, typer.Argument(metavar="PLAN", help="Plan file; may be gzipped; - is standard input.")
]
Output = Annotated[
    str, typer.Option("--output", "-o", metavar="PLAN", help="Where to; - is standard output.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
CheckForm = Annotated[
    Format,
    typer.Option("--output", "-o", help="How to print it; `wide`: every problem, however many."),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same plan.")]
TimeLimit = Annotated[
    float | None,
    typer.Option("--time-limit", metavar="S", min=0, help="Seconds for improving the plan."),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command()(plan)
    app.command()(check)


def plan(
    fleet: FleetFile,
    output: Output,
    json: Json = False,
    seed: Seed = 0,
    time_limit: TimeLimit = None,
    pareto: Pareto = False,
    deadline_s: DeadlineS = None,
    explain: Explain = None,
) -> None:
    """Plan a rollout: which guest moves where, and when each host reboots.

    Exit code 0: planned. 2: bad input. 3: planned, but some hosts are blocked. 4: nothing can be
    planned (every host to reboot is blocked), or no plan meets the deadline. 5: the plan broke a
    rule; nothing was written.
    """
    _refuse_output(fleet, output, json)
    if time_limit is not None and not math.isfinite(time_limit):
        fail(Exit.BAD_INPUT, f"--time-limit: expected a number of seconds, got {time_limit}")
    refuse_deadline(deadline_s)
    seen = load_fleet_file(fleet)
    refuse_explain(seen.fleet, explain)
    options = _options(seed, time_limit)
    curve = None
    if pareto or deadline_s is not None:
        curve = curve_of(seen.fleet, seen.sha256, options, deadline_s)
    made = curve.plan if curve is not None else _planned(seen, options)
    refuse_broken(seen, made)
    _write(output, made)
    why = None if explain is None else explained(seen.fleet, made, explain)
    _report(seen, made, output, json, Extras(curve, why))
    raise typer.Exit(int(_verdict(made)))


def check(
    fleet: FleetFile, plan: PlanFile, output: CheckForm = Format.TABLE, json: Json = False
) -> None:
    """Check a plan against its fleet, by every rule, in every order that the plan allows.

    Exit code 0: valid. 1: it has problems. 2: bad input.
    """
    from planner.check import problems

    if fleet == plan == STANDARD:
        fail(Exit.BAD_INPUT, "FLEET and PLAN cannot both be standard input")
    seen = load_fleet_file(fleet)
    found = problems(seen.fleet, _load_plan_file(plan), seen.sha256)
    form = Format.JSON if json else output
    if form.for_programs:
        _print_found(found, form)
    else:
        lines = _told(found, len(found) if form is Format.WIDE else SHOWN)
        print("\n".join(lines) if found else "valid: no problem found")
    raise typer.Exit(int(Exit.REFUSED if found else Exit.DONE))


@dataclass(frozen=True, slots=True)
class Seen:
    """A fleet, the name of its file, and the SHA-256 of the file's JSON (unpacked), in hex."""

    fleet: Fleet
    path: str
    sha256: str


def load_fleet_file(path: str) -> Seen:
    """The fleet in a file; ends the command with a line for each problem."""
    from planner.fleet import FleetError, load_fleet

    data = _read(path)
    try:
        fleet = load_fleet(data)
    except FleetError as error:
        _bad_document(path, error.problems, error.more, "" if error.all_seen else "at least ")
    # A large fleet stays as it is until the end; looking through it for garbage takes for ever.
    gc.freeze()
    return Seen(fleet, path, hashlib.sha256(data).hexdigest())


def refuse_broken(seen: Seen, made: Plan) -> None:
    """End the command where the checker finds that a plan of ours breaks a rule."""
    from planner.check import problems

    found = problems(seen.fleet, made, seen.sha256)
    if found:
        head = "internal error: the plan breaks the rules, and was not written; please report this"
        fail(Exit.INTERNAL, [head, *_told(found)])


def _refuse_output(fleet: str, output: str, json: bool) -> None:
    if output == STANDARD and json:
        fail(Exit.BAD_INPUT, "--output - prints the plan, which is JSON; leave out --json")
    if same_file(fleet, output):
        fail(Exit.BAD_INPUT, f"{output}: is the fleet file; expected another file for the plan")
    try:
        refuse_unwritable(output)
    except FileError as error:
        fail(Exit.BAD_INPUT, str(error))


def _options(seed: int, time_limit_s: float | None) -> PlanOptions:
    from planner.options import PlanOptions

    options = PlanOptions(seed=seed, clock=time.monotonic)
    return options if time_limit_s is None else replace(options, time_limit_s=time_limit_s)


def _planned(seen: Seen, options: PlanOptions) -> Plan:
    from planner.evacuate import plan_rollout

    return plan_rollout(seen.fleet, seen.sha256, options)


def _write(output: str, made: Plan) -> None:
    from planner.plan import plan_json

    try:
        write_document(output, plan_json(made))
    except FileError as error:
        fail(Exit.BAD_INPUT, str(error))


@dataclass(frozen=True, slots=True)
class Extras:
    """What was asked for besides the plan."""

    curve: Curve | None
    why: Explanation | None

    def rows(self) -> dict[str, Any]:
        """For `--json`."""
        rows: dict[str, Any] = {}
        if self.curve is not None:
            rows["pareto"] = curve_rows(self.curve)
        if self.why is not None:
            rows["explanation"] = explanation_row(self.why)
        return rows


def _report(seen: Seen, made: Plan, output: str, json: bool, extras: Extras) -> None:
    if json:
        from planner.plan_file import plan_rows

        rows = plan_rows(made)
        del rows["steps"]
        verdict = int(_verdict(made))
        _print_json({"output": output, "exit_code": verdict, **rows, **extras.rows()})
        return
    from rich.console import Console

    from scheduler.show_plan import show_plan

    # The plan itself may be what standard output is for.
    console = Console(stderr=output == STANDARD, highlight=False)
    show_plan(seen.fleet, made, console)
    if extras.curve is not None:
        show_curve(extras.curve, console)
    if extras.why is not None:
        show_explanation(extras.why, console)


def _verdict(made: Plan) -> Exit:
    if not made.blocked:
        return Exit.DONE
    return Exit.BLOCKED if made.summary.hosts_rebooted else Exit.NO_PLAN


def _load_plan_file(path: str) -> Plan:
    from planner.plan import PlanError, load_plan

    try:
        return load_plan(_read(path))
    except PlanError as error:
        _bad_document(path, error.problems, error.more, "")


def _read(path: str) -> bytes:
    try:
        return read_document(path)
    except FileError as error:
        fail(Exit.BAD_INPUT, str(error))


def _bad_document(path: str, problems: Sequence[str], more: int, at_least: str) -> NoReturn:
    lines = [f"{path}: {problem}" for problem in problems]
    fail(Exit.BAD_INPUT, lines + ([f"{path}: and {at_least}{more:,} more"] if more else []))


def _told(found: Sequence[Problem], most: int = SHOWN) -> list[str]:
    lines = [str(problem) for problem in found[:most]]
    return lines + ([f"and {len(found) - most:,} more"] if len(found) > most else [])


def _print_found(found: Sequence[Problem], form: Format) -> None:
    from scheduler.cli_print import document

    print(document({"valid": not found, "problems": [_problem_row(p) for p in found]}, form))


def _problem_row(problem: Problem) -> dict[str, Any]:
    return {
        "rule": problem.rule,
        "step": problem.step,
        "host": problem.host,
        "guest": problem.guest,
        "text": problem.text,
    }


def _print_json(value: Any) -> None:
    import orjson

    sys.stdout.buffer.write(orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n")
