"""Whether xl still watches a guest: what its monitor's log says, and which process lives.

The logs are those of Xen 4.17.7, word for word.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agents.monitors import Monitors
from agents.settings import Settings
from agents.wire import GuestSeen
from tests.agents_kit import UUID

BOOTED_S = 1_700_000_000
ARRIVED = "xl-beta--incoming.log"
WAITS = "Waiting for domain beta--incoming (domid 6) to die [pid {pid}]\n"
SUSPENDED = "Domain 6 has shut down, reason code 2 0x2\nDomain has suspended.\nDone. Exiting now\n"
RESTARTS = (
    "Domain 6 has shut down, reason code 3 0x3\n"
    "Action for shutdown reason code 3 is restart\n"
    "Domain 6 needs to be cleaned up: destroying the domain\n"
    "Done. Rebooting now\n"
)
NOBODY = 2**22 + 1  # no process has such a pid


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "var/log/xen").mkdir(parents=True)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text(f"cpu  1 2 3\nbtime {BOOTED_S}\nprocesses 9\n")
    return Settings(host="n1", redis_url="unix:///nowhere", root=str(tmp_path))


def log(settings: Settings, text: str, name: str = ARRIVED) -> Path:
    path = Path(settings.root) / "var/log/xen" / name
    path.write_text(text)
    return path


def guest(name: str = "beta", domid: int = 6, state: str = "-b----") -> GuestSeen:
    return GuestSeen(
        name=name,
        uuid=UUID,
        domid=domid,
        type="pvh",
        vcpus=1,
        memory_mib=64,
        overhead_mib=4,
        state=state,
    )


def told(settings: Settings, one: GuestSeen | None = None) -> bool | None:
    (marked,) = Monitors(settings).mark([one or guest()])
    return marked.monitored


@contextmanager
def writes(path: Path) -> Iterator[int]:
    """A process that has this file as its standard error, as a monitor has its log; its pid."""
    argv = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    with path.open("ab") as file:
        pipe = subprocess.PIPE
        process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=file)
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.communicate()


def test_a_monitor_is_the_process_that_its_log_names_and_that_writes_it(
    settings: Settings,
) -> None:
    path = log(settings, "")
    with writes(path) as pid:
        path.write_text(WAITS.format(pid=pid))
        assert told(settings) is True
    assert told(settings) is False, "it was killed: only its process is gone"


def test_another_process_with_the_pid_of_a_monitor_is_none(settings: Settings) -> None:
    log(settings, WAITS.format(pid=os.getpid()))
    assert told(settings) is False


def test_a_guest_that_was_resumed_after_a_failed_move_has_no_monitor_any_more(
    settings: Settings,
) -> None:
    log(settings, WAITS.format(pid=NOBODY) + SUSPENDED)
    assert told(settings) is False


def test_a_monitor_goes_on_with_the_domain_that_it_has_made_anew(settings: Settings) -> None:
    path = log(settings, "")
    with writes(path) as pid:
        path.write_text(WAITS.format(pid=pid) + RESTARTS)
        assert told(settings) is True, "it is making the guest anew"
        path.write_text(path.read_text() + WAITS.format(pid=pid).replace("domid 6", "domid 7"))
        assert told(settings, guest(domid=7)) is True
        assert told(settings) is None, "nothing speaks of domain 6 any more"


def test_a_guest_that_was_made_here_is_logged_under_its_own_name(settings: Settings) -> None:
    text = f"Waiting for domain beta (domid 6) to die [pid {NOBODY}]\n"
    log(settings, text, "xl-beta.log")
    log(settings, WAITS.format(pid=NOBODY).replace("domid 6", "domid 3"))
    assert told(settings) is False


@pytest.mark.parametrize(
    ("text", "one"),
    [
        (None, guest()),  # `create -e`, `create -F`, another toolstack: no log at all
        ("", guest()),  # cut down by somebody's logrotate
        (WAITS.format(pid=NOBODY).replace("domid 6", "domid 5"), guest()),  # an older domain's
        (WAITS.format(pid=NOBODY), guest(name="beta2")),  # it was renamed
        (WAITS.format(pid=NOBODY), guest(state="---sc-")),  # it ended, and so did its monitor
        (WAITS.format(pid=NOBODY), guest(state="---s--")),
    ],
)
def test_in_doubt_nothing_is_said(settings: Settings, text: str | None, one: GuestSeen) -> None:
    if text is not None:
        log(settings, text)
    assert told(settings, one) is None


def test_a_log_of_an_earlier_boot_tells_nothing(settings: Settings) -> None:
    os.utime(log(settings, WAITS.format(pid=NOBODY)), (BOOTED_S - 1, BOOTED_S - 1))
    assert told(settings) is None


def test_a_host_that_does_not_tell_when_it_booted_tells_nothing(settings: Settings) -> None:
    log(settings, WAITS.format(pid=NOBODY))
    (Path(settings.root) / "proc/stat").write_text("cpu 1 2 3\n")
    assert told(settings) is None


def test_a_name_that_would_lead_elsewhere_is_not_looked_for(settings: Settings) -> None:
    outside = Path(settings.root) / "var/log/xl-beta.log"
    outside.write_text(WAITS.format(pid=NOBODY))
    odd = guest().model_copy(update={"name": "../xl-beta"})
    assert Monitors(settings).mark([odd])[0].monitored is None


def test_a_log_is_read_again_only_when_it_has_changed(settings: Settings) -> None:
    monitors, path = Monitors(settings), log(settings, WAITS.format(pid=NOBODY))
    found = path.stat()
    assert monitors.mark([guest()])[0].monitored is False
    path.write_text(WAITS.format(pid=NOBODY).replace("domid 6", "domid 5"))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert monitors.mark([guest()])[0].monitored is False, "same size, same time: not read"
    os.utime(path)
    assert monitors.mark([guest()])[0].monitored is None
