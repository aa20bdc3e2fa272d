"""What can be wrong with a plan file, each in one line that names the JSON path.

Only the form: whether the plan fits a fleet and is safe is a matter of `planner.check`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from planner import columns
from planner.columns import Field, Found
from planner.json_text import shown
from planner.plan import PLAN_FORMAT, StepKind

_TEXT = columns.text()
_TEXTS = columns.listed(_TEXT, "strings")
_COUNT = columns.number(0, 10**12, whole=True)
_NUMBER = columns.number(1, 10**9, whole=True)
_SECONDS = columns.number(0, 10**12)
_FLAG = columns.choice(True, False)
_SHA256 = columns.matching("[0-9a-f]{64}", "64 lower-case hexadecimal digits")
_ROWS = columns.listed(columns.Kind("an object", lambda _: True, lambda _: True), "objects")
_OBJECT = columns.Kind("an object", lambda v: type(v) is dict, lambda _: False)

_TOP = {
    "format": Field(columns.choice(PLAN_FORMAT)),
    "fleet_sha256": Field(_SHA256),
    "waves": Field(_ROWS),
    "steps": Field(_ROWS),
    "blocked": Field(_ROWS),
    "summary": Field(_OBJECT),
}
_WAVE = {"number": Field(_NUMBER), "hosts": Field(_TEXTS), "gate": Field(_FLAG)}
_BLOCKED = {"host": Field(_TEXT), "reasons": Field(_ROWS)}
_REASON = {"guest": Field(columns.or_null(_TEXT)), "reason": Field(_TEXT)}
SUMMARY = {
    "moves": Field(_COUNT),
    "moves_lower_bound": Field(_COUNT),
    "makespan_s": Field(_SECONDS),
    "makespan_lower_bound_s": Field(_SECONDS),
    "hosts_rebooted": Field(_COUNT),
    "hosts_blocked": Field(_COUNT),
    "guests_moved": Field(_COUNT),
    "guests_restarted": Field(_COUNT),
    "planning_s": Field(_SECONDS),
    "classes_covered": Field(_TEXTS, required=False),
    "classes_not_covered": Field(_TEXTS, required=False),
}
_STEP = {
    "id": Field(_TEXT),
    "kind": Field(columns.choice(*(str(kind) for kind in StepKind))),
    "wave": Field(_NUMBER),
    "needs": Field(_TEXTS),
    "start_s": Field(_SECONDS),
    "end_s": Field(_SECONDS),
}
FIELDS_OF_KIND = {
    StepKind.MOVE: ("guest", "source", "destination"),
    StepKind.STOP: ("guest", "host"),
    StepKind.START: ("guest", "host"),
    StepKind.REBOOT: ("host",),
}
_STEP_OF = {
    kind: _STEP | dict.fromkeys(more, Field(_TEXT)) for kind, more in FIELDS_OF_KIND.items()
}


def plan_problems(document: Any) -> list[str]:
    """The problems of a parsed plan file."""
    if type(document) is not dict:
        return [f"expected one JSON object, got {shown(document)}"]
    problems = columns.object_problems(document, _TOP, "")
    problems += _in_order(columns.row_problems(_rows(document, "waves"), _WAVE, "waves"))
    problems += _in_order(_wrong_steps(_rows(document, "steps")))
    problems += _wrong_blocked(_rows(document, "blocked"))
    if type(document.get("summary")) is dict:
        problems += columns.object_problems(document["summary"], SUMMARY, "summary")
    return problems


def _rows(row: Any, name: str) -> dict[int, Any]:
    value = row.get(name) if type(row) is dict else None
    return dict(enumerate(value)) if type(value) is list else {}


def _in_order(found: Iterator[Found]) -> list[str]:
    return [line for _, line in sorted(found, key=lambda row_and_line: row_and_line[0])]


def _wrong_steps(rows: dict[int, Any]) -> Iterator[Found]:
    of_kind: dict[str | None, dict[int, Any]] = {}
    for index, row in rows.items():
        of_kind.setdefault(_kind(row), {})[index] = row
    for kind, some in of_kind.items():
        if kind in _STEP_OF:
            yield from columns.row_problems(some, _STEP_OF[StepKind(kind)], "steps")
        else:
            # Which further fields a step of no known kind should have, nobody can say.
            only_kinds = {index: _only_kind(row) for index, row in some.items()}
            yield from columns.row_problems(only_kinds, {"kind": _STEP["kind"]}, "steps")


def _kind(row: Any) -> str | None:
    kind = row.get("kind") if type(row) is dict else None
    return kind if type(kind) is str else None


def _only_kind(row: Any) -> Any:
    return {key: row[key] for key in row if key == "kind"} if type(row) is dict else row


def _wrong_blocked(rows: dict[int, Any]) -> list[str]:
    problems = _in_order(columns.row_problems(rows, _BLOCKED, "blocked"))
    for index, row in rows.items():
        path = f"blocked[{index}].reasons"
        problems += _in_order(columns.row_problems(_rows(row, "reasons"), _REASON, path))
    return problems
