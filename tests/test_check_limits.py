"""Rule 6: the limits of moves and of hosts away, by the estimate."""

from __future__ import annotations

from typing import Any

import pytest

from planner.check import Rule, problems
from tests.make import Draft, fleet, guest, host

MOVE_S = 4 + 4096 * 8.388608 * 1.15 / 4000


def told(draft: Draft) -> list[str]:
    found = problems(draft.fleet, draft.plan())
    assert {problem.rule for problem in found} <= {Rule.ESTIMATE}, found
    return [problem.text for problem in found]


def three_moves(starts_s: list[float], *, out: bool, **policy: Any) -> list[str]:
    """Three guests leave one host for three others, or come to one from three."""
    hosts = [host("hub", reboot=False), *(host(f"n{n}", reboot=False) for n in range(3))]
    guests = [guest(f"g{n}", "hub" if out else f"n{n}") for n in range(3)]
    draft = Draft(fleet([*hosts, host("other", pool="p")], guests, **policy)).wave("other")
    for number, start_s in enumerate(starts_s):
        to = f"n{number}" if out else "hub"
        draft.move(f"g{number}", to, start_s=start_s, end_s=start_s + MOVE_S)
    return told(draft.reboot("other"))


@pytest.mark.parametrize("out", [True, False])
def test_no_more_moves_at_once_than_the_policy_allows(out: bool) -> None:
    way = "moves out" if out else "moves in"
    assert three_moves([0.0, 5.0, 10.0], out=out) == [
        f"3 {way} at once by the estimate; at most 2 are allowed"
    ]
    assert three_moves([0.0, 5.0, MOVE_S], out=out) == []


def test_the_ways_out_and_in_have_limits_of_their_own() -> None:
    assert three_moves([0.0] * 3, out=True, max_moves_out_per_host=3) == []
    assert three_moves([0.0] * 3, out=False, max_moves_in_per_host=3) == []


def reboots(groups: list[str | None], starts_s: list[float], **policy: Any) -> list[str]:
    hosts = [host(f"n{n}", group=group) for n, group in enumerate(groups)]
    draft = Draft(fleet(hosts, **policy)).wave(*(seen.name for seen in hosts))
    for seen, start_s in zip(hosts, starts_s, strict=True):
        draft.reboot(seen.name, start_s=start_s)
    return told(draft)


def test_by_default_a_tenth_of_the_hosts_may_be_away_rounded_up() -> None:
    assert reboots([None] * 10, [420.0 * n for n in range(10)]) == []
    assert reboots([None] * 11, [420.0 * (n // 2) for n in range(11)]) == []
    [text] = reboots([None] * 10, [420.0 * (n // 2) for n in range(10)])
    assert text == "2 hosts in all away at once by the estimate; at most 1 are allowed"


def test_hosts_of_one_group_have_a_limit_of_their_own() -> None:
    starts_s = [0.0, 100.0, 200.0]
    limits = {"max_hosts_away": 3, "max_hosts_away_per_group": 1}
    assert reboots(["a", "b", None], starts_s, **limits) == []
    assert reboots([None, None, None], starts_s, **limits) == []
    [text] = reboots(["a", "b", "a"], starts_s, **limits)
    assert text == "2 hosts of group 'a' away at once by the estimate; at most 1 are allowed"


def test_estimates_that_were_rounded_to_the_millisecond_are_no_problem() -> None:
    draft = Draft(fleet([host("n1"), host("n2")])).wave("n1", "n2")
    draft.reboot("n1", start_s=0.0, end_s=420.001)
    assert told(draft.reboot("n2", ["reboot:n1"], start_s=420.0, end_s=819.9995)) != []
    draft.steps.pop()
    assert told(draft.reboot("n2", ["reboot:n1"], start_s=420.0, end_s=839.9995)) == []
