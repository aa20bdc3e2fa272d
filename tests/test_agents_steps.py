"""A step from its order in Redis to its end on the host: gate, claim, start, wait, wake."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import redis

from agents import steps
from agents.journal import Journal
from agents.keys import SETTLED, keys
from agents.prepare import prepare
from agents.steps import Context, OrderError, run_step
from agents.wire import (
    Attempt,
    AttemptState,
    Kind,
    MendAction,
    Order,
    RefusalCode,
    Wanted,
)
from tests.agents_dom0 import BOOT_ID, Dom0, config
from tests.agents_kit import DYING, NOON, OTHER_UUID, PAUSED, SUSPENDED, UUID, domain, order

HERE = domain()
ENDED, REFUSED = AttemptState.ENDED, AttemptState.REFUSED


class Host:
    """A dom0, a real server, and what a controller writes there."""

    def __init__(self, base: Path, client: redis.Redis) -> None:
        self.dom0, self.client = Dom0(base), client
        self.context = Context(self.dom0.settings, client, lambda: NOON)
        self.journal = Journal(self.dom0.settings.state)
        self.wants(Wanted.RUN)
        self.dom0.shows(HERE)

    def wants(self, wanted: Wanted, epoch: int = 1) -> None:
        self.client.hset(keys.control("r1"), mapping={"wanted": wanted.value, "epoch": epoch})

    def gives(self, ordered: Order) -> None:
        raw = ordered.model_dump_json()
        self.client.hset(keys.orders("n1"), ordered.attempt_id, raw)

    def runs(self, ordered: Order) -> Attempt:
        """Order it, run the job to its end, and what the journal says then."""
        self.gives(ordered)
        answer = run_step(self.context, ordered.attempt_id)
        said = self.journal.attempt(ordered.attempt_id, BOOT_ID)
        assert said is not None and answer["state"] == said.state.value
        return said

    def claimed(self) -> dict[Any, Any]:
        found = self.client.hgetall(keys.claims("n1"))
        assert isinstance(found, dict)
        return found

    def unsettled(self) -> list[Any]:
        return [one for one, value in self.claimed().items() if value != SETTLED.encode()]


@pytest.fixture
def host(tmp_path: Path, redis_client: redis.Redis) -> Host:
    return Host(tmp_path, redis_client)


def test_a_move_is_claimed_started_once_and_reported(host: Host) -> None:
    host.dom0.shows(HERE, change="echo moving >&2; exit 1")
    said = host.runs(order())
    assert (said.state, said.exit_code, said.domid) == (ENDED, 1, 5)
    assert said.output_tail == "moving\n"
    transport = host.dom0.settings.transport
    assert host.dom0.calls("migrate") == [f"migrate -s {transport} 5 n2.example"]
    assert host.claimed() == {b"r1-s1-a1": SETTLED.encode()}
    assert host.client.llen(keys.wake("n1")) == 2  # at the start, and at the end


def test_a_job_that_runs_again_attaches_and_starts_nothing(host: Host) -> None:
    first, again = host.runs(order()), host.runs(order())
    assert first == again
    assert len(host.dom0.calls("migrate")) == 1


def test_a_job_that_runs_again_attaches_even_when_its_order_is_gone(host: Host) -> None:
    host.runs(order())
    host.client.delete(keys.orders("n1"))
    assert run_step(host.context, "r1-s1-a1")["state"] == "ended"


def test_an_attempt_whose_order_is_gone_never_starts(host: Host) -> None:
    answer = run_step(host.context, "r1-s1-a1")
    assert answer == {"attempt_id": "r1-s1-a1", "state": "revoked"}
    assert host.dom0.calls("migrate") == [] and host.unsettled() == []


@pytest.mark.parametrize(
    ("wanted", "epoch", "refusal"),
    [
        (Wanted.PAUSE, 1, RefusalCode.PAUSED),
        (Wanted.ABORT, 1, RefusalCode.ABORTED),
        (Wanted.RUN, 2, RefusalCode.STALE),
    ],
)
def test_the_control_record_has_the_last_word(
    host: Host, wanted: Wanted, epoch: int, refusal: RefusalCode
) -> None:
    host.wants(wanted, epoch)
    said = host.runs(order())
    assert (said.state, said.refusal) == (REFUSED, refusal)
    assert host.dom0.calls("migrate") == [] and host.unsettled() == []


def test_a_rollout_without_a_control_record_starts_nothing(host: Host) -> None:
    host.client.delete(keys.control("r1"))
    assert host.runs(order()).refusal is RefusalCode.STALE


def test_an_attempt_that_was_refused_stays_refused_when_the_rollout_goes_on(host: Host) -> None:
    host.wants(Wanted.PAUSE)
    host.runs(order())
    host.wants(Wanted.RUN)
    assert host.runs(order()).state is REFUSED
    assert host.runs(order(attempt_id="r1-s1-a2")).state is ENDED


def test_after_an_abort_what_brings_a_guest_back_may_still_start(host: Host) -> None:
    host.wants(Wanted.ABORT, epoch=2)
    (host.dom0.root / "etc/xen/db-3.cfg").write_text('name = "db-3"')
    host.dom0.shows()
    assert host.runs(order(Kind.START, epoch=2)).state is ENDED
    assert host.runs(order(attempt_id="r1-s2-a1", epoch=2)).state is REFUSED


def test_a_gate_that_says_no_claims_nothing(host: Host) -> None:
    host.dom0.shows(domain(state=PAUSED))
    said = host.runs(order())
    assert (said.refusal, said.reason) == (RefusalCode.GATE, "db-3 is paused")
    assert host.unsettled() == []


def test_while_it_is_being_started_a_claim_holds_the_moment_it_was_made(host: Host) -> None:
    host.gives(order())
    steps.claim(host.context, order())
    assert host.claimed() == {b"r1-s1-a1": NOON.isoformat().encode()}
    assert host.unsettled() == [b"r1-s1-a1"]
    run_step(host.context, "r1-s1-a1")
    assert host.unsettled() == []


@pytest.mark.parametrize("kind", [Kind.MOVE, Kind.STOP, Kind.START, Kind.REBOOT])
@pytest.mark.parametrize("body", ["echo garbage", "exit 1", "sleep 60"])
def test_a_host_that_cannot_be_read_starts_nothing(host: Host, kind: Kind, body: str) -> None:
    host.dom0.program("xl", body)
    settings = host.dom0.settings.model_copy(update={"xl_timeout_s": 0.3})
    host.context = Context(settings, host.client, lambda: NOON)
    said = host.runs(order(kind, boot_id=BOOT_ID))
    assert (said.state, said.refusal) == (REFUSED, RefusalCode.UNREADABLE)
    assert str(host.dom0.bin / "xl") in said.reason or "xl list -v" in said.reason


def test_a_claim_that_had_to_wait_is_followed_by_a_new_look(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "FRESH_S", 0.0)
    host.runs(order())
    assert host.dom0.calls("list").count("list -v") == 2


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


class Payloads:
    """A payload on disk, and a `xen-livepatch` that notes what it is told."""

    def __init__(self, host: Host, listed: str = "", body: str = ":") -> None:
        self.note = host.dom0.base / "patched"
        folder = host.dom0.root / "var/lib/xen/livepatch"
        folder.mkdir(parents=True)
        (folder / "lp-1.livepatch").write_bytes(b"payload")
        self.path = folder / "lp-1.livepatch"
        table = f"echo ' ID | status | metadata'; echo '{listed}'"
        host.dom0.program(
            "xen-livepatch",
            f'[ "$1" = list ] && {{ {table}; exit; }}; echo "$@" >> {self.note}; {body}',
        )


PATCH = order(Kind.LIVEPATCH, guest=None, guest_uuid=None, payload="lp-1")


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


def test_two_attempts_at_one_guest_are_one_attempt_and_a_refusal(host: Host) -> None:
    go = host.dom0.base / "go"
    host.dom0.shows(HERE, change=f"while [ ! -e {go} ]; do sleep 0.02; done")
    host.gives(order())
    work = prepare(order(), host.dom0.settings, host.journal)
    steps.start(host.dom0.settings, host.journal, order(), work, host.journal.record(order()))
    said = host.runs(order(attempt_id="r1-s1-a2"))
    assert (said.state, said.refusal) == (REFUSED, RefusalCode.BUSY)
    assert "r1-s1-a1 (move) is at work on db-3" in said.reason
    go.touch()
    assert run_step(host.context, "r1-s1-a1")["state"] == "ended"


BAD_ORDERS = [
    ("{", "JSON"),
    ("{}", "attempt_id: Field required"),
    (order(host="n2").model_dump_json(), "for n2, not n1"),
    (order(attempt_id="other").model_dump_json(), "is other for n1"),
    (order().model_dump_json().replace("move", "burn"), "kind: Input should be"),
    (order().model_dump_json().replace('"epoch":1', '"epoch":1,"colour":1'), "colour: Extra"),
    (order().model_dump_json().replace('"schema_version":1', '"schema_version":2'), "schema_ver"),
    (order(guest_uuid=None).model_dump_json(), "move needs guest_uuid"),
    (order(Kind.REBOOT).model_dump_json(), "reboot needs boot_id"),
    (order(Kind.MEND, mend=MendAction.UNPAUSE).model_dump_json(), "mend needs domid"),
]


@pytest.mark.parametrize(("raw", "said"), BAD_ORDERS, ids=[said for _, said in BAD_ORDERS])
def test_an_order_that_makes_no_sense_is_refused_by_its_field(
    host: Host, raw: str, said: str
) -> None:
    host.client.hset(keys.orders("n1"), "r1-s1-a1", raw)
    with pytest.raises(OrderError, match="order r1-s1-a1") as caught:
        run_step(host.context, "r1-s1-a1")
    assert said in str(caught.value)
    assert host.journal.ids() == []


def test_a_move_of_a_guest_with_a_device_is_refused_by_that_device(host: Host) -> None:
    import json

    entry = config(HERE, pcidevs=[{"bus": 3}])
    host.dom0.shows(HERE, configs=json.dumps([entry]))
    assert host.runs(order()).reason == "db-3 cannot be moved: 1 passed-through PCI device(s)"


def test_a_zombie_of_another_guest_is_in_the_way_of_a_reboot_only(host: Host) -> None:
    zombie = domain("(null)", DYING, domid=9, uuid=OTHER_UUID)
    host.dom0.shows(HERE, zombie)
    assert host.runs(order()).state is ENDED
    said = host.runs(order(Kind.REBOOT, attempt_id="r1-s2-a1", boot_id=BOOT_ID))
    assert said.state is REFUSED
