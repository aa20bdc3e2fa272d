"""A step from its order in Redis to its end on the host: gate, claim, start, wait, wake."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from agents import steps
from agents.keys import SETTLED, keys
from agents.prepare import prepare
from agents.steps import Context, OrderError, run_step
from agents.wire import Kind, MendAction, RefusalCode, Wanted
from tests.agents_dom0 import BOOT_ID, config
from tests.agents_kit import DYING, NOON, OTHER_UUID, PAUSED, domain, order
from tests.agents_steps_kit import ENDED, HERE, REFUSED, Host


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
