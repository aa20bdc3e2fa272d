"""`xl migrate-receive`: the receiving end.  Steps and messages are those of xl_migrate.c."""

from __future__ import annotations

import os

from scheduler.standin import faults, lifecycle, stream
from scheduler.standin.dom0 import Dom0, complain
from scheduler.standin.xl_change import name_taken

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

FAIL, INVAL = -3, -6
STREAM = "migration stream"


class Vanish(Exception):
    """The receiver ends without cleaning up: what it built stays, paused."""


def migrate_receive(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    if rest:
        from scheduler.standin.xl_help import print_help

        print_help("migrate-receive")
        return 1
    dom0.register()
    try:
        return Receiver(dom0, paused="p" in options, monitored="e" not in options).run()
    except Vanish:
        return 1


class Receiver:
    """One incoming domain."""

    def __init__(self, dom0: Dom0, paused: bool, monitored: bool) -> None:
        self.dom0, self.world, self.host = dom0, dom0.world, dom0.host
        self.paused, self.monitored = paused, monitored

    def run(self) -> int:
        complain("migration target: Ready to receive domain.\n")
        if faults.take(self.world, faults.HOST, self.host, "header-break") is not None:
            os.close(0)
            self._write(stream.BANNER)
            return 1
        self._write(stream.BANNER)
        from scheduler.standin.restore import Refused, Restore

        try:
            restore = Restore(self)
            restore.run()
        except Refused as refusal:
            complain(f"migration target: Domain creation failed (code {refusal.code}).\n")
            return 1
        self.domid, self.name = restore.domid, restore.name
        complain("migration target: Transfer complete, requesting permission to start domain.\n")
        if self._struck("ready-unwritable"):
            raise Vanish
        self._write(stream.READY)
        self._hold("acknowledged")
        if self._struck("dest-dies-after-transfer"):
            self._power_off()
        code = self._start()
        return self._report(code)

    def _start(self) -> int:
        """Wait for permission, then be the guest; 0 or an error code."""
        if not stream.read_message(0, stream.GO, "GO message", STREAM):
            return 1
        complain("migration target: Got permission, starting domain.\n")
        self._hold("got-go")
        with self.dom0.change() as change:
            domain = lifecycle.by_domid(change.state, self.domid)
            if domain is None:
                return FAIL
            if lifecycle.by_name(change.state, self.name):
                where = "libxl_domain.c:81:libxl__domain_rename"
                complain(name_taken(where, self.domid, self.name))
                return INVAL
            domain["name"] = self.name
            change.note("renamed", domid=self.domid, uuid=domain["uuid"], name=self.name)
        self._hold("named")
        if self._struck("unpause-fails"):
            where = "libxl: error: libxl_domain.c:617:libxl_domain_unpause:"
            complain(f"{where} Domain {self.domid}:unpausing domain failed: Invalid argument\n")
            return FAIL
        if not self.paused:
            self._unpause()
        complain("migration target: Domain started successsfully.\n")
        return 0

    def _unpause(self) -> None:
        with self.dom0.change() as change:
            domain = lifecycle.by_domid(change.state, self.domid)
            if domain is not None:
                lifecycle.unpause(domain, change.now)
                lifecycle.may_crash(self.world, change.state, domain, self.name, change.now)

    def _report(self, code: int) -> int:
        self._hold("unpaused")
        if self._struck("cut-after-go"):
            raise Vanish  # what it would say is never heard
        self._write(stream.REPORT)
        self._write((-code & 0xFF).to_bytes(1, "little"))
        if code == 0:
            return 0
        complain("migration target: Failure, destroying our copy.\n")
        failed = self._struck("destroy-fails-dest")
        with self.dom0.change() as change:
            domain = lifecycle.by_domid(change.state, self.domid)
            if domain is not None and failed:
                domain["dying"] = True
                lifecycle.touch(domain, change.now)
            elif domain is not None:
                lifecycle.remove(change.state, domain, "not started", change.note)
        if failed:
            complain("migration target: Failed to destroy our copy (code -3).\n")
            return 1
        complain("migration target: Cleanup OK, granting sender permission to resume.\n")
        self._write(stream.GO)
        return 0

    def _write(self, data: bytes) -> None:
        """To the sender; where nobody listens any more, xl just exits."""
        if not stream.try_write(1, data):
            raise Vanish

    def _struck(self, fault: str) -> bool:
        return faults.take(self.world, faults.GUEST, self.name, fault) is not None

    def _hold(self, point: str) -> None:
        faults.hold(self.world, self.name, point, self.host, self.dom0.generation)

    def _power_off(self) -> NoReturn:
        from scheduler.standin.boot import power_off

        power_off(self.world, self.host)
        os._exit(1)
