"""Rule 6: the estimate keeps the policy's durations and limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from planner.check_view import TOLERANCE_S, Problem, Rule, View
from planner.plan import Step, StepKind


def duration_problems(view: View) -> Iterator[Problem]:
    """Steps that last other than the policy says, or start before what they need has ended."""
    policy = view.fleet.policy
    fixed_s = {
        StepKind.STOP: policy.stop_s,
        StepKind.START: policy.start_s,
        StepKind.REBOOT: policy.reboot_s,
    }
    ends_s = [step.end_s for step in view.steps]
    for number, step in enumerate(view.steps):
        if step.kind is StepKind.MOVE:
            expected_s = policy.move_s(view.guests[view.guest[number]].memory_mib)
        else:
            expected_s = fixed_s[step.kind]
        lasts_s = step.end_s - step.start_s
        if abs(lasts_s - expected_s) > TOLERANCE_S + 1e-9 * expected_s:
            text = f"lasts {lasts_s:.3f} s by the estimate; expected {expected_s:.3f} s"
            yield _of_step(step, text)
        for need in view.needs[number]:
            if ends_s[need] > step.start_s + TOLERANCE_S:
                text = f"starts at {step.start_s:.3f} s by the estimate, before its need "
                text += f"{view.steps[need].id!r} ends at {ends_s[need]:.3f} s"
                yield _of_step(step, text)


def limit_problems(view: View) -> Iterator[Problem]:
    """Hosts with too many moves out or in at a time; too many hosts away, in all or of a group."""
    policy = view.fleet.policy
    ways = (
        (view.source, policy.max_moves_out_per_host, "moves out"),
        (view.target, policy.max_moves_in_per_host, "moves in"),
    )
    for ends, limit, what in ways:
        of_host: list[list[Step]] = [[] for _ in view.hosts]
        for move in view.moves:
            of_host[ends[move]].append(view.steps[move])
        for number, steps in enumerate(of_host):
            most = _most_at_once(steps) if len(steps) > limit else (0, None)
            if most[0] > limit:
                text = f"{most[0]} {what} at once by the estimate; at most {limit} are allowed"
                yield Problem(Rule.ESTIMATE, text, step=most[1], host=view.hosts[number].name)
    yield from _away_problems(view)


def _away_problems(view: View) -> Iterator[Problem]:
    reboots = [view.steps[step] for step in view.of_kind(StepKind.REBOOT)]
    yield from _too_many_away(reboots, view.fleet.max_hosts_away, "in all")
    limit = view.fleet.policy.max_hosts_away_per_group
    if limit is None:
        return
    of_group: dict[str, list[Step]] = {}
    for step in view.of_kind(StepKind.REBOOT):
        group = view.hosts[view.host[step]].group
        if group is not None:
            of_group.setdefault(group, []).append(view.steps[step])
    for group, steps in of_group.items():
        yield from _too_many_away(steps, limit, f"of group {group!r}")


def _too_many_away(reboots: Sequence[Step], limit: int, what: str) -> Iterator[Problem]:
    most, step = _most_at_once(reboots)
    if most > limit:
        text = f"{most} hosts {what} away at once by the estimate; at most {limit} are allowed"
        yield Problem(Rule.ESTIMATE, text, step=step)


def _most_at_once(steps: Sequence[Step]) -> tuple[int, str | None]:
    """The most steps that run at one moment, and the one that starts then."""
    starting = sorted(steps, key=lambda step: step.start_s)
    ends_s = sorted(step.end_s - TOLERANCE_S for step in steps)
    ended, most, when = 0, 0, None
    for started, step in enumerate(starting, 1):
        while ended < len(ends_s) and ends_s[ended] <= step.start_s:
            ended += 1
        if started - ended > most:
            most, when = started - ended, step.id
    return most, when


def _of_step(step: Step, text: str) -> Problem:
    return Problem(Rule.ESTIMATE, text, step=step.id, host=step.host, guest=step.guest)
