"""A valid plan has no problems, and each way of breaking it is told by its rule."""

from __future__ import annotations

import pytest

from planner.check import Rule, problems
from planner.plan import Reason, StepKind
from tests.broken import Break, add, blocked, change, drop, example, summary, waves
from tests.make import fleet_json, sha256

H = (Reason("h", "is to be left alone"),)
LAST = ("start:r", "move:b#2")
REBOOT, STOP, MOVE = StepKind.REBOOT, StepKind.STOP, StepKind.MOVE


def test_the_example_is_valid() -> None:
    seen, plan = example()
    assert problems(seen, plan, sha256(fleet_json(seen))) == []


FORM: dict[str, Break] = {
    "two steps of one id": change("move:c", id="move:a"),
    "a need that is no step": change("move:c", needs=("reboot:n1", "nothing")),
    "a step that needs itself": change("move:a", needs=("move:a",)),
    "needs in a circle": change("move:a", needs=("reboot:n1",)),
    "a move of an unknown guest": change("move:a", guest="x"),
    "a move from an unknown host": change("move:a", source="x"),
    "a move to an unknown host": change("move:a", destination="x"),
    "a reboot of an unknown host": change("reboot:n1", host="x"),
    "an unknown host in a wave": waves((("n1", "x"), True), (("n2",), False)),
    "an unknown host blocked": blocked(("n3", H), ("x", H)),
    "an unknown guest as a reason": blocked(("n3", (Reason("x", "?"),))),
}

REBOOTS: dict[str, Break] = {
    "a host neither rebooted nor blocked": blocked(),
    "a host rebooted and blocked": blocked(("n3", H), ("n1", H)),
    "a host rebooted twice": add(REBOOT, "again", LAST, host="n2"),
    "a host rebooted that needs it not": add(REBOOT, "r", LAST, host="bare"),
    "a host blocked twice": blocked(("n3", H), ("n3", H)),
    "a host blocked that needs no reboot": blocked(("n3", H), ("spare", H)),
    "a host blocked for no reason": blocked(("n3", ())),
}

EMPTY: dict[str, Break] = {
    "a reboot that does not wait for a move": change("reboot:n1", needs=("move:a",)),
    "a guest left behind": drop("move:c"),
    "a guest that comes before the host is back": change("move:c", needs=()),
    "a stop that does not wait for a move": change("stop:r", needs=("move:c",)),
    "a reboot that does not wait for a stop": change("reboot:n2", needs=("move:c", "move:b#2")),
    "a start that does not wait for the reboot": change("start:r", needs=("stop:r",)),
    "a guest that is never stopped": drop("stop:r"),
    "a guest that is never started again": drop("start:r"),
    "a guest stopped twice": add(STOP, "s", LAST, guest="r", host="n2"),
    "a guest stopped where it does not run": add(STOP, "s", LAST, guest="r", host="n1"),
}

PATH: dict[str, Break] = {
    "a move that takes a guest from elsewhere": change("move:c", source="spare"),
    "a second move that need not wait for the first": change("move:b#2", needs=()),
    "a move to the same host": change("move:a", destination="n1"),
    "a move to another pool": change("move:a", destination="alien"),
    "a move to a host without what it needs": change("move:a", destination="bare"),
    "a move to a lower Xen": add(MOVE, "m", LAST, guest="s", source="spare", destination="n3"),
    "a move from a rebooted host to a blocked one": add(
        MOVE, "m", LAST, guest="c", source="n1", destination="n3"
    ),
}

UNTOUCHED: dict[str, Break] = {
    "a hold guest moved": add(MOVE, "m", LAST, guest="h", source="n3", destination="spare"),
    "a restart guest moved": add(MOVE, "m", LAST, guest="r", source="n2", destination="spare"),
    "a move guest stopped": add(STOP, "s", LAST, guest="s", host="spare"),
}

ESTIMATE: dict[str, Break] = {
    "a move that is too quick": change("move:a", start_s=0.0, end_s=20.0),
    "a reboot that is too quick": change("reboot:n2", start_s=10_000.0, end_s=10_400.0),
    "a step before what it needs has ended": change("start:r", start_s=0.0, end_s=30.0),
    "two moves off a host at once": change("move:b", start_s=1.0, end_s=1.0 + 4 + 19.756847),
    "two hosts away at once": change("reboot:n2", start_s=100.0, end_s=520.0),
}

WAVES: dict[str, Break] = {
    "waves that do not count from 1": waves((("n1",), True), (("n2",), False), first=2),
    "a canary wave that is too large": waves((("n1", "n2"), False)),
    "an empty first wave": waves(((), True), (("n1",), True), (("n2",), False)),
    "a later wave that is too large": waves(
        (("n1",), True), (("n2", "n2"), False), (("n3",), False)
    ),
    "a canary wave without its gate": waves((("n1",), False), (("n2",), False)),
    "a gate that a step does not wait at": change("move:b", wave=2),
    "a host in two waves": waves((("n1",), True), (("n2",), False), (("n1",), False)),
    "a rebooted host in no wave": waves((("n1",), True)),
    "a blocked host in a wave": waves((("n1",), True), (("n2",), False), (("n3",), False)),
    "a reboot in another host's wave": change("reboot:n2", wave=1),
    "a stop in another host's wave": change("stop:r", wave=1),
    "a move in a wave after its host's": change("move:a", wave=2),
    "a step in a wave that there is not": change("start:r", wave=3),
}

SUMMARY: dict[str, Break] = {
    "too few moves told": summary(moves=3),
    "too many guests moved": summary(guests_moved=4),
    "too many guests restarted": summary(guests_restarted=2),
    "too many hosts rebooted": summary(hosts_rebooted=3),
    "too few hosts blocked": summary(hosts_blocked=0),
    "a makespan that is too short": summary(makespan_s=100.0),
    "a bound of moves that the plan beats": summary(moves_lower_bound=5),
    "a bound of the makespan that the plan beats": summary(makespan_lower_bound_s=99_999.0),
    "a class covered that is not in the first wave": summary(
        classes_covered=("pvh", "hvm"), classes_not_covered=()
    ),
    "a class that no guest has": summary(classes_not_covered=("hvm", "vax")),
    "a class of moved guests left out": summary(classes_not_covered=()),
    "a class both covered and not": summary(classes_not_covered=("hvm", "pvh")),
}

TABLES = {
    Rule.FORM: FORM,
    Rule.REBOOTS: REBOOTS,
    Rule.EMPTY: EMPTY,
    Rule.PATH: PATH,
    Rule.UNTOUCHED: UNTOUCHED,
    Rule.ESTIMATE: ESTIMATE,
    Rule.WAVES: WAVES,
    Rule.SUMMARY: SUMMARY,
}
CASES = [(rule, name) for rule, table in TABLES.items() for name in table]


ALSO = {
    "a host rebooted twice": {Rule.EMPTY},
    "a host rebooted that needs it not": {Rule.WAVES},
    "a guest that comes before the host is back": {Rule.ROOM, Rule.WAVES},
    "a guest that is never stopped": {Rule.SUMMARY},
    "a guest that is never started again": {Rule.SUMMARY},
    "a guest stopped where it does not run": {Rule.WAVES},
    "a second move that need not wait for the first": {Rule.WAVES},
    "a move to the same host": {Rule.EMPTY, Rule.ROOM},
    "a hold guest moved": {Rule.REBOOTS},
    "a restart guest moved": {Rule.EMPTY},
    "a move guest stopped": {Rule.SUMMARY},
    "an empty first wave": {Rule.SUMMARY},
}
"""Where breaking one rule cannot but break others."""


@pytest.mark.parametrize(("rule", "name"), CASES)
def test_a_broken_plan_is_told_by_its_rule_and_no_other(rule: Rule, name: str) -> None:
    seen, plan = example()
    broken = TABLES[rule][name](plan)
    assert broken != plan
    found = problems(seen, broken)
    told = {problem.rule for problem in found}
    assert told == {rule} | ALSO.get(name, set()), [str(problem) for problem in found]


def test_a_plan_for_another_fleet_file_is_refused() -> None:
    seen, plan = example()
    [problem] = problems(seen, plan, sha256(b"another"))
    assert problem.rule is Rule.SUMMARY
    assert sha256(b"another") in str(problem)


def test_a_problem_names_its_rule_the_step_the_host_the_guest_and_the_figures() -> None:
    seen, plan = example()
    [problem] = problems(seen, change("reboot:n1", needs=("move:a",))(plan))
    assert (problem.step, problem.host, problem.guest) == ("reboot:n1", "n1", "b")
    assert str(problem) == (
        "rule 2: step 'reboot:n1', host 'n1', guest 'b': may still be here at the reboot"
    )
    [short] = problems(seen, change("move:a", end_s=20.0)(plan))
    assert str(short) == (
        "rule 6: step 'move:a', guest 'a': lasts 20.000 s by the estimate; expected 33.635 s"
    )


def test_a_circle_of_needs_is_named_step_by_step() -> None:
    seen, plan = example()
    [problem] = problems(seen, change("move:a", needs=("reboot:n1",))(plan))
    assert "reboot:n1" in problem.text and "move:a" in problem.text
