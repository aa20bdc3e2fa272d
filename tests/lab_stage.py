"""The project at work on the lab: real server outside, real controller, hosts enrolled as by hand.

Everything is asked for through `xenroll`, as a person would; what is judged is another matter
(`tests/lab_judge.py`, which never asks the project).
"""

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import redis

from agents.keys import keys
from agents.wire import Report
from deploy.lab import enroll
from deploy.lab.lab import Lab
from deploy.lab.layout import Layout
from scheduler.book import Book
from scheduler.demo.services import Service
from scheduler.embedded import EmbeddedServer
from scheduler.store import Store
from tests.lab_kit import say

ADVISORY = "XSA-999"
# What takes a real host seconds takes one under emulation minutes.
PATIENCE = {
    "XENROLL_LOOK_WAIT_S": "240",
    "XENROLL_LIMITS__STALE_AFTER_S": "240",
    "XENROLL_LIMITS__RETRY_BACKOFF_S": "20",
    "XENROLL_LIMITS__SETTLE_LIMIT_S": "600",
    "XENROLL_LIMITS__REBOOT_LIMIT_S": "1200",
    "XENROLL_LIMITS__MAX_SILENT_HOSTS": "0.5",
}
POLICY = {
    "max_moves_out_per_host": 1,
    "max_moves_in_per_host": 1,
    "max_hosts_away": 1,
    "vcpus_per_cpu": 32,
    "move_setup_s": 30,
    "stream_mbps": 20,
    "reboot_s": 90,
}
AGENTS_TIMEOUT_S = 600.0
POLL_S = 1.0


@dataclass
class Stage:
    """A server, a controller, and a way to give commands."""

    lab: Lab
    server: EmbeddedServer
    url: str
    controller: Service
    shown: set[str] = field(default_factory=set)

    @property
    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)

    @property
    def store(self) -> Store:
        return Store(self.client, "lab-test")

    def xenroll(self, *words: str) -> tuple[int, str]:
        """`xenroll WORDS`, said as a person would read it; its exit code and what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "scheduler", *words],
            env=self.controller.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        text = (done.stdout + done.stderr).strip()
        say(f"$ xenroll {' '.join(words)}   -> {done.returncode}")
        for line in text.splitlines():
            say(f"    {line}")
        return done.returncode, text

    def obey(self, *words: str) -> str:
        """A command that has to work."""
        code, text = self.xenroll(*words)
        assert code == 0, text
        return text

    def enroll(self, name: str) -> None:
        """Gives a host its own Redis user, and its agent the way to it."""
        folder = self.lab.layout.run / "enrolled" / name
        self.obey("host", "enroll", name, "--output", str(folder), "--server", enroll.SERVER)
        enroll.enroll(self.lab.remote(name), folder)

    def report(self, name: str) -> Report | None:
        """The newest thing that the host's agent said."""
        raw = self.client.get(keys.report(name))
        return Report.model_validate_json(raw) if isinstance(raw, bytes) else None

    def wait_for_agents(self, names: Sequence[str], since: datetime) -> None:
        """Returns when each of them has reported, without trouble, since then."""
        deadline = time.monotonic() + AGENTS_TIMEOUT_S
        for name in names:
            while (report := self.report(name)) is None or report.taken_at < since:
                if time.monotonic() > deadline:
                    log = self.lab.remote(name).run("tail -n 20 /var/log/lab/xenroll-agent.log")
                    raise AssertionError(f"the agent of {name} says nothing:\n{log.out}")
                time.sleep(POLL_S)
            assert not report.trouble, report.trouble
            say(
                f"{name}'s agent reports: build {report.build_id[:12]}, {len(report.guests)} guests"
            )

    def apply_inventory(self, names: Sequence[str], **policy: object) -> None:
        file = self.lab.layout.run / "inventory.json"
        hosts = [{"name": name, "pool": "lab"} for name in names]
        facts = {"policy": {**POLICY, **policy}, "hosts": hosts}
        file.write_text(json.dumps({"format": "xenroll.inventory/1", **facts}))
        self.obey("inventory", "apply", str(file))

    def follow(self, rollout_id: str, until: Callable[[Book], bool], timeout_s: float) -> Book:
        """Prints what happens until `until` holds; fails when that takes too long."""
        deadline = time.monotonic() + timeout_s
        while True:
            self.controller.keep_up()
            book = self.store.book(rollout_id)
            for one in self.store.happenings(rollout_id, 200):
                line = f"{one.at:%H:%M:%S} {one.kind}: {one.text}"
                if line not in self.shown:
                    self.shown.add(line)
                    say(f"  {line}")
            if until(book):
                return book
            if time.monotonic() > deadline:
                hold = book.rollout.hold
                raise AssertionError(f"{rollout_id} is {book.rollout.state} ({hold}) for too long")
            time.sleep(POLL_S)


def free_port(layout: Layout) -> int:
    """Where the server listens: next to the lab's own ports."""
    return layout.base_port + 30


@contextmanager
def staged(lab: Lab, port: int, patience: Mapping[str, str] | None = None) -> Iterator[Stage]:
    """Server and controller for a lab whose hosts reach `port` of 127.0.0.1 as their server."""
    folder = lab.layout.run / "xenroll"
    server = EmbeddedServer(folder / "valkey")
    server.start()
    try:
        url = open_to_hosts(server, port)
        controller = Service(
            "controller",
            ["-m", "scheduler", "controller"],
            folder / "controller.log",
            {**PATIENCE, **(patience or {}), "XENROLL_REDIS_URL": url},
        )
        controller.start()
        try:
            yield Stage(lab, server, url, controller)
        finally:
            controller.stop()
    finally:
        server.stop()


def open_to_hosts(server: EmbeddedServer, port: int) -> str:
    """Lets the server listen on loopback too, for those alone who have a password."""
    password = secrets.token_urlsafe(16)
    with redis.Redis.from_url(server.url) as client:
        client.flushall()
        for user in client.acl_users():
            if user != "default":
                client.acl_deluser(user)
        client.config_set("requirepass", password)
        client.config_set("bind", "127.0.0.1")
        client.config_set("port", port)
    return f"redis://default:{password}@127.0.0.1:{port}/0"


def now() -> datetime:
    return datetime.now(UTC)


def installed(lab: Lab, name: str, xen: Path) -> None:
    """The upgrade of the hypervisor's package, as an administrator does it before a rollout."""
    lab.install_xen(name, xen)
    say(f"{name}: the next boot brings {xen}")
