"""A journal with a command that runs until it is told to end, and attempts to give to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agents.journal import Journal
from agents.prepare import Command, Work
from agents.steps import start
from agents.wire import AttemptState, Kind, Order
from tests.agents_dom0 import BOOT_ID, Dom0
from tests.agents_kit import OTHER_UUID, order
from tests.waiting import until

RUNNING, ENDED = AttemptState.RUNNING, AttemptState.ENDED
UNKNOWN, REFUSED = AttemptState.UNKNOWN, AttemptState.REFUSED


class Bench:
    """A journal, and a command that counts its starts and ends when it is told to."""

    def __init__(self, base: Path) -> None:
        self.dom0 = Dom0(base)
        self.settings = self.dom0.settings
        self.journal = Journal(self.settings.state)
        self.starts = base / "starts"
        self.go = base / "go"
        body = f"echo $$ >> {self.starts}; while [ ! -e {self.go} ]; do sleep 0.02; done; "
        self.slow = str(self.dom0.program("slow", body + "echo done >&2; exit 3"))

    def work(self, *argv: str, **more: Any) -> Work:
        return Work((Command(argv or (self.slow,)),), **more)

    def start(self, ordered: Order, work: Work | None = None) -> None:
        directory = self.journal.record(ordered)
        start(self.settings, self.journal, ordered, work or self.work(), directory)

    def state(self, ordered: Order) -> AttemptState | None:
        return self.journal.state(ordered.attempt_id, BOOT_ID)

    def started(self) -> list[int]:
        return [int(x) for x in self.starts.read_text().split()] if self.starts.exists() else []

    def supervisor(self, ordered: Order) -> int:
        """The step runner's process, found as the parent of the command."""
        until(lambda: bool(self.started()))
        fields = Path(f"/proc/{self.started()[-1]}/stat").read_text().rpartition(")")[2].split()
        return int(fields[1])

    def end(self, ordered: Order) -> AttemptState | None:
        self.go.touch()
        until(lambda: self.state(ordered) is not RUNNING)
        return self.state(ordered)


@contextmanager
def on_bench(base: Path) -> Iterator[Bench]:
    """A bench whose command ends at the latest with the test."""
    made = Bench(base)
    yield made
    made.go.touch()


ONE = order()
SAME_GUEST = order(attempt_id="r1-s2-a1")
OTHER_GUEST = order(attempt_id="r1-s3-a1", guest="web", guest_uuid=OTHER_UUID)
REBOOT = order(Kind.REBOOT, attempt_id="r1-s4-a1", boot_id=BOOT_ID)
