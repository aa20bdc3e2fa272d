"""A guest's share of the CPUs: what xl says of it, what differs after a move, what puts it back."""

from __future__ import annotations

from typing import Any

import pytest

from agents.retune import settle_retune, with_retune
from agents.settings import Settings
from agents.tuning import (
    Place,
    Share,
    Vcpu,
    commands,
    cpu_set,
    differences,
    parse_shares,
    parse_vcpus,
    tuning,
)
from agents.verdict import Outcome, Retry, Verdict
from agents.wire import AttemptState, GuestSeen, Kind, Order, Report, Tuning
from agents.xl_parse import ParseError
from tests.agents_kit import UUID, attempt, domain, order, recorded, report

SETTINGS = Settings(host="n1", redis_url="unix:///nowhere", xl=("xl",))
PLACE = Place(4, {"Pool-0": "credit2", "slow": "credit"})


def tuned(**more: Any) -> Tuning:
    usual = {"pool": "Pool-0", "scheduler": "credit2", "weight": 256, "cap": 0, "online_vcpus": 2}
    return Tuning(**{**usual, **more})


def test_vcpu_list_of_real_xen_is_read() -> None:
    found = parse_vcpus(recorded("B-pvh-disk-vif-xl-vcpu-list.out"))
    assert found == {0: [Vcpu(True, "all", "all")], 2: [Vcpu(True, "all", "all")]}


def test_offline_vcpus_pinnings_and_names_with_blanks_are_read() -> None:
    text = (
        "Name       ID  VCPU   CPU State   Time(s) Affinity (Hard / Soft)\n"
        "t one                                2     0    1   -b-       1.0  1 / 0\n"
        "t one                                2     1    -   --p       0.0  0-3,8 / none\n"
    )
    assert parse_vcpus(text) == {2: [Vcpu(True, "1", "0"), Vcpu(False, "0-3,8", "none")]}


def test_weights_and_caps_of_real_xen_are_read_with_their_pool() -> None:
    said = recorded("B-pvh-disk-vif-xl-sched-credit2.out")
    assert parse_shares(said, "credit2")[2] == Share("Pool-0", "credit2", 256, 0)
    assert parse_shares(recorded("B-pvh-disk-vif-xl-sched-credit.out"), "credit") == {}


@pytest.mark.parametrize("text", ["", "no heading\n", "Name Affinity\nweb 1 0 what\n"])
def test_an_unreadable_vcpu_list_is_refused_with_the_line(text: str) -> None:
    with pytest.raises(ParseError, match="xl vcpu-list"):
        parse_vcpus(text)


def test_an_unreadable_table_of_weights_is_refused_with_the_line() -> None:
    with pytest.raises(ParseError, match="sched-credit2: cannot read the row 'web 1 256'"):
        parse_shares("Cpupool Pool-0: ratelimit=1000us\nweb 1 256\n", "credit2")


def test_what_libxl_may_have_chosen_by_itself_on_a_numa_host_is_not_carried_along() -> None:
    vcpus = [Vcpu(True, "all", "0-7"), Vcpu(True, "all", "0-7")]
    assert tuning(vcpus, None, numa=True).soft is None
    assert tuning(vcpus, None, numa=False).soft == ("0-7", "0-7")
    by_hand = [Vcpu(True, "all", "0-3"), Vcpu(True, "all", "4-7")]
    assert tuning(by_hand, None, numa=True).soft == ("0-3", "4-7")


def test_the_usual_share_takes_no_room_in_a_report() -> None:
    found = tuning([Vcpu(True, "all", "all")] * 8, None, numa=False)
    assert (found.hard, found.soft, found.online_vcpus) == ((), (), 8)


@pytest.mark.parametrize(
    ("before", "now", "cpus", "told"),
    [
        (tuned(), tuned(), 4, ()),
        (tuned(weight=512), tuned(), 4, ("weight 256 instead of 512",)),
        (tuned(cap=50), tuned(), 4, ("cap 0 instead of 50",)),
        (tuned(online_vcpus=1), tuned(), 4, ("online vCPUs 2 instead of 1",)),
        (tuned(pool="slow"), tuned(), 4, ("cpupool Pool-0 instead of slow",)),
        (tuned(hard=("1", "all")), tuned(), 4, ("vCPU 0 on CPUs all / all instead of 1 / all",)),
        (tuned(), tuned(hard=("all", "2")), 4, ("vCPU 1 on CPUs 2 / all instead of all / all",)),
        (tuned(soft=("0", "0")), tuned(soft=("0", "all")), 4,
         ("vCPU 1 on CPUs all / all instead of all / 0",)),
        # What covers the whole host is shown as `all` there, and `all` means all of this host.
        (tuned(hard=("0-3", "0-3")), tuned(), 4, ()),
        (tuned(), tuned(hard=("0-3", "0-3")), 4, ()),
        # What was not known, or not chosen by a person, is not missed.
        (tuned(soft=None), tuned(soft=("2", "2")), 4, ()),
        (tuned(weight=None, cap=None, pool=None), tuned(weight=7, cap=9), 4, ()),
    ],
)  # fmt: skip
def test_every_difference_is_told(
    before: Tuning, now: Tuning, cpus: int, told: tuple[str, ...]
) -> None:
    assert differences(before, now, cpus) == told


def test_cpu_maps_are_compared_by_the_cpus_they_mean() -> None:
    assert cpu_set("0-2,7", 8) == {0, 1, 2, 7}
    assert cpu_set("all", 2) == {0, 1}
    assert cpu_set("none", 2) == frozenset()


def said(before: Tuning, now: Tuning, place: Place = PLACE) -> list[str]:
    return [" ".join(argv[1:]) for argv in commands(SETTINGS, 5, before, now, place)]


def test_nothing_is_run_where_nothing_differs() -> None:
    assert said(tuned(hard=("1", "2")), tuned(hard=("1", "2"))) == []


def test_only_what_differs_is_put_back() -> None:
    assert said(tuned(weight=512), tuned()) == ["sched-credit2 -d 5 -w 512 -c 0"]
    assert said(tuned(online_vcpus=1), tuned()) == ["vcpu-set -i 5 1"]
    assert said(tuned(hard=("1", "all")), tuned()) == ["vcpu-pin 5 0 1 all"]
    assert said(tuned(hard=("1", "2"), soft=("0", "all")), tuned(hard=("1", "3"))) == [
        "vcpu-pin 5 0 1 0",
        "vcpu-pin 5 1 2 all",
    ]


def test_a_guest_goes_back_into_its_cpupool_first_as_that_resets_all_the_rest() -> None:
    before = tuned(pool="slow", scheduler="credit", weight=77, cap=33, hard=("1", "1"))
    assert said(before, tuned(weight=77, cap=33, hard=("1", "1"))) == [
        "cpupool-migrate 5 slow",
        "sched-credit -d 5 -w 77 -c 33",
        "vcpu-pin 5 0 1 all",
        "vcpu-pin 5 1 1 all",
    ]


def test_a_cpupool_that_the_destination_lacks_is_left_alone_and_weights_still_count() -> None:
    before = tuned(pool="fast", scheduler="credit", weight=77)
    assert said(before, tuned()) == ["sched-credit2 -d 5 -w 77 -c 0"]


MOVED = Verdict(Outcome.MOVED, "db-3 runs on n2")


def there(**more: Any) -> Report:
    seen = GuestSeen(name="db-3", uuid=UUID, domid=9, type="pvh", vcpus=2, memory_mib=48,
                     overhead_mib=4, **more)  # fmt: skip
    return report("n2", domain(domid=9), guests=(seen,), cpus=4)


def test_a_guest_that_arrives_with_less_is_to_be_given_back_what_it_had() -> None:
    before = tuned(hard=("1", "all"))
    verdict = with_retune(MOVED, order(), attempt("", 0, tuning=before), there(tuning=tuned()))
    assert verdict.outcome is Outcome.MOVED and verdict.retune is not None
    assert (verdict.retune.host, verdict.retune.domid) == ("n2", 9)
    assert verdict.retune.tuning == before
    assert "vCPU 0 on CPUs all / all instead of 1 / all" in verdict.retune.why


def test_a_guest_that_has_everything_is_left_alone() -> None:
    same = with_retune(MOVED, order(), attempt("", 0, tuning=tuned()), there(tuning=tuned()))
    assert same == MOVED


def test_a_guest_that_did_not_move_is_left_alone() -> None:
    stayed = Verdict(Outcome.STAYED, "")
    before = attempt("", 1, tuning=tuned(weight=9))
    assert with_retune(stayed, order(), before, there(tuning=tuned())) == stayed


def test_what_could_not_be_read_is_said_and_an_agent_that_knows_no_tunings_is_not_blamed() -> None:
    unread = with_retune(MOVED, order(), attempt("", 0, reason="xl vcpu-list: odd"), there())
    assert unread.retune is None and "not known: xl vcpu-list: odd" in unread.reason
    assert with_retune(MOVED, order(), attempt("", 0), there()) == MOVED
    silent = with_retune(MOVED, order(), attempt("", 0, tuning=tuned()), there())
    assert silent.retune is None and "not known: n2 does not tell it" in silent.reason


RETUNE = order(Kind.RETUNE, host="n2", domid=9, tuning=tuned(weight=512))


def settled(found: Report, ordered: Order = RETUNE, **more: Any) -> Verdict:
    said_by_host = attempt("Could not set affinity.\n", 1, kind=Kind.RETUNE, **more)
    return settle_retune(ordered, said_by_host, found)


def test_only_what_the_host_shows_afterwards_counts_whatever_xl_said() -> None:
    assert settled(there(tuning=tuned(weight=512))).outcome is Outcome.DONE
    still = settled(there(tuning=tuned()))
    assert (still.outcome, still.retry) == (Outcome.STAYED, Retry.SAME)
    assert still.reason.startswith("tuning differs: db-3 has weight 256 instead of 512 (exit code")


def test_a_guest_that_has_gone_on_is_told_of_and_not_looked_for() -> None:
    gone = settled(report("n2", cpus=4))
    assert (gone.outcome, gone.retry) == (Outcome.STAYED, Retry.PERSON)
    assert "is not on n2 any more" in gone.reason


def test_a_report_that_is_no_ground_or_tells_nothing_settles_nothing() -> None:
    assert settled(there(tuning=None)).retry is Retry.SAME
    trouble = report("n2", trouble=("xl list: no answer",))
    assert settled(trouble).outcome is Outcome.UNKNOWN
    refused = settled(there(tuning=tuned()), state=AttemptState.REFUSED, reason="busy")
    assert (refused.outcome, refused.reason) == (Outcome.STAYED, "not started: busy")
