"""What a step does on its host: it stops, starts, reboots, cleans up or loads a live patch."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import redis

from agents.steps import Context, run_step
from agents.wire import Kind, MendAction, RefusalCode
from tests.agents_dom0 import BOOT_ID
from tests.agents_kit import NOON, PAUSED, SUSPENDED, UUID, domain, order
from tests.agents_steps_kit import ENDED, HERE, PATCH, REFUSED, Host, Payloads


@pytest.fixture
def host(tmp_path: Path, redis_client: redis.Redis) -> Host:
    return Host(tmp_path, redis_client)


def test_a_stop_asks_the_guest_and_waits_for_it(host: Host) -> None:
    assert host.runs(order(Kind.STOP)).state is ENDED
    assert host.dom0.calls("shutdown") == ["shutdown -w -F 5"]


def test_a_guest_that_ignores_a_stop_is_only_waited_for_so_long(host: Host) -> None:
    host.dom0.shows(HERE, change="sleep 600")
    settings = host.dom0.settings.model_copy(update={"stop_wait_s": 0.3})
    host.context = Context(settings, host.client, lambda: NOON)
    assert host.runs(order(Kind.STOP)).exit_code == -15


@pytest.mark.parametrize(
    ("text", "more"), [('name = "db-3"', f' uuid="{UUID}"'), (f'name="db-3"\nuuid="{UUID}"', "")]
)
def test_a_start_keeps_the_guest_the_same_guest(host: Host, text: str, more: str) -> None:
    (host.dom0.root / "etc/xen/db-3.cfg").write_text(text + "\n")
    host.dom0.shows()
    assert host.runs(order(Kind.START)).state is ENDED
    path = host.dom0.root / "etc/xen/db-3.cfg"
    assert host.dom0.calls("create") == [f"create {path}{more}"]


def test_a_reboot_is_on_disk_before_it_is_asked_for_and_ends_with_a_new_boot(host: Host) -> None:
    host.dom0.shows()
    note, journals = host.dom0.base / "note", host.dom0.settings.state / "attempts"
    boot = host.dom0.root / "proc/sys/kernel/random/boot_id"
    new = "11111111-2222-3333-4444-555555555555"
    host.dom0.program("reboot", f"cp {journals}/r1-s1-a1/started.json {note}; echo {new} > {boot}")
    host.gives(order(Kind.REBOOT, boot_id=BOOT_ID))
    assert run_step(host.context, "r1-s1-a1")["state"] == "ended"
    assert '"kind": "reboot"' in note.read_text()
    said = host.journal.attempt("r1-s1-a1", new)
    assert said is not None and (said.state, said.boot_id) == (ENDED, BOOT_ID)


def test_a_reboot_is_refused_while_a_guest_is_here(host: Host) -> None:
    said = host.runs(order(Kind.REBOOT, boot_id=BOOT_ID))
    assert (said.refusal, said.reason) == (RefusalCode.GATE, "domain 5 db-3 (-b----) is still here")


@pytest.mark.parametrize(
    ("action", "found", "calls"),
    [
        (MendAction.DESTROY_SOURCE, domain("db-3--migratedaway", SUSPENDED), ["destroy 5"]),
        (MendAction.DESTROY_INCOMING, domain("db-3--incoming", PAUSED, 0.0), ["destroy 5"]),
        (MendAction.UNPAUSE, domain(state=PAUSED, cpu_time_s=0.0), ["unpause 5"]),
    ],
)
def test_a_clean_up_runs_on_the_domain_it_was_decided_for(
    host: Host, action: MendAction, found: Any, calls: list[str]
) -> None:
    host.dom0.shows(found)
    assert host.runs(order(Kind.MEND, mend=action, domid=5)).exit_code == 0
    assert [*host.dom0.calls("destroy"), *host.dom0.calls("unpause")] == calls


def test_nothing_that_runs_is_ever_destroyed(host: Host) -> None:
    for number, action in enumerate(MendAction):
        said = host.runs(order(Kind.MEND, attempt_id=f"m{number}", mend=action, domid=5))
        assert said.refusal is RefusalCode.GATE
    assert host.dom0.calls("destroy") == []


def test_a_suspended_source_gets_its_name_back_and_wakes_where_xl_can(host: Host) -> None:
    host.dom0.shows(domain("db-3--migratedaway", SUSPENDED))
    said = host.runs(order(Kind.MEND, mend=MendAction.RESUME_SOURCE, domid=5))
    assert (said.state, said.reason) == (REFUSED, "Xen 4.17 has no `xl resume`: a person has to")
    info = (host.dom0.base / "info").read_text().replace("4.17.7", "4.20.1")
    (host.dom0.base / "info").write_text(info)
    again = order(Kind.MEND, attempt_id="m2", mend=MendAction.RESUME_SOURCE, domid=5)
    assert host.runs(again).exit_code == 0
    assert host.dom0.calls("rename") == ["rename 5 db-3"]
    assert host.dom0.calls("resume") == ["resume 5"]


def test_a_live_patch_is_uploaded_and_applied(host: Host) -> None:
    payloads = Payloads(host)
    digest = hashlib.sha256(b"payload").hexdigest()
    assert host.runs(PATCH.model_copy(update={"payload_sha256": digest})).exit_code == 0
    assert payloads.note.read_text() == f"upload lp-1 {payloads.path}\napply lp-1\n"


def test_a_live_patch_that_is_loaded_already_is_loaded_anew(host: Host) -> None:
    payloads = Payloads(host, "lp-1 | CHECKED | ")
    assert host.runs(PATCH).exit_code == 0
    assert payloads.note.read_text() == f"unload lp-1\nupload lp-1 {payloads.path}\napply lp-1\n"


def test_cpus_that_do_not_come_together_are_asked_a_few_times(host: Host) -> None:
    payloads = Payloads(host, body='[ "$1" = upload ] || exit 2')
    assert host.runs(PATCH).exit_code == 2
    assert payloads.note.read_text() == f"upload lp-1 {payloads.path}\n" + "apply lp-1\n" * 5


@pytest.mark.parametrize(
    ("listed", "change", "reason"),
    [
        ("lp-1 | APPLIED | ", {}, "lp-1 is already applied"),
        ("", {"payload": "lp-2"}, "No such file"),
        ("", {"payload_sha256": "0" * 64}, "not the ordered one"),
    ],
)
def test_each_reason_not_to_load_a_live_patch(
    host: Host, listed: str, change: dict[str, Any], reason: str
) -> None:
    payloads = Payloads(host, listed)
    said = host.runs(PATCH.model_copy(update=change))
    assert said.state is REFUSED and reason in said.reason
    assert not payloads.note.exists()
