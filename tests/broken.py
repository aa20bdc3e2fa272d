"""A valid plan that has something of everything, and ways to break it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from planner.fleet import Fleet
from planner.plan import Blocked, Plan, Reason, Step, StepKind, Summary, Wave
from tests.make import Draft, fleet, guest, host, true_summary

Break = Callable[[Plan], Plan]


def example() -> tuple[Fleet, Plan]:
    """Two hosts rebooted in two waves with a gate between, one blocked, one that needs nothing.

    `b` goes from n1 to n2 to make room, and back to n1; `r` is restarted; `h` blocks n3.
    """
    seen = fleet(
        [
            host("n1", gib=32, cpus=8, offers=["san"]),
            host("n2", gib=32, cpus=8, offers=["san"]),
            host("n3", gib=32, cpus=8, offers=["san"]),
            host("spare", gib=32, cpus=8, xen="4.18", reboot=False, offers=["san"]),
            host("alien", gib=32, cpus=8, xen="4.18", reboot=False, pool="other"),
            host("bare", gib=32, cpus=8, xen="4.18", reboot=False),
        ],
        [
            guest("a", "n1", gib=12, vcpus=4, needs=["san"]),
            guest("b", "n1", gib=8, vcpus=4, apart=["web"], guest_class="pvh"),
            guest("c", "n2", gib=16, vcpus=4, guest_class="hvm"),
            guest("r", "n2", gib=4, vcpus=4, evacuation="restart"),
            guest("h", "n3", gib=8, vcpus=4, evacuation="hold"),
            guest("s", "spare", gib=4, vcpus=4, apart=["web"]),
        ],
        xen_after="4.18",
        canary_hosts=1,
        wave_hosts=1,
        gates="canary",
        max_moves_out_per_host=1,
        max_moves_in_per_host=1,
        max_hosts_away=1,
    )
    draft = Draft(seen).wave("n1", gate=True).wave("n2")
    draft.move("a", "spare").move("b", "n2").reboot("n1", ["move:a", "move:b"])
    draft.move("c", "n1", ["reboot:n1"]).move("b", "n1", ["move:b", "reboot:n1"])
    draft.stop("r", ["move:c", "move:b#2"]).reboot("n2", ["stop:r"]).start("r", ["reboot:n2"])
    draft.block("n3", ("h", "is to be left alone"))
    classes = {"classes_covered": ("pvh",), "classes_not_covered": ("hvm",)}
    return seen, draft.plan(**classes)


def summed_up(plan: Plan) -> Plan:
    """The plan with a summary that is true again."""
    told = true_summary(plan.steps, plan.blocked)
    stays = {"classes_covered": ("pvh",), "classes_not_covered": ("hvm",)}
    return replace(plan, summary=Summary(**told | stays))


def change(step_id: str, **fields: Any) -> Break:
    def changed(plan: Plan) -> Plan:
        assert any(step.id == step_id for step in plan.steps)
        steps = [replace(s, **fields) if s.id == step_id else s for s in plan.steps]
        return summed_up(replace(plan, steps=tuple(steps)))

    return changed


def drop(*step_ids: str) -> Break:
    """The plan without these steps; what needed them needs what they needed."""

    def dropped(plan: Plan) -> Plan:
        steps = list(plan.steps)
        for step_id in step_ids:
            gone = next(step for step in steps if step.id == step_id)
            steps = [replace(s, needs=_instead(s, gone)) for s in steps if s is not gone]
        return summed_up(replace(plan, steps=tuple(steps)))

    return dropped


def _instead(step: Step, gone: Step) -> tuple[str, ...]:
    kept = tuple(need for need in step.needs if need != gone.id)
    return (*kept, *gone.needs) if gone.id in step.needs else step.needs


def add(kind: StepKind, step_id: str, needs: tuple[str, ...], **fields: Any) -> Break:
    """The plan with one more step at its end."""

    def added(plan: Plan) -> Plan:
        policy = example()[0].policy
        memory_mib = {g.name: g.memory_mib for g in example()[0].guests}
        lasts_s = {StepKind.REBOOT: policy.reboot_s, StepKind.STOP: 30.0, StepKind.START: 30.0}
        if kind is StepKind.MOVE:
            lasts_s[kind] = policy.move_s(memory_mib[fields["guest"]])
        start_s = max(step.end_s for step in plan.steps)
        wave = fields.pop("wave", 2)
        step = Step(step_id, kind, wave, needs, start_s, start_s + lasts_s[kind], **fields)
        return summed_up(replace(plan, steps=(*plan.steps, step)))

    return added


def waves(*chosen: tuple[tuple[str, ...], bool], first: int = 1) -> Break:
    made = tuple(Wave(n, hosts, gate) for n, (hosts, gate) in enumerate(chosen, first))
    return lambda plan: replace(plan, waves=made)


def blocked(*chosen: tuple[str, tuple[Reason, ...]]) -> Break:
    made = tuple(Blocked(*one) for one in chosen)
    return lambda plan: summed_up(replace(plan, blocked=made))


def summary(**fields: Any) -> Break:
    return lambda plan: replace(plan, summary=replace(plan.summary, **fields))
