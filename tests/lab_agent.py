"""The agent's own code in a dom0 of the lab, for one order at a time and without a server."""

from __future__ import annotations

import shlex
from pathlib import Path

from agents.wire import Attempt, Kind, Order, Report
from deploy.lab.remote import Remote

FOLDER = "/srv/agent-here"
PYTHON = "/opt/xenroll/bin/python"
SCRIPT = f"""
import sys
from datetime import UTC, datetime
from pathlib import Path
from agents import agent, journal, settings, steps
from agents.prepare import Refusal, prepare
from agents.wire import Order
told = settings.load(Path("{FOLDER}/agent.toml"))
if len(sys.argv) > 1:
    order = Order.model_validate_json(sys.argv[1])
    book = journal.Journal(told.state)
    directory = book.record(order)
    try:
        work = prepare(order, told, book)
        steps.start(told, book, order, work, directory)
    except Refusal as refusal:
        book.refuse(order.attempt_id, refusal.code, refusal.reason)
    steps.wait(steps.Context(told, None, lambda: datetime.now(UTC)), book, order.attempt_id)
print(agent.look_once(told).model_dump_json())
"""
"""Gate, journal, step runner and report are the product's; only the claim in Redis is left out."""


class AgentHere:
    """Carries out orders in one dom0."""

    def __init__(self, remote: Remote, base: Path) -> None:
        self.remote, self.host, self.orders = remote, remote.host.name, 0
        script = base / "here.py"
        script.write_text(SCRIPT)
        remote.check(f"rm -rf {FOLDER}")
        remote.push([script], FOLDER)
        lines = f'host="{self.host}"\nredis_url="unix:///unused"\nstate_dir="{FOLDER}/state"\n'
        remote.check(f"cat > {FOLDER}/agent.toml", stdin=lines)

    def look(self) -> Report:
        """What the host's report says now."""
        return self._told("")

    def runs(self, kind: Kind, **more: object) -> tuple[Order, Attempt, Report]:
        """One order to its end; what the report shows after it."""
        self.orders += 1
        named = {"attempt_id": f"r1-s{self.orders}-a1", "step_id": f"s{self.orders}"}
        fixed = {"rollout_id": "r1", "epoch": 1, "kind": kind, "host": self.host}
        order = Order.model_validate({**named, **fixed, **more})
        report = self._told(shlex.quote(order.model_dump_json()))
        [attempt] = [a for a in report.attempts if a.attempt_id == order.attempt_id]
        return order, attempt, report

    def _told(self, words: str) -> Report:
        said = self.remote.check(f"{PYTHON} {FOLDER}/here.py {words}", timeout_s=400)
        return Report.model_validate_json(said.strip().splitlines()[-1])
