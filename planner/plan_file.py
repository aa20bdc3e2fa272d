"""Writes and reads plan files."""

from __future__ import annotations

from typing import Any

import orjson

from planner.json_text import JsonError, collector_paused, parse, repeated_keys
from planner.plan import (
    PLAN_FORMAT,
    Blocked,
    Plan,
    PlanError,
    Reason,
    Step,
    StepKind,
    Summary,
    Wave,
)
from planner.plan_errors import FIELDS_OF_KIND, SUMMARY, plan_problems
from planner.ranges import LISTED

Row = dict[str, Any]


def dump_plan(plan: Plan) -> bytes:
    """The plan file's bytes."""
    with collector_paused():
        return orjson.dumps(plan_rows(plan), option=orjson.OPT_APPEND_NEWLINE)


def plan_rows(plan: Plan) -> Row:
    """The plan file's object."""
    return {
        "format": PLAN_FORMAT,
        "fleet_sha256": plan.fleet_sha256,
        "waves": [{"number": w.number, "hosts": w.hosts, "gate": w.gate} for w in plan.waves],
        "steps": [_step_row(step) for step in plan.steps],
        "blocked": [_blocked_row(blocked) for blocked in plan.blocked],
        "summary": _summary_row(plan.summary),
    }


def _step_row(step: Step) -> Row:
    row: Row = {
        "id": step.id,
        "kind": step.kind,
        "wave": step.wave,
        "needs": step.needs,
        "start_s": step.start_s,
        "end_s": step.end_s,
    }
    for name in FIELDS_OF_KIND[step.kind]:
        row[name] = getattr(step, name)
    return row


def _blocked_row(blocked: Blocked) -> Row:
    reasons = [{"guest": why.guest, "reason": why.reason} for why in blocked.reasons]
    return {"host": blocked.host, "reasons": reasons}


def _summary_row(summary: Summary) -> Row:
    row = {name: getattr(summary, name) for name in SUMMARY}
    if not summary.classes_covered and not summary.classes_not_covered:
        # A fleet without classes keeps to the fields that every plan has.
        del row["classes_covered"], row["classes_not_covered"]
    return row


def read_plan(data: bytes) -> Plan:
    """The plan in these bytes; raises PlanError."""
    with collector_paused():
        try:
            document = parse(data)
        except JsonError as error:
            raise PlanError([str(error)]) from error
        problems = plan_problems(document)
        twice = repeated_keys(data, document, LISTED + 1)
        problems += [f"{path}: stands twice in one object" for path in twice]
        if problems:
            raise PlanError(problems[:LISTED], max(0, len(problems) - LISTED))
        return _built(document)


def _built(document: Row) -> Plan:
    summary = dict(document["summary"])
    for name in ("classes_covered", "classes_not_covered"):
        summary[name] = tuple(summary.get(name, ()))
    return Plan(
        fleet_sha256=document["fleet_sha256"],
        waves=tuple(Wave(w["number"], tuple(w["hosts"]), w["gate"]) for w in document["waves"]),
        steps=tuple(_built_step(row) for row in document["steps"]),
        blocked=tuple(_built_blocked(row) for row in document["blocked"]),
        summary=Summary(**summary),
    )


_KINDS = {str(kind): kind for kind in StepKind}


def _built_step(row: Row) -> Step:
    return Step(
        row["id"],
        _KINDS[row["kind"]],
        row["wave"],
        tuple(row["needs"]),
        row["start_s"],
        row["end_s"],
        row.get("guest"),
        row.get("source"),
        row.get("destination"),
        row.get("host"),
    )


def _built_blocked(row: Row) -> Blocked:
    return Blocked(row["host"], tuple(Reason(r["guest"], r["reason"]) for r in row["reasons"]))
