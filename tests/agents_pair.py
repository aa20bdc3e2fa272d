"""Two simulated hosts, one guest, and a controller that believes nothing but looks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import redis

from agents.journal import Journal
from agents.keys import keys
from agents.look import Looker
from agents.prepare import prepare
from agents.settings import Settings
from agents.settle import Mend, Outcome, Retry, Verdict, settle_mend, settle_move
from agents.steps import Context, run_step, start
from agents.wire import Attempt, AttemptState, Kind, Order, Report
from scheduler.standin import faults, ledger
from scheduler.standin.fault_table import clear, inject
from scheduler.standin.world import GuestSpec, HostSpec, create_world
from tests.agents_kit import looked
from tests.waiting import until

ALIVE = "-o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=5 -o ServerAliveCountMax=6"
DISK = "/dev/san/db"


class Pair:
    """Two hosts, one guest on the first, and a controller that believes nothing but looks."""

    def __init__(
        self,
        base: Path,
        client: redis.Redis,
        kind: str = "pvh",
        speed: float = 400.0,
        **settings: object,
    ) -> None:
        self.client = client
        self.world = create_world(
            str(base / "world"),
            [HostSpec("n1", 4096), HostSpec("n2", 4096)],
            [GuestSpec("db", "n1", 256, kind=kind, disks=(DISK,), on_crash="preserve")],
            speed=speed,
        )
        self.settings = {host: self._settings(base, host, settings) for host in ("n1", "n2")}
        self.lookers = {host: Looker(one) for host, one in self.settings.items()}
        self.attempts = 0
        guest = self.look("n1").guests[0]
        self.uuid = guest.uuid
        client.hset(keys.control("r1"), mapping={"wanted": "run", "epoch": 1})

    def _settings(self, base: Path, host: str, more: Mapping[str, object]) -> Settings:
        programs = Path(self.world.host_dir(host)) / "bin"
        return Settings.model_validate(
            {
                "host": host,
                "redis_url": "unix:///unused",
                "root": str(Path(self.world.host_dir(host)) / "root"),
                "state_dir": str(base / "state" / host),
                "xl": [str(programs / "xl")],
                "xen_livepatch": [str(programs / "xen-livepatch")],
                "xenstore_read": [],
                "transport": f"{programs / 'ssh'} {ALIVE}",
                "receiver": str(programs / "xl"),
                "storage": [{"prefix": "/dev/san/", "tag": "storage:san"}],
                "poll_s": 0.05,
                **more,
            }
        )

    def look(self, host: str) -> Report:
        return looked(self.lookers[host])

    def order(self, kind: Kind, host: str, **more: object) -> Order:
        self.attempts += 1
        return Order.model_validate(
            {
                "attempt_id": f"r1-s{self.attempts}-a1",
                "rollout_id": "r1",
                "step_id": f"s{self.attempts}",
                "epoch": 1,
                "kind": kind,
                "host": host,
                "guest": "db",
                "guest_uuid": self.uuid,
                **more,
            }
        )

    def runs(self, order: Order) -> Attempt:
        settings = self.settings[order.host]
        raw = order.model_dump_json()
        self.client.hset(keys.orders(order.host), order.attempt_id, raw)
        context = Context(settings, self.client, lambda: datetime.now(UTC))
        run_step(context, order.attempt_id)
        boot_id = self.look(order.host).boot_id
        said = Journal(settings.state).attempt(order.attempt_id, boot_id)
        assert said is not None
        return said

    def moves(self) -> tuple[Attempt, Verdict]:
        """A move to its end: settle, clean up what the table allows, settle again."""
        order = self.order(Kind.MOVE, "n1", destination="n2", destination_address="n2")
        attempt = self.runs(order)
        return attempt, self.settles(order, attempt)

    def holds(self, point: str) -> tuple[Order, int]:
        """Start a move, and wait until it is held at this point; the pid of its `xl migrate`."""
        inject(self.world, "db", f"hold-{point}", count=1)
        order = self.order(Kind.MOVE, "n1", destination="n2", destination_address="n2")
        settings = self.settings["n1"]
        journal = Journal(settings.state)
        directory = journal.record(order)
        start(settings, journal, order, prepare(order, settings, journal), directory)
        until(lambda: bool(faults.held(self.world, "db", point)), f"waiting at {point}")
        return order, int(json.loads((directory / "child.json").read_text())["pid"])

    def lets_go(self, order: Order) -> Attempt:
        """Let what was held go on; what the journal says at its end."""
        clear(self.world, "db")
        journal, boot_id = Journal(self.settings["n1"].state), self.look("n1").boot_id
        running = AttemptState.RUNNING
        until(lambda: journal.state(order.attempt_id, boot_id) is not running, "the end")
        attempt = journal.attempt(order.attempt_id, boot_id)
        assert attempt is not None
        return attempt

    def settles(self, order: Order, attempt: Attempt) -> Verdict:
        for _ in range(400):
            verdict = settle_move(order, attempt, self.look("n1"), self.look("n2"))
            for mend in verdict.mends:
                self.mends(mend)
            later = verdict.outcome is Outcome.UNKNOWN and verdict.retry is Retry.LATER
            if not verdict.mends and not later:
                return verdict
        raise AssertionError(f"never settled: {verdict}")

    def mends(self, mend: Mend) -> None:
        order = self.order(Kind.MEND, mend.host, mend=mend.action, domid=mend.domid)
        attempt = self.runs(order)
        verdict = settle_mend(order, attempt, self.look(mend.host))
        assert verdict.outcome is Outcome.DONE, verdict

    def where(self) -> list[str]:
        """Where the guest runs, by the ledger of the hypervisors."""
        return ledger.running(self.world).get(self.uuid, [])
