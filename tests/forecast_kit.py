"""Made-up work and a small rollout, to be forecast."""

from __future__ import annotations

from agents.wire import Kind
from scheduler.forecast_runs import Ceilings, Work
from tests.make import fleet, guest, host
from tests.sim import Sim

LOOSE = Ceilings(moves_out=99, moves_in=99, away=99)


def work(name: str, kind: Kind, planned_s: float, *needs: str, **more: object) -> Work:
    told: dict[str, object] = {
        "host": "a",
        "destination": "b" if kind is Kind.MOVE else None,
        "group": None,
        "planned_start_s": 0.0,
    }
    return Work(id=name, kind=kind, planned_s=planned_s, needs=needs, **(told | more))  # type: ignore[arg-type]


def forecast_sim() -> Sim:
    hosts = [host(f"h{n}", gib=32) for n in range(12)]
    guests = [guest(f"g{n}", f"h{n % 12}", gib=1 + n % 5) for n in range(70)]
    return Sim(fleet(hosts, guests, canary_hosts=1, gates="canary", max_hosts_away=3))
