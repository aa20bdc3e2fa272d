"""What `xl` does for its save helper: show messages, suspend the guest, draw the conclusion."""

from __future__ import annotations

import os

from scheduler.standin import faults, lifecycle
from scheduler.standin.dom0 import Dom0, complain
from scheduler.standin.xl_sender import FAIL, GUEST_TIMEDOUT, child_status

SUSPENDING = "libxl: error: libxl_dom_suspend.c"


class SaveClient:
    """One run of the helper for one domain."""

    def __init__(self, dom0: Dom0, domid: int, guest: str, send: int, transport: int) -> None:
        self.dom0, self.world, self.domid, self.guest = dom0, dom0.world, domid, guest
        self.transport = transport
        self.guest_responded = False
        self.stranded = False
        self._start(send)

    def _start(self, send: int) -> None:
        to_helper, self.answers = os.pipe()
        self.questions, from_helper = os.pipe()
        self.helper = os.fork()
        if self.helper == 0:
            os.dup2(to_helper, 0)
            os.dup2(from_helper, 1)
            os.set_inheritable(send, True)
            program = f"{self.world.host_dir(self.dom0.host)}/bin/libxl-save-helper"
            words = ["--save-domain", str(send), "11", str(self.domid), "1", "136", "0"]
            os.execve(program, [program, *words], dict(os.environ))
        os.close(to_helper)
        os.close(from_helper)

    def run(self) -> int:
        """0, or the libxl error code that the save ends with."""
        buffer = b""
        while piece := os.read(self.questions, 65536):
            *lines, buffer = (buffer + piece).split(b"\n")
            for line in lines:
                if line[:1] == b"D":
                    return self._done(line[2:].decode())
                self._serve(line.decode())
        return self._helper_died()

    def _serve(self, line: str) -> None:
        if line[:1] == "L":
            complain(line[2:] + "\n")
        elif line[:1] == "S":
            answer = b"1\n" if self._suspend() else b"0\n"
            try:
                os.write(self.answers, answer)
            except BrokenPipeError:
                return  # the helper died meanwhile: its end of the questions says so

    def _done(self, error: str) -> int:
        os.waitpid(self.helper, 0)
        if not error:
            return 0
        responded = "responded" if self.guest_responded else "did not respond"
        where = "libxl: error: libxl_stream_write.c:347:libxl__xc_domain_save_done:"
        whom = f" Domain {self.domid}:" if self.domid else " "
        complain(f"{where}{whom}saving domain: domain {responded} to suspend request: {error}\n")
        return FAIL if self.guest_responded else GUEST_TIMEDOUT

    def _helper_died(self) -> int:
        if self.stranded:
            # Guests with a suspend event channel never count as having responded.
            self.guest_responded = False
            return self._done("Broken pipe")
        what = f"domain {self.domid} save/restore helper"
        complain(
            "libxl: error: libxl_utils.c:505:libxl_read_exactly: file/stream truncated reading"
            f" ipc msg header from {what} stdout pipe\n"
        )
        _, status = os.waitpid(self.helper, 0)
        complain(child_status(what, self.helper, status, "error", 117))
        return FAIL

    def _suspend(self) -> bool:
        """Ask the guest to suspend, as a guest's own kernel sees it; whether it did."""
        if self._struck("ignores-suspend") or not self._can_answer():
            return self._no_answer()
        if self._struck("late-suspend"):
            return self._too_late()
        for fault, reason in (
            ("crashes-in-migration", lifecycle.CRASH),
            ("reboots-in-migration", lifecycle.REBOOT),
            ("shuts-down-in-migration", lifecycle.POWEROFF),
        ):
            if self._struck(fault):
                return self._went_another_way(reason)
        with self.dom0.change() as change:
            domain = lifecycle.by_domid(change.state, self.domid)
            if domain is None or not lifecycle.runs(domain):
                return self._destroyed()
            lifecycle.shut_down(change.state, domain, lifecycle.SUSPEND, change.now, change.note)
        self.guest_responded = True
        self.stranded = self._struck("stranded-suspend")
        if self.stranded or self._struck("break-after-suspend"):
            os.kill(self.transport, 15)
        return True

    def _struck(self, fault: str) -> bool:
        return faults.take(self.world, faults.GUEST, self.guest, fault) is not None

    def _can_answer(self) -> bool:
        domain = lifecycle.by_domid(self.dom0.state(), self.domid)
        return domain is None or not domain["paused"]

    def _wait(self, simulated_s: float) -> None:
        until = self.world.now() + simulated_s
        while self.world.now() < until and self.dom0.state():
            self.world.sleep(min(1.0, simulated_s))

    def _no_answer(self) -> bool:
        self._wait(self.world.settings["suspend_ack_timeout_s"])
        complain(
            f"{SUSPENDING}:269:domain_suspend_common_pvcontrol_suspending: Domain {self.domid}:"
            "guest didn't acknowledge suspend, cancelling request\n"
        )
        return False

    def _too_late(self) -> bool:
        """Acknowledged, not done in time: the guest may still suspend, with nobody to resume it."""
        self._wait(self.world.settings["suspend_ack_timeout_s"])
        complain(
            f"{SUSPENDING}:411:suspend_common_wait_guest_timeout: Domain {self.domid}:"
            "guest did not suspend, timed out\n"
        )
        with self.dom0.change() as change:
            at = change.now + 20.0
            reason = lifecycle.SUSPEND
            lifecycle.schedule(change.state, at, "stop", self.domid, reason=reason)
        return False

    def _went_another_way(self, reason: int) -> bool:
        with self.dom0.change() as change:
            domain = lifecycle.by_domid(change.state, self.domid)
            if domain is not None:
                lifecycle.shut_down(change.state, domain, reason, change.now, change.note)
        if reason == lifecycle.CRASH:
            self._wait(lifecycle.DESTROY_S + 0.2)
        return self._destroyed()

    def _destroyed(self) -> bool:
        self.guest_responded = True
        if lifecycle.by_domid(self.dom0.state(), self.domid) is None:
            complain(
                f"{SUSPENDING}:329:suspend_common_wait_guest_check: Domain {self.domid}:"
                "guest we were suspending has been destroyed\n"
            )
        return False
