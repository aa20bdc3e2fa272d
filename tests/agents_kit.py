"""Small builders for what the agents' tests speak of: domains, reports, orders, attempts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agents.look import Looker, Question
from agents.wire import Attempt, AttemptState, Domain, Kind, Order, Report

RECORDED = Path(__file__).parent / "xl_output" / "xen-4.17"
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
UUID = "42c266c0-51eb-4798-a27c-3d480262885c"
OTHER_UUID = "b547dd8c-9ed9-4cb1-b0fe-bb5ef284645d"
DOM0_UUID = "00000000-0000-0000-0000-000000000000"

RUNS, BLOCKED, PAUSED = "r-----", "-b----", "--p---"
SUSPENDED, CRASHED, SHUT_DOWN = "---ss-", "---sc-", "---s--"
DYING = "--ps-d"

DOM0 = Domain(
    domid=0, name="Domain-0", uuid=DOM0_UUID, memory_mib=768, vcpus=1, state=RUNS, cpu_time_s=9.0
)


def recorded(name: str) -> str:
    """What real Xen 4.17.7 printed."""
    return (RECORDED / name).read_text()


def domain(
    name: str = "db-3", state: str = BLOCKED, cpu_time_s: float = 7.5, domid: int = 5, **more: Any
) -> Domain:
    fields = {"uuid": UUID, "memory_mib": 48, "vcpus": 1, **more}
    return Domain(name=name, state=state, cpu_time_s=cpu_time_s, domid=domid, **fields)


def report(host: str, *domains: Domain, **more: Any) -> Report:
    """What a host of Xen 4.17 says; `more` replaces fields."""
    fields: dict[str, Any] = {
        "agent_version": "0.1.0",
        "agent_id": "a",
        "sequence": 1,
        "answers": 1,
        "taken_at": NOON,
        "boot_id": f"boot-of-{host}",
        "xen_version": "4.17.7",
        "build_id": "old",
        "domains": (DOM0, *domains),
        **more,
    }
    return Report(host=host, **fields)


def looked(looker: Looker, clock_s: float = 0.0) -> Report:
    """What an agent sees that nobody asked anything."""
    now = datetime.now(UTC)
    question = Question(
        "t", sequence=1, answers=0, ordered=frozenset(), taken_at=now, clock_s=clock_s
    )
    return looker.look(question)


def order(kind: Kind = Kind.MOVE, **more: Any) -> Order:
    """An order for host `n1`; a move goes to `n2`."""
    fields: dict[str, Any] = {
        "attempt_id": "r1-s1-a1",
        "rollout_id": "r1",
        "step_id": "s1",
        "epoch": 1,
        "host": "n1",
    }
    if kind is not Kind.REBOOT:
        fields |= {"guest": "db-3", "guest_uuid": UUID}
    if kind is Kind.MOVE:
        fields |= {"destination": "n2", "destination_address": "n2.example"}
    return Order(kind=kind, **{**fields, **more})


def attempt(output: str = "", exit_code: int | None = 1, **more: Any) -> Attempt:
    """An attempt that ended, or whose exit code was lost."""
    fields: dict[str, Any] = {
        "attempt_id": "r1-s1-a1",
        "kind": Kind.MOVE,
        "state": AttemptState.UNKNOWN if exit_code is None else AttemptState.ENDED,
        "domid": 5,
        "exit_code": exit_code,
        "ended_at": NOON,
        "output_tail": output,
        **more,
    }
    return Attempt(**fields)
