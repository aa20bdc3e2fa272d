"""The waves of a plan: who is in them, which steps belong where, and that gates hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from planner.check_hosts import HostSteps
from planner.check_order import Order
from planner.check_view import NONE, Problem, Rule, View
from planner.fleet import Gates
from planner.plan import StepKind, Wave


def wave_problems(view: View, host_steps: list[HostSteps]) -> Iterator[Problem]:
    """Waves that are numbered, filled or gated wrongly; steps in the wrong wave."""
    waves = view.plan.waves
    numbers = [wave.number for wave in waves]
    if numbers != list(range(1, len(waves) + 1)):
        text = f"the waves are numbered {numbers[:20]}; expected 1, 2, 3 and so on"
        yield Problem(Rule.WAVES, text)
        return
    for wave in waves:
        yield from _size_problems(view, wave)
    yield from _member_problems(view)
    yield from _step_problems(view, host_steps)


def _size_problems(view: View, wave: Wave) -> Iterator[Problem]:
    policy = view.fleet.policy
    is_canary = wave.number == 1 and policy.canary_hosts > 0
    most = policy.canary_hosts if is_canary else policy.wave_hosts
    least = 1 if wave.number == 1 else 0
    if not least <= len(wave.hosts) <= most:
        text = f"wave {wave.number} holds {len(wave.hosts)} hosts; expected {least} to {most}"
        yield Problem(Rule.WAVES, text)
    gated = policy.gates is Gates.EVERY or (policy.gates is Gates.CANARY and is_canary)
    if gated and not wave.gate and wave.number < len(view.plan.waves):
        text = f"wave {wave.number} has no gate; the policy's gates are {str(policy.gates)!r}"
        yield Problem(Rule.WAVES, text)


def _member_problems(view: View) -> Iterator[Problem]:
    counted = Counter(name for wave in view.plan.waves for name in wave.hosts)
    for number, host in enumerate(view.hosts):
        expected = 1 if view.reboot_of[number] != NONE else 0
        if counted[host.name] != expected:
            what = "is rebooted" if expected else "is not rebooted"
            text = f"{what} and stands {counted[host.name]} times in the waves; expected {expected}"
            yield Problem(Rule.WAVES, text, host=host.name)


def _step_problems(view: View, host_steps: list[HostSteps]) -> Iterator[Problem]:
    wave_of = _wave_of_host(view)
    for number, step in enumerate(view.steps):
        if step.wave > len(view.plan.waves):
            text = f"is in wave {step.wave}; there are {len(view.plan.waves)} waves"
            yield Problem(Rule.WAVES, text, step=step.id)
            continue
        moves = step.kind is StepKind.MOVE
        about = view.source[number] if moves else view.host[number]
        expected = wave_of[about]
        if expected == NONE or step.wave == expected:
            continue
        # A move may make room for an earlier wave, or leave a host that is back already.
        if not moves or (step.wave > expected and not host_steps[about].comes_after_reboot(number)):
            name = view.hosts[about].name
            text = f"is in wave {step.wave}, and its host in wave {expected}"
            yield Problem(Rule.WAVES, text, step=step.id, host=name)


def _wave_of_host(view: View) -> list[int]:
    wave_of = [NONE] * len(view.hosts)
    for wave in view.plan.waves:
        for name in wave.hosts:
            wave_of[view.host_number[name]] = wave.number
    return wave_of


def gate_problems(view: View, order: Order) -> Iterator[Problem]:
    """Gates that some order does not keep: a step of a later wave need not wait for a reboot.

    One problem for each gate, which names the first such step.
    """
    reboots, up_to = _behind_gates(view)
    lacking: dict[int, list[tuple[int, int]]] = {}
    for step, ended in order.every(reboots):
        wave = min(view.steps[step].wave, len(up_to) - 1)
        missing = ((1 << up_to[wave]) - 1) & ~ended
        if missing:
            reboot = reboots[(missing & -missing).bit_length() - 1]
            lacking.setdefault(view.steps[reboot].wave, []).append((step, reboot))
    for wave, found in sorted(lacking.items()):
        step, reboot = found[0]
        text = (
            f"need not wait for {view.steps[reboot].id!r}, behind the gate of wave {wave}; "
            f"{len(found)} steps of later waves do not wait for all of that wave"
        )
        yield Problem(Rule.WAVES, text, step=view.steps[step].id)


def _behind_gates(view: View) -> tuple[list[int], list[int]]:
    """The reboots of the waves with a gate, and how many of them each wave has to wait for."""
    reboots: list[int] = []
    up_to = [0, 0]
    for wave in view.plan.waves[:-1]:
        if wave.gate:
            hosts = (view.host_number[name] for name in wave.hosts)
            reboots += (view.reboot_of[host] for host in hosts if view.reboot_of[host] != NONE)
        up_to.append(len(reboots))
    return reboots, up_to
