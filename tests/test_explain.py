"""Why a host is blocked or a guest goes where it goes, and what would make it fit."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner, Result

from planner.evacuate import plan_rollout
from planner.explain import Explanation, NoSuchName, explain_guest, explain_host
from planner.explain_moment import Candidate
from planner.fleet import Fleet
from planner.options import PlanOptions
from scheduler.cli import build
from tests.make import Draft, fleet, fleet_json, guest, host


def candidate(found: Explanation, name: str, decision: int = 0) -> Candidate:
    return next(c for c in found.decisions[decision].candidates if c.host == name)


def blocked_by(seen: Fleet, name: str) -> Explanation:
    """The explanation of a guest whose host `a` a plan blocks at once."""
    return explain_guest(seen, Draft(seen).block("a", (None, "for want of room")).plan(), name)


def test_each_host_is_told_short_of_its_mib_and_vcpus() -> None:
    hosts = [host("a"), host("b", gib=8, cpus=1), host("c", gib=12)]
    guests = [guest("g", "a", gib=10, vcpus=5), guest("k", "c", gib=4)]
    found = blocked_by(fleet(hosts, guests), "g")
    assert candidate(found, "b").obstacles == ("2048 MiB short", "1 vCPUs short")
    assert candidate(found, "c").obstacles == ("2048 MiB short",)
    assert found.remedies == ("free 2048 MiB on c", "allow restart of g")


def test_a_fill_limit_counts_as_room_that_is_not_there() -> None:
    seen = fleet([host("a"), host("b", gib=10)], [guest("g", "a", gib=10)], max_fill=0.8)
    assert candidate(blocked_by(seen, "g"), "b").obstacles == ("2048 MiB short",)


def test_a_tag_that_is_not_offered_is_named() -> None:
    hosts = [host("a", offers=["san", "br0"]), host("b", offers=["br0"])]
    found = blocked_by(fleet(hosts, [guest("g", "a", needs=["san", "br0"])]), "g")
    assert candidate(found, "b").obstacles == ("does not offer san",)
    assert found.remedies[0] == "on b, change that does not offer san"


def test_a_guest_to_be_apart_from_is_named() -> None:
    guests = [guest("g", "a", apart=["db"]), guest("k", "b", apart=["db"])]
    found = blocked_by(fleet([host("a"), host("b")], guests), "g")
    assert candidate(found, "b").obstacles == ("has to be apart from k",)


def test_a_lower_xen_is_named() -> None:
    found = blocked_by(fleet([host("a", xen="4.19"), host("b", xen="4.9")], [guest("g", "a")]), "g")
    assert candidate(found, "b").obstacles == ("runs a lower Xen",)


def test_another_pool_is_no_candidate() -> None:
    found = blocked_by(fleet([host("a"), host("b", pool="far")], [guest("g", "a")]), "g")
    assert found.decisions[0].candidates == ()
    assert found.remedies == ("allow restart of g",)


def test_a_move_tells_what_every_host_was_like_just_then() -> None:
    """`b` still holds the guest that is on its way to `c`, and `c` counts it already."""
    hosts = [host("a"), host("b", gib=8), host("c", gib=8), host("d", reboot=False)]
    guests = [guest("g", "a"), guest("k", "b", gib=6)]
    draft = Draft(fleet(hosts, guests)).wave("a", "b", "c")
    draft.move("k", "c", start_s=0.0, end_s=50.0).move("g", "d", start_s=10.0, end_s=20.0)
    draft.reboot("a", start_s=20.0, end_s=440.0)
    found = explain_guest(draft.fleet, draft.plan(), "g")
    assert found.decisions[0].destination == "d"
    assert candidate(found, "b").obstacles == ("2048 MiB short",)
    assert candidate(found, "c").obstacles == ("2048 MiB short",)
    assert candidate(found, "d").fits
    assert "wave 1" in found.told[0]


def test_a_host_that_waits_or_reboots_is_told_so() -> None:
    hosts = [host("a"), host("b"), host("c"), host("d", reboot=False)]
    draft = Draft(fleet(hosts, [guest("g", "a")])).wave("a", "b", "c")
    draft.reboot("b", start_s=0.0, end_s=420.0).move("g", "d", start_s=100.0, end_s=110.0)
    draft.reboot("a", start_s=110.0, end_s=530.0).reboot("c", start_s=600.0, end_s=1020.0)
    found = explain_guest(draft.fleet, draft.plan(), "g")
    assert candidate(found, "b").obstacles == ("its reboot lasts until 420 s",)
    assert candidate(found, "c").fits
    assert "have to move again" in candidate(found, "c").note


def test_a_guest_on_a_rebooted_host_cannot_go_back_to_one_that_waits() -> None:
    hosts = [host("a"), host("b"), host("d", reboot=False)]
    draft = Draft(fleet(hosts, [guest("g", "b")])).wave("a", "b")
    draft.reboot("a", start_s=0.0, end_s=420.0).move("g", "a", start_s=420.0, end_s=430.0)
    draft.move("g", "d", start_s=500.0, end_s=510.0).reboot("b", start_s=600.0, end_s=1020.0)
    found = explain_guest(draft.fleet, draft.plan(), "g")
    assert candidate(found, "b", 1).obstacles == ("has not had its reboot, the source has",)


@pytest.mark.parametrize(
    ("evacuation", "reboot", "told"),
    [
        ("restart", True, "g is shut down on a for its reboot and started there again"),
        ("hold", True, "g is to be left alone (evacuation: hold) on a"),
        ("move", False, "g stays: a needs no reboot"),
    ],
)
def test_a_guest_that_stays_is_told_why(evacuation: str, reboot: bool, told: str) -> None:
    seen = fleet([host("a", reboot=reboot), host("b")], [guest("g", "a", evacuation=evacuation)])
    made = plan_rollout(seen, "x", PlanOptions())
    assert explain_guest(seen, made, "g").told[0] == told


def test_a_blocked_host_names_the_guest_that_holds_it() -> None:
    seen = fleet([host("a"), host("b")], [guest("g", "a", evacuation="hold"), guest("k", "a")])
    found = explain_host(seen, plan_rollout(seen, "x", PlanOptions()), "a")
    assert found.told[0] == "a is blocked"
    assert found.remedies == ("let g be moved or restarted",)


def test_a_host_whose_guests_fit_alone_but_not_together_needs_room_for_all() -> None:
    hosts = [host("a"), host("b", gib=6, reboot=False)]
    seen = fleet(hosts, [guest("g", "a", gib=5), guest("k", "a", gib=4)])
    found = explain_host(seen, plan_rollout(seen, "x", PlanOptions()), "a")
    assert found.remedies == (
        "a host with 9216 MiB and 2 vCPUs free in pool default",
        "allow restart of g (5120 MiB, 1 vCPUs)",
    )


def test_a_host_that_is_rebooted_tells_when_and_where_its_guests_go() -> None:
    seen = fleet([host("a"), host("b", reboot=False)], [guest("g", "a"), guest("k", "a")])
    told = explain_host(seen, plan_rollout(seen, "x", PlanOptions()), "a").told
    assert "2 moves" in told[0]
    assert "reboots in wave 1" in told[1]
    assert told[2] == "2 of its guests to b"
    assert explain_host(seen, plan_rollout(seen, "x", PlanOptions()), "b").told == (
        "b needs no reboot",
    )


def test_a_name_that_is_not_there_is_refused() -> None:
    seen = fleet([host("a")])
    made = plan_rollout(seen, "x", PlanOptions())
    with pytest.raises(NoSuchName, match="no host 'x9'"):
        explain_host(seen, made, "x9")
    with pytest.raises(NoSuchName, match="no guest 'x9'"):
        explain_guest(seen, made, "x9")


# -- through the command line ---------------------------------------------------------------------


def explain_command(folder: Path, *more: str) -> Result:
    hosts = [host("a"), host("b", gib=6, reboot=False), host("c")]
    seen = fleet(
        hosts, [guest("big", "a", gib=60), guest("[red]k", "c"), guest("top", "c", gib=60)]
    )
    (folder / "fleet.json").write_bytes(fleet_json(seen))
    files = [str(folder / "fleet.json"), "--output", str(folder / "plan.json")]
    return CliRunner().invoke(build("plan"), ["plan", *files, "--explain", *more])


def test_the_command_explains_a_blocked_host_in_words(tmp_path: Path) -> None:
    result = explain_command(tmp_path, "host", "a")
    assert result.exit_code in (3, 4)
    assert "a is blocked" in result.output
    assert "allow restart of big" in result.output


def test_the_command_explains_in_json_with_every_candidate(tmp_path: Path) -> None:
    result = explain_command(tmp_path, "guest", "big", "--json")
    explanation = orjson.loads(result.stdout)["explanation"]
    (decision,) = explanation["decisions"]
    shorts = {c["host"]: c["short_mib"] for c in decision["candidates"]}
    assert shorts["b"] == 54 * 1024
    assert explanation["kind"] == "guest"


def test_a_name_that_looks_like_markup_is_printed_as_it_is(tmp_path: Path) -> None:
    assert "[red]k" in explain_command(tmp_path, "guest", "[red]k").output


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("host", "x9"), "no host 'x9' in the fleet"),
        (("guest", "a"), "no guest 'a' in the fleet"),
        (("pool", "default"), "expected `host NAME` or `guest NAME`, got 'pool'"),
    ],
)
def test_what_is_not_there_is_refused_before_planning(
    tmp_path: Path, asked: tuple[str, str], told: str
) -> None:
    result = explain_command(tmp_path, *asked)
    assert result.exit_code == 2
    assert told in result.output
    assert not (tmp_path / "plan.json").exists()
