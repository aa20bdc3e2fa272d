"""`libxl-save-helper`: copies a domain's memory into the migration stream.

A process of its own, as in life, so that it can be killed by itself.  It talks with its `xl` over
two pipes, one line at a time: `L text` (to be shown), `P` (still going), `S` (please suspend;
answered by 1 or 0), `D error` (done; `D` alone: all went well).
SIGTERM is the cleanest way to abort a migration: the stream becomes unwritable and the helper ends
on its error path.
"""

from __future__ import annotations

import os
import sys

from scheduler.standin import faults, lifecycle, stream
from scheduler.standin.dom0 import Dom0, default_sigpipe, on_sigterm, run
from scheduler.standin.microjson import dumps
from scheduler.standin.store import write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn

    from scheduler.standin.store import Domain

CHUNKS = 8
LOG_DIRTY = "Failed to enable logdirty: {0},22,0 (22 = Invalid argument): Internal error"
CARRIED = ("mem_kib", "overhead_kib", "cpu_rate", "cpu_needs", "activity", "xs")


class SaveFailed(Exception):
    """The save ends here; the argument is what strerror says of it."""


def main(world_dir: str, host: str) -> NoReturn:
    run(lambda: Helper(Dom0(world_dir, host), sys.argv[1:]).run())


class Helper:
    """One save of one domain; arguments as libxl gives them: --save-domain IO_FD . DOMID ..."""

    def __init__(self, dom0: Dom0, words: list[str]) -> None:
        self.dom0, self.world = dom0, dom0.world
        self.io, self.domid = int(words[1]), int(words[3])
        default_sigpipe()
        unwriteable = os.open("/dev/null", os.O_RDONLY)
        on_sigterm(lambda *_: os.dup2(unwriteable, self.io))
        dom0.register()

    def run(self) -> int:
        try:
            self._save()
        except SaveFailed as failure:
            self._tell(f"D {failure}")
            return 0
        except OSError as error:
            reason = f"({error.errno} = {error.strerror}): Internal error"
            self._log(f"xc: error: Failed to write page data to stream {reason}")
            self._log(f"xc: error: Save failed {reason}")
            self._tell(f"D {error.strerror}")
            return 0
        self._tell("D")
        return 0

    def _domain(self) -> Domain:
        domain = lifecycle.by_domid(self.dom0.state(), self.domid)
        if domain is None:
            self._log("xc: error: Failed to get domain info (3 = No such process): Internal error")
            raise SaveFailed("No such process")
        return domain

    def _save(self) -> None:
        domain = self._domain()
        self.guest: str = domain["name"]
        kind = "PV" if domain["config"]["c_info"]["type"] == "pv" else "HVM"
        self._log(f"xc: info: Saving domain {self.domid}, type x86 {kind}")
        if self.domid == 0:
            self._no_domain_0()
        self._send(stream.record(stream.IMAGE, 0, self._image_header(domain, kind)))
        self.world.sleep(self.world.settings["move_setup_s"] * 0.7)
        self._refuse(domain, kind)
        self._precopy(domain)
        self._suspend()
        faults.hold(self.world, self.guest, "suspended", self.dom0.host, self.dom0.generation)
        self.world.sleep(self.world.settings["downtime_s"])
        self._send(stream.record(stream.LAST, 0, bytes(1024)))
        self._send(stream.record(stream.END))

    def _no_domain_0(self) -> NoReturn:
        """xl tries it; the hypervisor has no such frame of its caller."""
        reason = "(3 = No such process): Internal error"
        self._log(f"xc: error: Failed to map shared info frame at mfn 0x7ffcd {reason}")
        self._log(f"xc: error: Save failed {reason}")
        raise SaveFailed("No such process")

    def _image_header(self, domain: Domain, kind: str) -> bytes:
        xen = self.dom0.first["xen"]
        carried = {key: domain.get(key) for key in CARRIED}
        facts = {"kind": kind, "xen": f"{xen['major']}.{xen['minor']}", "carried": carried}
        return dumps(facts).encode()

    def _refuse(self, domain: Domain, kind: str) -> None:
        """What the hypervisor does not do: log-dirty for a PV guest without shadow paging, or for
        a guest with a passed-through device; and what was injected instead."""
        caps = self.dom0.first["cpu"]["virt_caps"].split()
        refusal = None
        if kind == "PV" and "shadow" not in caps:
            refusal = LOG_DIRTY.format(95)
        elif domain["config"].get("pcidevs"):
            refusal = LOG_DIRTY.format(22)
        elif self._struck("logdirty-nomem"):
            refusal = LOG_DIRTY.format(12)
        elif self._struck("p2m-changed"):
            refusal = "p2m generation count changed. Migration aborted.: Internal error"
        if refusal:
            self._log(f"xc: error: {refusal}")
            self._log("xc: error: Save failed (22 = Invalid argument): Internal error")
            raise SaveFailed("Invalid argument")
        if self._struck("qemu-logdirty"):
            where = "libxl_domain.c:312:domain_logdirty_done"
            self._log(
                f"libxl: error: {where}: Domain {self.domid}:"
                "logdirty switch failed (rc=-3), abandoning suspend"
            )
            raise SaveFailed("Success")

    def _struck(self, fault: str) -> bool:
        return faults.take(self.world, faults.GUEST, self.guest, fault) is not None

    def _precopy(self, domain: Domain) -> None:
        settings = self.world.settings
        mib = domain["mem_kib"] / 1024
        copy_s = mib * 8.388608 * settings["dirty_factor"] / settings["stream_mbps"]
        left = domain["mem_kib"]
        for chunk in range(CHUNKS, 0, -1):
            part = left // chunk
            left -= part
            self.world.sleep(copy_s / CHUNKS)
            self._send(stream.pages(part))
            faults.hold(self.world, self.guest, "precopy", self.dom0.host, self.dom0.generation)
            if self._struck("stream-write-fails"):
                raise BrokenPipeError(32, "Broken pipe")
            self.dom0.state()

    def _suspend(self) -> None:
        self._tell("S")
        if os.read(0, 2) == b"1\n":
            return
        shut = self._domain()["shutdown"]
        state = "shutdown 0, reason 255" if shut is None else f"shutdown 1, reason {shut}"
        self._log(f"xc: error: Domain has not been suspended: {state}: Internal error")
        self._log("xc: error: Save failed (0 = Success): Internal error")
        raise SaveFailed("Success")

    def _send(self, data: bytes) -> None:
        """Write, and wait until it has left: a link that is dead holds the copy up at once."""
        write_all(self.io, data)
        for _ in self._until_taken(self.io, 0.002):
            self._tell("P")
        self._tell("P")

    def _until_taken(self, descriptor: int, pause_s: float) -> Iterator[None]:
        """Comes back until the other end has read everything; without one, SIGPIPE ends us."""
        import select
        import time

        poll = select.poll()
        poll.register(descriptor, 0)
        while not stream.drained(descriptor):
            if poll.poll(0):
                os.write(descriptor, b"\0")  # nobody reads: SIGPIPE ends this process here
            yield
            time.sleep(pause_s)

    def _log(self, text: str) -> None:
        """Shown by our xl before anything that follows from it can be."""
        self._tell(f"L {text}")
        for _ in self._until_taken(1, 0.0005):
            pass

    def _tell(self, line: str) -> None:
        """To our xl; without one, SIGPIPE ends this process."""
        write_all(1, f"{line}\n".encode())
