"""A controller that cannot reach Redis: it says so, waits, and ends when it is told to."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.waiting import until

UNIT = Path(__file__).parents[1] / "deploy" / "systemd" / "xenroll-controller.service"


def patience_s() -> float:
    """How long systemd waits for a controller that it told to end, before it kills it."""
    found = re.search(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(), re.MULTILINE)
    assert found
    return float(found.group(1))


def test_a_controller_without_redis_says_so_and_ends_before_systemd_kills_it(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    nowhere = {"XENROLL_REDIS_URL": f"unix://{tmp_path}/nobody.sock"}
    with log.open("wb") as written:
        controller = subprocess.Popen(
            [sys.executable, "-m", "scheduler", "controller"],
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=written,
            env={**os.environ, **nowhere},
        )
    try:
        until(lambda: "Redis is away" in log.read_text(), "the warning")
        controller.terminate()
        assert controller.wait(timeout=patience_s()) == 0
    finally:
        controller.kill()
        controller.wait()
    assert "controller ended; steps under way go on at their hosts" in log.read_text()
