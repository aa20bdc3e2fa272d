"""Writes and reads plan files."""

from __future__ import annotations

from typing import Any

import orjson

from planner.plan import PLAN_FORMAT, Blocked, Plan, Step, StepKind, Summary, Wave


def dump_plan(plan: Plan) -> bytes:
    """The plan file's bytes, a step on each line."""
    document = {
        "format": PLAN_FORMAT,
        "fleet_sha256": plan.fleet_sha256,
        "waves": [_wave(wave) for wave in plan.waves],
        "steps": [_step(step) for step in plan.steps],
        "blocked": [_blocked(blocked) for blocked in plan.blocked],
        "summary": _summary(plan.summary),
    }
    return orjson.dumps(document)


def _wave(wave: Wave) -> dict[str, Any]:
    return {"number": wave.number, "hosts": wave.hosts, "gate": wave.gate}


def _step(step: Step) -> dict[str, Any]:
    written: dict[str, Any] = {"id": step.id, "kind": step.kind, "wave": step.wave}
    written |= {"needs": step.needs, "start_s": step.start_s, "end_s": step.end_s}
    if step.kind is StepKind.MOVE:
        written["guest"] = step.guest
        written["source"] = step.source
        written["destination"] = step.destination
    else:
        if step.kind is not StepKind.REBOOT:
            written["guest"] = step.guest
        written["host"] = step.host
    return written


def _blocked(blocked: Blocked) -> dict[str, Any]:
    reasons = [{"guest": why.guest, "reason": why.reason} for why in blocked.reasons]
    return {"host": blocked.host, "reasons": reasons}


def _summary(summary: Summary) -> dict[str, Any]:
    written = {name: getattr(summary, name) for name in Summary.__slots__}
    if not summary.classes_covered and not summary.classes_not_covered:
        # A fleet without classes keeps to the contract's fields alone.
        del written["classes_covered"], written["classes_not_covered"]
    return written


def read_plan(data: bytes) -> Plan:
    """The plan in these bytes; raises PlanError."""
    raise NotImplementedError(data)
