"""Builders for tests: small fleets and plans in a line each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from planner.fleet import Evacuation, Fleet, Gates, Guest, Host, Policy
from planner.plan import Blocked, Plan, Reason, Step, StepKind, Summary, Wave

TAKEN_AT = "2026-11-22T09:30:00Z"
GIB = 1024


def host(
    name: str,
    *,
    gib: float = 64,
    cpus: float = 16,
    xen: str = "4.17",
    reboot: bool = True,
    pool: str = "default",
    group: str | None = None,
    offers: Iterable[str] = (),
) -> Host:
    """A host of 64 GiB that has to reboot."""
    return Host(
        name=name,
        pool=pool,
        group=group,
        memory_mib=round(gib * GIB),
        cpus=cpus,
        xen=xen,
        reboot=reboot,
        offers=tuple(offers),
    )


def guest(
    name: str,
    on: str,
    *,
    gib: float = 4,
    overhead_mib: int = 0,
    vcpus: int = 1,
    needs: Iterable[str] = (),
    apart: Iterable[str] = (),
    evacuation: str = "move",
    guest_class: str | None = None,
    uuid: str | None = None,
) -> Guest:
    """A guest of 4 GiB that can move, on the host `on`."""
    return Guest(
        name=name,
        uuid=uuid,
        host=on,
        vcpus=vcpus,
        memory_mib=round(gib * GIB),
        overhead_mib=overhead_mib,
        needs=tuple(needs),
        apart=tuple(apart),
        guest_class=guest_class,
        evacuation=Evacuation(evacuation),
    )


def fleet(hosts: Sequence[Host], guests: Sequence[Guest] = (), **policy: Any) -> Fleet:
    """A fleet; where the policy says nothing of them, there are no gates and no canary wave."""
    chosen: dict[str, Any] = {"canary_hosts": 0, "gates": Gates.NONE} | policy
    if "gates" in policy:
        chosen["gates"] = Gates(policy["gates"])
    return Fleet(
        taken_at=TAKEN_AT, policy=Policy(**chosen), hosts=tuple(hosts), guests=tuple(guests)
    )


def fleet_json(seen: Fleet) -> bytes:
    """The fleet file of a fleet."""
    return orjson.dumps(seen.model_dump(mode="json", by_alias=True), option=orjson.OPT_INDENT_2)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Draft:
    """A plan in the making, whose estimate is one step after the other unless said otherwise.

    Each step is named by its kind and what it is about: `move:db-1` (the second move of the same
    guest `move:db-1#2`), `stop:db-1`, `start:db-1`, `reboot:n1`.
    """

    def __init__(self, seen: Fleet) -> None:
        self.fleet = seen
        self.steps: list[Step] = []
        self.waves: list[Wave] = []
        self.blocked: list[Blocked] = []
        self._where = {guest.name: guest.host for guest in seen.guests}
        self._memory = {guest.name: guest.memory_mib for guest in seen.guests}

    def move(self, guest_name: str, to: str, needs: Iterable[str] = (), **more: Any) -> Draft:
        """Move a guest from where the plan has it by then."""
        moved = sum(s.kind is StepKind.MOVE and s.guest == guest_name for s in self.steps)
        step_id = f"move:{guest_name}" + (f"#{moved + 1}" if moved else "")
        lasts_s = self.fleet.policy.move_s(self._memory[guest_name])
        source = more.pop("source", self._where[guest_name])
        self._where[guest_name] = to
        names = {"guest": guest_name, "source": source, "destination": to}
        return self._add(StepKind.MOVE, step_id, needs, lasts_s, **names, **more)

    def stop(self, guest_name: str, needs: Iterable[str] = (), **more: Any) -> Draft:
        names = {"guest": guest_name, "host": self._where[guest_name]}
        lasts_s = self.fleet.policy.stop_s
        return self._add(StepKind.STOP, f"stop:{guest_name}", needs, lasts_s, **names, **more)

    def start(self, guest_name: str, needs: Iterable[str] = (), **more: Any) -> Draft:
        names = {"guest": guest_name, "host": self._where[guest_name]}
        lasts_s = self.fleet.policy.start_s
        return self._add(StepKind.START, f"start:{guest_name}", needs, lasts_s, **names, **more)

    def reboot(self, host_name: str, needs: Iterable[str] = (), **more: Any) -> Draft:
        lasts_s = self.fleet.policy.reboot_s
        step_id = f"reboot:{host_name}"
        return self._add(StepKind.REBOOT, step_id, needs, lasts_s, host=host_name, **more)

    def wave(self, *hosts: str, gate: bool = False) -> Draft:
        """Hosts of the next wave; say so before the steps."""
        self.waves.append(Wave(len(self.waves) + 1, hosts, gate))
        return self

    def block(self, host_name: str, *reasons: tuple[str | None, str]) -> Draft:
        self.blocked.append(Blocked(host_name, tuple(Reason(*reason) for reason in reasons)))
        return self

    def _add(
        self, kind: StepKind, step_id: str, needs: Iterable[str], lasts_s: float, **more: Any
    ) -> Draft:
        start_s = more.pop("start_s", max((step.end_s for step in self.steps), default=0.0))
        end_s = more.pop("end_s", start_s + lasts_s)
        wave = more.pop("wave", None) or self._wave_of(more.get("source") or more.get("host"))
        self.steps.append(Step(step_id, kind, wave, tuple(needs), start_s, end_s, **more))
        return self

    def _wave_of(self, host_name: str | None) -> int:
        return next((wave.number for wave in self.waves if host_name in wave.hosts), 1)

    def plan(self, **summary: Any) -> Plan:
        """The plan, with a summary that is true unless told otherwise."""
        told = true_summary(self.steps, self.blocked) | summary
        digest = sha256(fleet_json(self.fleet))
        steps, blocked = tuple(self.steps), tuple(self.blocked)
        return Plan(digest, tuple(self.waves), steps, blocked, Summary(**told))


def true_summary(steps: Sequence[Step], blocked: Sequence[Blocked]) -> dict[str, Any]:
    """What a summary of these steps has to say, with bounds that say nothing."""
    moved = [step.guest for step in steps if step.kind is StepKind.MOVE]
    return {
        "moves": len(moved),
        "moves_lower_bound": 0,
        "makespan_s": max((step.end_s for step in steps), default=0.0),
        "makespan_lower_bound_s": 0.0,
        "hosts_rebooted": sum(step.kind is StepKind.REBOOT for step in steps),
        "hosts_blocked": len(blocked),
        "guests_moved": len(set(moved)),
        "guests_restarted": sum(step.kind is StepKind.START for step in steps),
        "planning_s": 0.0,
    }
