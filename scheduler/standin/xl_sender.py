"""The sender of a migration, from the transport's start to one of its four ends."""

from __future__ import annotations

import os
import time

from scheduler.standin import faults, lifecycle, stream
from scheduler.standin.dom0 import Dom0, Exit, complain, default_sigpipe
from scheduler.standin.xl_change import name_taken, not_suspended, zombie

TYPE_CHECKING = False
if TYPE_CHECKING:
    from scheduler.standin.store import Domain

GUEST_TIMEDOUT, FAIL = -8, -3
TRANSPORT_WAIT_S = 5.0  # real seconds; xl itself gives its transport two
RECEIVER = "migration receiver stream"
UNDEFINED = (
    "** Migration failed during final handshake **\n"
    "Domain state is now undefined !\n"
    "Please CHECK AT BOTH ENDS for running instances, before renaming and\n"
    " resuming at most one instance.  Two simultaneous instances of the domain\n"
    " would probably result in SEVERE DATA LOSS and it is now your\n"
    " responsibility to avoid that.  Sorry.\n"
)


class Sender:
    """One `xl migrate` of one domain."""

    def __init__(self, dom0: Dom0, domain: Domain, config: bytes, rune: str) -> None:
        self.dom0, self.world = dom0, dom0.world
        self.domid: int = domain["domid"]
        self.name: str = domain["name"]
        self.vnuma = bool(domain["config"]["b_info"].get("vnuma_nodes"))
        self.config, self.rune = config, rune

    def run(self) -> int:
        """xl's exit code."""
        self._start_transport()
        self._preamble()
        code = self._save()
        if code:
            complain(f"migration sender: libxl_domain_suspend failed (rc={code})\n")
            return self._failed_suspend() if code == GUEST_TIMEDOUT else self._failed_resume()
        if not stream.read_message(
            self.receive, stream.READY, "ready message", RECEIVER, self.rune
        ):
            return self._failed_resume()
        complain("migration sender: Target has acknowledged transfer.\n")
        if not self._rename(f"{self.name}--migratedaway"):
            return self._failed_resume()
        self._hold("renamed")
        if self._struck("cut-before-go"):
            self._cut_transport()
        complain("migration sender: Giving target permission to start.\n")
        if not stream.try_write(self.send, stream.GO):
            complain(
                "libxl: error: libxl_utils.c:506:libxl_write_exactly: failed to write GO message"
                " from migration stream: Broken pipe\n"
            )
            return self._failed_badly()
        return self._hear_report()

    def _hear_report(self) -> int:
        """Past the point of no return."""
        self._hold("go-sent")
        what = "success/failure report message"
        if not stream.read_message(self.receive, stream.REPORT, what, RECEIVER, self.rune):
            return self._failed_badly()
        status = stream.read_exactly(self.receive, 1)
        if status is None:
            text = "file/stream truncated reading success/failure status"
            complain(f"{stream.READ_EXACTLY} {text} from migration ack stream\n")
            return self._failed_badly()
        if status != b"\0":
            return self._target_failed(int.from_bytes(status, "little", signed=True))
        complain("migration sender: Target reports successful startup.\n")
        self._hold("reported")
        with self.dom0.change() as change:
            domain = lifecycle.by_domid(change.state, self.domid)
            if domain is not None and zombie(self.dom0, domain):
                domain["dying"] = True
                lifecycle.touch(domain, change.now)
            elif domain is not None:
                lifecycle.remove(change.state, domain, "migrated", change.note)
        complain("Migration successful.\n")
        return 0

    def _target_failed(self, status: int) -> int:
        complain(f"migration sender: Target reports startup failure (status code {status}).\n")
        what = "permission for sender to resume"
        if not stream.read_message(self.receive, stream.GO, what, RECEIVER, self.rune):
            return self._failed_badly()
        complain("migration sender: Trying to resume at our end.\n")
        self._rename(self.name)
        if self._resume():
            complain("migration sender: Resumed OK.\n")
        complain("Migration failed due to problems at target.\n")
        return 1

    def _start_transport(self) -> None:
        from_here, self.send = os.pipe()
        self.receive, to_here = os.pipe()
        self.transport = os.fork()
        if self.transport == 0:
            os.dup2(from_here, 0)
            os.dup2(to_here, 1)
            default_sigpipe()
            os.execve("/bin/sh", ["sh", "-c", self.rune], dict(os.environ))
        os.close(from_here)
        os.close(to_here)

    def _preamble(self) -> None:
        if not stream.read_message(self.receive, stream.BANNER, "banner", RECEIVER, self.rune):
            os.close(self.send)
            self._report_transport()
            raise Exit(1)
        length = len(self.config) + 4
        info = f"0x{stream.MANDATORY:x}/0x0/{length}"
        if not stream.try_write(self.send, stream.header(self.config)):
            complain(
                "xl: fatal error: xl_saverestore.c:74: Broken pipe: libxl_write_exactly("
                ' ctx, fd, &hdr, sizeof(hdr), source, "header")\n'
            )
            raise Exit(1)
        complain(f"Saving to migration stream new xl format (info {info})\n")

    def _save(self) -> int:
        """Run the save helper and serve it; 0 or a libxl error code."""
        if self.vnuma:
            where = "libxl: error: libxl_dom_save.c:428:libxl__domain_save:"
            complain(f"{where} Domain {self.domid}:Cannot save a guest with vNUMA configured\n")
            return FAIL
        from scheduler.standin.save_client import SaveClient

        code = SaveClient(self.dom0, self.domid, self.name, self.send, self.transport).run()
        if code == 0 and self._struck("qemu-save-fails"):
            where = "libxl: error: libxl_stream_write.c:424:write_emulator_done:"
            complain(f"{where} Domain {self.domid}:failed to suspend device model, rc=-3\n")
            return FAIL
        return code

    def _rename(self, name: str) -> bool:
        with self.dom0.change() as change:
            domain = lifecycle.by_domid(change.state, self.domid)
            if domain is None:
                return False
            other = lifecycle.by_name(change.state, name)
            if other is not None and other is not domain:
                complain(name_taken("libxl_domain.c:81:libxl__domain_rename", self.domid, name))
                return False
            domain["name"] = name
            change.note("renamed", domid=self.domid, uuid=domain["uuid"], name=name)
        return True

    def _resume(self) -> bool:
        """As libxl does it: a domain that never stopped gives harmless errors."""
        with self.dom0.change() as change:
            domain = lifecycle.by_domid(change.state, self.domid)
            if domain is None:
                return False
            if domain["shutdown"] != lifecycle.SUSPEND:
                complain(not_suspended(domain))
                return False
            lifecycle.resume(domain, change.now)
            change.note("resumed", domid=self.domid, uuid=domain["uuid"], name=domain["name"])
            lifecycle.may_crash(self.world, change.state, domain, self.name, change.now)
        return True

    def _failed_suspend(self) -> int:
        os.close(self.send)
        self._report_transport()
        complain("Migration failed, failed to suspend at sender.\n")
        return 1

    def _failed_resume(self) -> int:
        os.close(self.send)
        self._report_transport()
        complain("Migration failed, resuming at sender.\n")
        self._resume()
        return 1

    def _failed_badly(self) -> int:
        complain(UNDEFINED)
        os.close(self.send)
        self._report_transport()
        return 1

    def _report_transport(self) -> None:
        """Say how the transport ended, if it ends soon and not well."""
        until = time.monotonic() + TRANSPORT_WAIT_S
        while time.monotonic() < until:
            done, status = os.waitpid(self.transport, os.WNOHANG)
            if done:
                complain(
                    child_status("migration transport process", self.transport, status, "info", 117)
                )
                return
            time.sleep(0.001)
        complain(
            f"migration child [{self.transport}] not exiting, no longer waiting"
            " (exit status will be unreported)\n"
        )

    def _struck(self, fault: str) -> bool:
        return faults.take(self.world, faults.GUEST, self.name, fault) is not None

    def _hold(self, point: str) -> None:
        faults.hold(self.world, self.name, point, self.dom0.host, self.dom0.generation)

    def _cut_transport(self) -> None:
        """As a reset connection: both ends see their pipes close."""
        os.kill(self.transport, 15)
        os.waitid(os.P_PID, self.transport, os.WEXITED | os.WNOWAIT)


def child_status(what: str, pid: int, status: int, level: str, line: int) -> str:
    """libxl's report of a child that ended badly; nothing of one that ended well."""
    code = os.waitstatus_to_exitcode(status)
    where = "libxl_exec.c:{0}:libxl_report_child_exitstatus"
    if code > 0:
        start = f"libxl: {level}: {where.format(line)}: {what} [{pid}]"
        return f"{start} exited with error status {code}\n"
    if code == 0:
        return ""
    names = {-13: "Broken pipe", -15: "Terminated", -9: "Killed", -2: "Interrupt", -1: "Hangup"}
    start = f"libxl: {level}: {where.format(127)}: {what} [{pid}]"
    return f"{start} died due to fatal signal {names.get(code, f'unknown signal {-code}')}\n"
