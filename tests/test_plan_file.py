"""A plan file holds what the format says, and nothing else is taken for one."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from planner.plan import Plan, PlanError, StepKind, load_plan, plan_json
from planner.ranges import LISTED
from tests.broken import example


def plan() -> Plan:
    return example()[1]


def document() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(plan_json(plan()))
    return made


def refused(data: Any) -> PlanError:
    with pytest.raises(PlanError) as raised:
        load_plan(data if isinstance(data, bytes) else json.dumps(data).encode())
    return raised.value


def test_what_is_written_is_read_again() -> None:
    assert load_plan(plan_json(plan())) == plan()


def test_a_step_is_written_with_the_fields_of_its_kind_only() -> None:
    every = {"id", "kind", "wave", "needs", "start_s", "end_s"}
    further = {
        StepKind.MOVE: {"guest", "source", "destination"},
        StepKind.STOP: {"guest", "host"},
        StepKind.START: {"guest", "host"},
        StepKind.REBOOT: {"host"},
    }
    steps = document()["steps"]
    assert {step["kind"] for step in steps} == set(StepKind)
    for step in steps:
        assert step.keys() == every | further[step["kind"]]


def test_the_document_has_the_formats_fields() -> None:
    made = document()
    assert list(made) == ["format", "fleet_sha256", "waves", "steps", "blocked", "summary"]
    assert made["format"] == "xenroll.plan/1"
    assert made["waves"][0] == {"number": 1, "hosts": ["n1"], "gate": True}
    reasons = [{"guest": "h", "reason": "is to be left alone"}]
    assert made["blocked"] == [{"host": "n3", "reasons": reasons}]
    assert made["summary"]["classes_covered"] == ["pvh"]


def test_a_plan_without_classes_says_nothing_of_them() -> None:
    bare = replace(plan().summary, classes_covered=(), classes_not_covered=())
    made = json.loads(plan_json(replace(plan(), summary=bare)))
    assert set(made["summary"]) == {
        "moves",
        "moves_lower_bound",
        "makespan_s",
        "makespan_lower_bound_s",
        "hosts_rebooted",
        "hosts_blocked",
        "guests_moved",
        "guests_restarted",
        "planning_s",
    }
    assert load_plan(json.dumps(made).encode()).summary == bare


def put(path: str, value: Any) -> dict[str, Any]:
    made: Any = document()
    at = made
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in parents:
        at = at[part]
    at[last] = value
    return made  # type: ignore[no-any-return]


NAME = "a non-empty string without control characters"
KINDS = '"move" or "stop" or "start" or "reboot"'
WRONG = [
    ("format", "xenroll.plan/2", 'format: expected "xenroll.plan/1", got "xenroll.plan/2"'),
    ("fleet_sha256", "ab", 'fleet_sha256: expected 64 lower-case hexadecimal digits, got "ab"'),
    ("waves", None, "waves: expected a list of objects, got null"),
    ("more", 1, "more: unknown field; expected one of format, fleet_sha256"),
    ("waves.0.number", 0, "waves[0].number: expected an integer from 1 to 1000000000, got 0"),
    ("waves.0.hosts", "n1", 'waves[0].hosts: expected a list of strings, got "n1"'),
    ("waves.0.gate", "yes", 'waves[0].gate: expected true or false, got "yes"'),
    ("steps.3", 4, "steps[3]: expected an object, got 4"),
    ("steps.0.id", 4, f"steps[0].id: expected {NAME}, got 4"),
    ("steps.0.kind", "copy", f'steps[0].kind: expected {KINDS}, got "copy"'),
    ("steps.0.kind", ["move"], f'steps[0].kind: expected {KINDS}, got ["move"]'),
    ("steps.0.wave", 1.0, "steps[0].wave: expected an integer from 1 to 1000000000, got 1.0"),
    ("steps.2.needs", ["move:a", 3], f"steps[2].needs[1]: expected {NAME}, got 3"),
    ("steps.0.start_s", -1, "steps[0].start_s: expected a number from 0"),
    ("steps.0.end_s", "9", "steps[0].end_s: expected a number from 0"),
    ("steps.0.host", "n1", "steps[0].host: unknown field; expected one of id, kind, wave"),
    ("steps.2.guest", "a", "steps[2].guest: unknown field; expected one of id, kind, wave"),
    ("blocked.0.host", None, f"blocked[0].host: expected {NAME}, got null"),
    ("blocked.0.reasons.0.reason", "", f"blocked[0].reasons[0].reason: expected {NAME}"),
    ("blocked.0.reasons.0.guest", 3, f"blocked[0].reasons[0].guest: expected {NAME}, or null"),
    ("summary", [], "summary: expected an object, got []"),
    ("summary.moves", 1.5, "summary.moves: expected an integer from 0"),
    ("summary.makespan_s", None, "summary.makespan_s: expected a number from 0"),
    ("summary.classes_covered", [1], f"summary.classes_covered[0]: expected {NAME}, got 1"),
]


@pytest.mark.parametrize(("path", "value", "expected"), WRONG)
def test_a_wrong_value_is_told_with_its_path_and_what_was_expected(
    path: str, value: Any, expected: str
) -> None:
    [line] = refused(put(path, value)).problems
    assert line.startswith(expected)


@pytest.mark.parametrize("path", ["waves.0.gate", "steps.0.destination", "summary.planning_s"])
def test_a_missing_field_is_told_with_its_path(path: str) -> None:
    made = put(path, None)
    at: Any = made
    for part in path.split(".")[:-1]:
        at = at[int(part) if part.isdigit() else part]
    del at[path.split(".")[-1]]
    [line] = refused(made).problems
    assert line.startswith(f"{path.replace('.0', '[0]')}: missing; expected ")


def test_a_key_that_stands_twice_is_told() -> None:
    data = plan_json(plan()).replace(b'"gate":true', b'"gate":true,"gate":false')
    assert refused(data).problems == ["waves[0].gate: stands twice in one object"]


def test_no_json_object_is_told_in_one_line() -> None:
    assert refused(b"").problems == ["the file is empty; expected one JSON object"]
    assert refused(b"[1]").problems == ["expected one JSON object, got [1]"]


def test_the_first_twenty_problems_are_listed_and_the_rest_counted() -> None:
    made = document()
    made["steps"] = [made["steps"][0] | {"wave": 0} for _ in range(LISTED + 5)]
    error = refused(made)
    assert (len(error.problems), error.more) == (LISTED, 5)
