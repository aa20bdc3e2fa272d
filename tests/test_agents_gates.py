"""The last checks before a step starts: each reason to say no, and that there are no others."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import gates
from agents.gates import Sight
from agents.host_files import GuestConfig
from agents.settings import Settings
from agents.wire import Attempt, AttemptState, BootStart, Domain, Kind, MendAction
from tests.agents_dom0 import config
from tests.agents_kit import (
    BLOCKED,
    CRASHED,
    DOM0,
    DYING,
    OTHER_UUID,
    PAUSED,
    RUNS,
    SHUT_DOWN,
    SUSPENDED,
    attempt,
    domain,
    order,
)

SETTINGS = Settings(host="n1", redis_url="unix:///x", service_domains=("Xenstore",))
AWAY, INCOMING = "db-3--migratedaway", "db-3--incoming"
HERE = domain()


def sight(*domains: Domain, **more: Any) -> Sight:
    fields: dict[str, Any] = {"boot_id": "b1", "virt_caps": ("pv", "hvm", "hap"), "xen": "4.17"}
    return Sight(domains=(DOM0, *domains), **{**fields, **more})


def movable(*domains: Domain, **more: Any) -> Sight:
    return sight(*domains, config=config(HERE, **more)["config"])


def running(kind: Kind, uuid: str | None) -> Attempt:
    return attempt("", None, kind=kind, guest_uuid=uuid, state=AttemptState.RUNNING)


@pytest.mark.parametrize(
    ("kind", "other", "reason"),
    [
        (Kind.MOVE, running(Kind.STOP, HERE.uuid), "at work on db-3"),
        (Kind.MOVE, running(Kind.REBOOT, None), "runs on this host"),
        (Kind.REBOOT, running(Kind.MOVE, OTHER_UUID), "runs on this host"),
        (Kind.MOVE, running(Kind.MOVE, OTHER_UUID), None),
        (Kind.MOVE, running(Kind.LIVEPATCH, None), None),
    ],
)
def test_one_guest_has_one_attempt_at_a_time_and_a_reboot_has_the_host_to_itself(
    kind: Kind, other: Attempt, reason: str | None
) -> None:
    said = gates.busy(order(kind, boot_id="b1"), sight(running=(other,)))
    assert (said is None) == (reason is None)
    assert reason is None or reason in (said or "")


@pytest.mark.parametrize("state", [RUNS, BLOCKED, "------"])
def test_a_guest_that_runs_here_and_has_no_obstacle_may_move(state: str) -> None:
    assert gates.move(order(), movable(domain(state=state)), SETTINGS) is None


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (movable(), "db-3 is not on this host"),
        (movable(domain("web")), "db-3 is named web here"),
        (movable(domain(uuid=OTHER_UUID)), "db-3 is not on this host"),
        (movable(HERE, domain(domid=6)), "2 domains here have the UUID of db-3"),
        (movable(domain(state=PAUSED)), "db-3 is paused"),
        (movable(domain(state=SUSPENDED)), "db-3 is suspended"),
        (movable(domain(state=CRASHED)), "db-3 is crashed"),
        (movable(domain(state=SHUT_DOWN)), "db-3 is shut down"),
        (movable(domain(state=DYING)), "db-3 is dying"),
        (movable(HERE, domain(AWAY, SUSPENDED, uuid=OTHER_UUID, domid=6)), "is left here"),
        (movable(HERE, domain(INCOMING, PAUSED, uuid=OTHER_UUID, domid=6)), "is left here"),
        (sight(HERE), "the configuration of db-3 cannot be read"),
        (movable(HERE, pcidevs=[{"bus": 1}]), "db-3 cannot be moved: 1 passed-through"),
        (movable(domain(memory_mib=60)), "db-3 cannot be moved: it holds 60 MiB"),
    ],
)
def test_each_reason_not_to_move(seen: Sight, reason: str) -> None:
    assert reason in (gates.move(order(), seen, SETTINGS) or "")


def test_a_move_that_was_ordered_for_another_domain_of_that_name_is_refused() -> None:
    said = gates.move(order(domid=4), movable(HERE), SETTINGS)
    assert said == "db-3 is domain 5, not 4"


@pytest.mark.parametrize("address", ["n2", "n2.example.org", "10.0.0.2", "fd00::2", "a-b_c"])
def test_a_host_name_or_an_ip_address_is_an_address(address: str) -> None:
    assert gates.move(order(destination_address=address), movable(HERE), SETTINGS) is None


@given(st.text(min_size=1, max_size=40))
def test_no_address_can_be_more_than_one_word_to_a_shell_or_an_option_to_ssh(text: str) -> None:
    said = gates.move(order(destination_address=text), movable(HERE), SETTINGS)
    if said is None:
        assert text.isascii() and text[0].isalnum()
        assert not set(text) & set(" \t\n'\"\\$`;&|<>(){}[]*?!#~=%,@/")


@pytest.mark.parametrize("address", ["-oProxyCommand=x", "n2; reboot", "$(id)", "n2\n", "", "a b"])
def test_an_address_that_a_shell_would_read_is_refused(address: str) -> None:
    ordered = order().model_copy(update={"destination_address": address})
    assert "is no address" in (gates.move(ordered, movable(HERE), SETTINGS) or "")


def test_a_guest_that_runs_may_be_stopped_and_no_other() -> None:
    stop = order(Kind.STOP)
    assert gates.stop(stop, sight(HERE), SETTINGS) is None
    assert gates.stop(stop, sight(domain(state=PAUSED)), SETTINGS) == "db-3 is paused"
    assert gates.stop(stop, sight(), SETTINGS) == "db-3 is not on this host"
    left = domain(AWAY, SUSPENDED, domid=6, uuid=OTHER_UUID)
    assert "is left here" in (gates.stop(stop, sight(HERE, left), SETTINGS) or "")


FILE = GuestConfig("/etc/xen/db-3.cfg", "db-3", HERE.uuid)


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (sight(start_from=FILE), None),
        (sight(domain("web", uuid=OTHER_UUID), start_from=FILE), None),
        (sight(), "no configuration of db-3"),
        (sight(HERE, start_from=FILE), "already on this host"),
        (sight(domain(state=CRASHED), start_from=FILE), "already on this host"),
        (sight(domain(uuid=OTHER_UUID), start_from=FILE), "already on this host"),
        (sight(domain("renamed"), start_from=FILE), "already on this host"),
        (sight(domain(AWAY, SUSPENDED, uuid=OTHER_UUID), start_from=FILE), "already on this"),
        (sight(domain(INCOMING, PAUSED), start_from=FILE), "already on this host"),
    ],
)
def test_a_guest_starts_only_where_nothing_of_it_is(seen: Sight, reason: str | None) -> None:
    said = gates.start(order(Kind.START), seen, SETTINGS)
    assert (said is None) == (reason is None)
    assert reason is None or reason in (said or "")


REBOOT = order(Kind.REBOOT, boot_id="b1")


def boots(kind: Any, text: str) -> tuple[BootStart, ...]:
    return (BootStart(kind=kind, text=text),)


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (sight(), None),
        (sight(domain("Xenstore", uuid=OTHER_UUID)), None),
        (sight(boot_starts=boots("service", "xendomains")), None),
        (sight(boot_starts=boots("autostart", "db-3"), stopped_here=frozenset({"db-3"})), None),
        (sight(boot_id="b2"), "the boot to end is b1"),
        (sight(HERE), "db-3 (-b----) is still here"),
        (sight(domain(state=SHUT_DOWN)), "is still here"),
        (sight(domain(INCOMING, PAUSED)), "is still here"),
        (sight(domain(AWAY, SUSPENDED)), "is still here"),
        (sight(domain("(null)", DYING)), "is still here"),
        (sight(receiving=1), "1 migrations to this host"),
        (sight(boot_starts=boots("saved_image", "/save/db-3")), "would be restored at boot"),
        (sight(boot_starts=boots("autostart", "db-3")), "would start by itself"),
        (sight(boot_starts=boots("service", "libvirt-guests")), "would start guests"),
    ],
)
def test_a_host_reboots_only_when_it_is_empty_and_would_start_nothing(
    seen: Sight, reason: str | None
) -> None:
    said = gates.reboot(REBOOT, seen, SETTINGS)
    assert (said is None) == (reason is None)
    assert reason is None or reason in (said or "")


def test_a_reboot_without_a_boot_to_end_is_refused() -> None:
    assert gates.reboot(order(Kind.REBOOT), sight(), SETTINGS) is not None


ALLOWED = {
    MendAction.DESTROY_SOURCE: [domain(AWAY, SUSPENDED)],
    MendAction.DESTROY_INCOMING: [domain(INCOMING, PAUSED, 0.0)],
    MendAction.UNPAUSE: [domain(state=PAUSED, cpu_time_s=0.0)],
    MendAction.RESUME_SOURCE: [domain(AWAY, SUSPENDED), domain(state=SUSPENDED)],
}


@pytest.mark.parametrize("action", MendAction)
def test_a_clean_up_is_allowed_on_the_states_it_is_made_for_and_on_no_other(
    action: MendAction,
) -> None:
    mend = order(Kind.MEND, mend=action, domid=5)
    states = (RUNS, BLOCKED, "------", PAUSED, SUSPENDED, CRASHED, SHUT_DOWN, DYING, "--psc-")
    for name in ("db-3", AWAY, INCOMING, "(null)", "other"):
        for state in states:
            for cpu_time_s in (0.0, 0.1, 7.5):
                found = domain(name, state, cpu_time_s)
                same = [d for d in ALLOWED[action] if (d.name, d.state) == (name, state)]
                fresh = action in (MendAction.DESTROY_INCOMING, MendAction.UNPAUSE)
                expected = bool(same) and (cpu_time_s == 0.0 or not fresh)
                said = gates.mend(mend, sight(found, xen="4.20"), SETTINGS)
                assert (said is None) == expected, f"{found}: {said}"


@pytest.mark.parametrize("action", MendAction)
def test_a_clean_up_is_refused_for_any_other_domain(action: MendAction) -> None:
    mend = order(Kind.MEND, mend=action, domid=5)
    for good in ALLOWED[action]:
        for other in (
            good.model_copy(update={"domid": 6}),
            good.model_copy(update={"uuid": OTHER_UUID}),
        ):
            said = gates.mend(mend, sight(other, xen="4.20"), SETTINGS)
            assert said == "domain 5 is not db-3 any more"


@pytest.mark.parametrize("xen", ["4.17", "4.19", "", "garbage"])
def test_a_suspended_guest_is_left_to_a_person_where_xl_cannot_resume(xen: str) -> None:
    mend = order(Kind.MEND, mend=MendAction.RESUME_SOURCE, domid=5)
    said = gates.mend(mend, sight(domain(AWAY, SUSPENDED), xen=xen), SETTINGS)
    assert "a person has to" in (said or "")
