"""Rule 3: a host's room holds in every order of the steps, not only by the estimate."""

from __future__ import annotations

from planner.check import Problem, Rule, problems
from planner.fleet import Fleet, Guest, Host
from tests.make import Draft, fleet, guest, host

ENOUGH = {"max_moves_in_per_host": 9, "max_moves_out_per_host": 9, "max_hosts_away": 9}


def stable(*hosts: Host) -> list[Host]:
    """The hosts without a reboot to do, and one that has nothing but that to do."""
    settled = [seen.model_copy(update={"reboot": False}) for seen in hosts]
    return [*settled, host("other", pool="elsewhere")]


def seen_fleet(hosts: list[Host], guests: list[Guest], **policy: float) -> Fleet:
    return fleet(hosts, guests, **ENOUGH, **policy)


def draft_of(seen: Fleet) -> Draft:
    return Draft(seen).wave("other").reboot("other")


def room_problems(draft: Draft) -> list[Problem]:
    found = problems(draft.fleet, draft.plan())
    assert {problem.rule for problem in found} <= {Rule.ROOM}, found
    return found


def test_guests_may_fill_a_host_to_the_last_mib() -> None:
    hosts = stable(host("n1", gib=8), host("n2", gib=8))
    seen = seen_fleet(hosts, [guest("a", "n1", gib=4), guest("b", "n2", gib=4)])
    assert room_problems(draft_of(seen).move("a", "n2")) == []


def test_one_mib_too_many_is_a_problem_with_its_figures() -> None:
    hosts = stable(host("n1", gib=8), host("n2", gib=8))
    guests = [guest("a", "n1", gib=4, overhead_mib=1), guest("b", "n2", gib=4)]
    [problem] = room_problems(draft_of(seen_fleet(hosts, guests)).move("a", "n2"))
    assert (problem.step, problem.host, problem.guest) == ("move:a", "n2", "a")
    assert "8193 MiB of 8192 MiB" in problem.text


def test_the_estimate_alone_does_not_make_room() -> None:
    hosts = stable(host("n1", gib=8), host("n2", gib=8))
    seen = seen_fleet(hosts, [guest("a", "n1", gib=6), guest("b", "n2", gib=6)])
    late = draft_of(seen).move("b", "n1", []).move("a", "n2", [])
    assert {problem.host for problem in room_problems(late)} == {"n1", "n2"}


def test_a_guest_on_its_way_out_takes_room_until_it_has_arrived() -> None:
    hosts = stable(host("n1", gib=8), host("n2", gib=8), host("n3", gib=8))
    seen = seen_fleet(hosts, [guest("a", "n1", gib=6), guest("b", "n2", gib=6)])
    waits = draft_of(seen).move("b", "n3").move("a", "n2", ["move:b"])
    assert room_problems(waits) == []
    beside = draft_of(seen).move("b", "n3").move("a", "n2", [])
    [problem] = room_problems(beside)
    assert problem.host == "n2"


def test_a_need_through_other_steps_is_as_good_as_a_direct_one() -> None:
    hosts = stable(*(host(f"n{n}", gib=8) for n in range(1, 5)))
    seen = seen_fleet(hosts, [guest(f"g{n}", f"n{n}", gib=6) for n in range(1, 4)])
    draft = draft_of(seen).move("g3", "n4").move("g2", "n3", ["move:g3"])
    assert room_problems(draft.move("g1", "n2", ["move:g2"])) == []


def test_arrivals_that_wait_for_different_departures_may_both_be_safe() -> None:
    """Each may be there before the other, yet never with the guest that the other waits for."""
    hosts = stable(host("n1", gib=8), host("n2", gib=16), host("n3", gib=16))
    guests = [guest(f"out{n}", "n1", gib=4) for n in (1, 2)]
    guests += [guest(f"in{n}", "n2", gib=4) for n in (1, 2)]
    draft = draft_of(seen_fleet(hosts, guests)).move("out1", "n3").move("out2", "n3")
    draft.move("in1", "n1", ["move:out1"]).move("in2", "n1", ["move:out2"])
    assert room_problems(draft) == []


def test_arrivals_that_wait_for_the_same_departure_do_not_both_get_its_room() -> None:
    hosts = stable(host("n1", gib=8), host("n2", gib=16), host("n3", gib=16))
    guests = [guest(f"out{n}", "n1", gib=4) for n in (1, 2)]
    guests += [guest(f"in{n}", "n2", gib=4) for n in (1, 2)]
    draft = draft_of(seen_fleet(hosts, guests)).move("out1", "n3").move("out2", "n3")
    draft.move("in1", "n1", ["move:out1"]).move("in2", "n1", ["move:out1"])
    [problem] = room_problems(draft)
    assert "12288 MiB of 8192 MiB" in problem.text


def test_departures_are_shared_out_among_arrivals_as_well_as_can_be() -> None:
    """A plain sum fails here, and so does sharing out greedily; only the exact test knows."""
    hosts = stable(host("n1", gib=7), host("n2", gib=16), host("n3", gib=16))
    sizes = {"p": 2, "q": 2, "s": 1, "t": 1, "u": 1}
    guests = [guest(name, "n1", gib=gib) for name, gib in sizes.items()]
    guests += [guest(f"in{n}", "n2", gib=2) for n in (1, 2, 3)]
    draft = draft_of(seen_fleet(hosts, guests))
    for name in sizes:
        draft.move(name, "n3")
    draft.move("in1", "n1", ["move:p", "move:q"]).move("in2", "n1", ["move:p", "move:s"])
    draft.move("in3", "n1", ["move:q", "move:t", "move:u"])
    assert room_problems(draft) == []


def test_moves_fill_a_host_up_to_max_fill_only() -> None:
    hosts = stable(host("n1", gib=10), host("n2", gib=10))
    guests = [guest("a", "n1", gib=4), guest("b", "n2", gib=5)]
    [problem] = room_problems(draft_of(seen_fleet(hosts, guests, max_fill=0.8)).move("a", "n2"))
    assert "9216 MiB of 8192 MiB" in problem.text
    assert room_problems(draft_of(seen_fleet(hosts, guests, max_fill=0.9)).move("a", "n2")) == []


def test_a_host_above_max_fill_at_the_beginning_may_stay_so() -> None:
    hosts = stable(host("n1", gib=10), host("n2", gib=10))
    guests = [guest("a", "n1", gib=4), guest("b", "n2", gib=9)]
    seen = seen_fleet(hosts, guests, max_fill=0.5)
    assert room_problems(draft_of(seen)) == []
    assert len(room_problems(draft_of(seen).move("b", "n1"))) == 1


def test_vcpus_have_their_own_limit() -> None:
    hosts = stable(host("n1", cpus=2), host("n2", cpus=2.5))
    guests = [guest("a", "n1", vcpus=3), guest("b", "n2", vcpus=3)]
    tight = seen_fleet(hosts, guests, vcpus_per_cpu=2.0)
    [problem] = room_problems(draft_of(tight).move("a", "n2"))
    assert "6 vCPUs of 5 vCPUs" in problem.text
    wider = seen_fleet(hosts, guests, vcpus_per_cpu=2.4)
    assert room_problems(draft_of(wider).move("a", "n2")) == []


def above_its_vcpus() -> Fleet:
    """n1 may run 4 vCPUs and runs 6."""
    hosts = stable(host("n1", cpus=4), host("n2", cpus=8), host("n3", cpus=8))
    guests = [guest(f"g{n}", "n1", vcpus=2) for n in (1, 2, 3)]
    return seen_fleet(hosts, [*guests, guest("new", "n2", vcpus=2)], vcpus_per_cpu=1.0)


def test_a_host_above_its_vcpus_at_the_beginning_may_stay_so() -> None:
    assert room_problems(draft_of(above_its_vcpus()).move("g1", "n3")) == []


def test_a_host_above_its_vcpus_takes_nothing_in_until_it_is_below() -> None:
    draft = draft_of(above_its_vcpus()).move("g1", "n3")
    [problem] = room_problems(draft.move("new", "n1", ["move:g1"]))
    assert problem.host == "n1" and "6 vCPUs of 4 vCPUs" in problem.text


def test_a_host_that_came_below_its_vcpus_may_fill_up_again() -> None:
    draft = draft_of(above_its_vcpus()).move("g1", "n3").move("g2", "n3")
    assert room_problems(draft.move("new", "n1", ["move:g1", "move:g2"])) == []


def test_guests_that_have_to_be_apart_never_meet() -> None:
    hosts = stable(host("n1"), host("n2"), host("n3"))
    guests = [guest("a", "n1", apart=["web", "x"]), guest("b", "n2", apart=["y", "web"])]
    seen = seen_fleet(hosts, guests)
    [problem] = room_problems(draft_of(seen).move("a", "n2"))
    assert (problem.guest, problem.host) == ("a", "n2")
    assert "'b'" in problem.text and "'web'" in problem.text
    draft = draft_of(seen).move("b", "n3").move("a", "n2", ["move:b"])
    assert room_problems(draft) == []


def test_guests_that_have_to_be_apart_do_not_even_pass_on_the_way() -> None:
    hosts = stable(host("n1"), host("n2"), host("n3"))
    guests = [guest("a", "n1", apart=["web"]), guest("b", "n2", apart=["web"])]
    draft = draft_of(seen_fleet(hosts, guests)).move("b", "n3").move("a", "n2", [])
    assert [problem.host for problem in room_problems(draft)] == ["n2"]


def test_guests_together_at_the_beginning_may_stay_and_part_but_no_third_comes_in() -> None:
    hosts = stable(host("n1"), host("n2"), host("n3"))
    guests = [guest(name, "n1", apart=["web"]) for name in ("a", "b")]
    seen = seen_fleet(hosts, [*guests, guest("c", "n2", apart=["web"])])
    assert room_problems(draft_of(seen).move("a", "n3")) == []
    told = room_problems(draft_of(seen).move("c", "n1"))
    assert [problem.guest for problem in told] == ["c", "c"]


def test_guests_that_parted_do_not_come_together_again() -> None:
    hosts = stable(host("n1"), host("n2"))
    seen = seen_fleet(hosts, [guest(name, "n1", apart=["web"]) for name in ("a", "b")])
    draft = draft_of(seen).move("a", "n2")
    assert len(room_problems(draft.move("a", "n1", ["move:a"]))) == 1


def test_a_shut_down_guest_keeps_its_room() -> None:
    hosts = [host("n1", gib=8), host("n2", gib=8, reboot=False)]
    guests = [guest("r", "n1", gib=6, evacuation="restart"), guest("b", "n2", gib=4)]
    draft = Draft(seen_fleet(hosts, guests)).wave("n1").stop("r").reboot("n1", ["stop:r"])
    draft.move("b", "n1", ["reboot:n1"]).start("r", ["reboot:n1"])
    [problem] = room_problems(draft)
    assert "10240 MiB of 8192 MiB" in problem.text


def test_a_host_that_holds_too_much_at_the_beginning_is_told() -> None:
    hosts = stable(host("n1", gib=4))
    [problem] = room_problems(draft_of(seen_fleet(hosts, [guest("a", "n1", gib=5)])))
    assert problem.host == "n1" and "5120 MiB of 4096 MiB" in problem.text
