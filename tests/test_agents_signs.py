"""Signs of life and death: what a dom0's files say of guests that live, and of those that ended."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agents.settings import Settings
from agents.signs import Signs
from agents.wire import Domain, GuestSeen, Report
from tests.agents_kit import DOM0, UUID, domain, report

XL_LOG = """Waiting for domain db-3 (domid 5) to die [pid 9174]
Domain 5 has shut down, reason code {code} 0x{code}
Action for shutdown reason code {code} is restart
Domain 5 needs to be cleaned up: destroying the domain
Done. Rebooting now
Waiting for domain db-3 (domid 6) to die [pid 9174]
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "var/log/xen/console").mkdir(parents=True)
    return Settings(host="n1", redis_url="unix:///nowhere", root=str(tmp_path))


def log(settings: Settings, name: str, text: str) -> None:
    (Path(settings.root) / "var/log/xen" / name).write_text(text)


def shown(*domains: Domain, boot_id: str = "boot-1") -> Report:
    return report("n1", DOM0, *domains, boot_id=boot_id)


@pytest.mark.parametrize("code", [0, 1, 3, 4])
def test_xls_log_tells_why_a_domain_ended(settings: Settings, code: int) -> None:
    signs = Signs(settings)
    assert signs.complete(shown(domain(domid=5))).endings == ()
    log(settings, "xl-db-3.log", XL_LOG.format(code=code))
    (ending,) = signs.complete(shown(domain(domid=6))).endings
    assert (ending.domid, ending.name, ending.reason_code) == (5, "db-3", code)
    assert signs.complete(shown(domain(domid=6))).endings == (ending,), "it is told again"


def test_a_guest_that_arrived_is_logged_under_the_name_that_it_arrived_with(
    settings: Settings,
) -> None:
    signs = Signs(settings)
    signs.complete(shown(domain(domid=5)))
    log(settings, "xl-db-3--incoming.log", XL_LOG.format(code=3))
    (ending,) = signs.complete(shown()).endings
    assert ending.reason_code == 3


def test_a_guest_that_migrated_away_or_that_no_log_tells_of_is_not_in_the_list(
    settings: Settings,
) -> None:
    signs = Signs(settings)
    signs.complete(shown(domain(domid=7)))
    log(settings, "xl-db-3.log", XL_LOG.format(code=3))
    assert signs.complete(shown()).endings == (), "the log speaks of an older domain"


def test_a_log_of_an_earlier_boot_tells_nothing_of_a_domain_of_this_one(
    settings: Settings,
) -> None:
    signs = Signs(settings)
    log(settings, "xl-db-3.log", XL_LOG.format(code=3))
    os.utime(Path(settings.root) / "var/log/xen/xl-db-3.log", (0, 0))
    signs.complete(shown(domain(domid=5)))
    assert signs.complete(shown()).endings == ()


def test_a_new_boot_begins_with_an_empty_list(settings: Settings) -> None:
    signs = Signs(settings)
    signs.complete(shown(domain(domid=5)))
    log(settings, "xl-db-3.log", XL_LOG.format(code=3))
    assert signs.complete(shown()).endings
    assert signs.complete(shown(domain(domid=1), boot_id="boot-2")).endings == ()


def test_a_look_at_which_xl_could_not_be_read_ends_nobody(settings: Settings) -> None:
    signs = Signs(settings)
    signs.complete(shown(domain(domid=5)))
    log(settings, "xl-db-3.log", XL_LOG.format(code=3))
    unread = report("n1", boot_id="boot-1").model_copy(update={"domains": ()})
    assert signs.complete(unread).endings == ()


def test_bytes_of_network_and_console_are_added_where_they_can_be_read(
    settings: Settings,
) -> None:
    guest = GuestSeen(
        name="db-3", uuid=UUID, domid=5, type="pv", vcpus=1, memory_mib=48, overhead_mib=1
    )
    seen = shown(domain(domid=5)).model_copy(update={"guests": (guest,)})
    (without,) = Signs(settings).complete(seen).guests
    assert (without.net_bytes, without.console_bytes) == (None, None)
    for nic, rx, tx in ((0, 10, 200), (1, 3000, 40000)):
        folder = Path(settings.root) / f"sys/class/net/vif5.{nic}/statistics"
        folder.mkdir(parents=True)
        (folder / "rx_bytes").write_text(f"{rx}\n")
        (folder / "tx_bytes").write_text(f"{tx}\n")
    log(settings, "console/guest-db-3.log", "Linux version 3.10\n")
    (found,) = Signs(settings).complete(seen).guests
    assert (found.net_bytes, found.console_bytes) == (43210, 19)
