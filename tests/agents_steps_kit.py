"""A dom0, a real server and what a controller writes there, for tests of whole steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import redis

from agents.journal import Journal
from agents.keys import SETTLED, keys
from agents.steps import Context, run_step
from agents.wire import Attempt, AttemptState, Kind, Order, Wanted
from tests.agents_dom0 import BOOT_ID, Dom0
from tests.agents_kit import NOON, domain, order

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
