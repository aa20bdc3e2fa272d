"""The restore of an incoming domain: its configuration, its memory, its devices."""

from __future__ import annotations

import os

from scheduler.standin import faults, lifecycle, monitors, stream
from scheduler.standin.dom0 import complain
from scheduler.standin.microjson import loads
from scheduler.standin.san import sees
from scheduler.standin.xl_change import cannot_make, not_destroyed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from scheduler.standin.store import State
    from scheduler.standin.xl_receive import Receiver

FAIL, INVAL = -3, -6
SOURCE = "<incoming migration stream>"
CREATE = "libxl: error: libxl_create.c"


class Refused(Exception):
    """The domain is not created; `code` is libxl's error."""

    def __init__(self, code: int) -> None:
        self.code = code


class Restore:
    """Reads a stream from stdin into a paused `NAME--incoming`."""

    def __init__(self, receiver: Receiver) -> None:
        self.dom0, self.world, self.host = receiver.dom0, receiver.world, receiver.host
        self.monitored = receiver.monitored
        self.domid = -1

    def run(self) -> None:
        self._read_config()
        self._make_domain()
        self._read_image_header()
        self._read_memory()
        self._attach_devices()
        self._finish()

    def _read_config(self) -> None:
        head = stream.read_exactly(0, stream.HEADER_LENGTH)
        if head is None:
            self._truncated("header", 712)
        if head[:32] != stream.MAGIC:
            complain("File has wrong magic number - corrupt or for a different tool?\n")
            raise Refused(INVAL)
        flags, length = stream.number(head, 36), stream.number(head, 44)
        info = f"new xl fmt info 0x{flags:x}/0x0/{length}"
        complain(f"Loading new save file {SOURCE} ({info})\n")
        if faults.take(self.world, faults.HOST, self.host, "needs-newer-xl") is not None:
            complain("Savefile has mandatory flag(s) 0x4 which are not supported; need newer xl\n")
            raise Refused(INVAL)
        data = stream.read_exactly(0, length)
        if data is None:
            self._truncated("optdata", 745)
        complain(" Savefile contains xl domain config in JSON format\n")
        complain("Parsing config from <saved>\n")
        self.config: dict[str, Any] = loads(data[4:].rstrip(b"\0").decode())
        self.name: str = self.config["c_info"]["name"]
        self.wanted_domid = self.config["c_info"].pop("domid", None)

    def _truncated(self, what: str, line: int) -> NoReturn:
        complain(
            f"{stream.READ_EXACTLY} file/stream truncated reading {what} from {SOURCE}\n"
            f"xl: fatal error: xl_vmcontrol.c:{line}: Protocol error: libxl_read_exactly("
            f' ctx, restore_fd, &hdr, sizeof(hdr), restore_source, "{what}")\n'
        )
        os._exit(1)

    def _make_domain(self) -> None:
        """What libxl checks before a byte of memory is taken; then the empty domain."""
        self.incoming = f"{self.name}--incoming"
        with self.dom0.change() as change:
            refusal = self._early_refusal(change.state)
            if refusal:
                complain(refusal)
                raise Refused(INVAL if "pool" in refusal else FAIL)
            wanted = self.wanted_domid
            domain = lifecycle.new_domain(
                change.state, self.config, self.incoming, change.now, wanted
            )
            domain["online"] = 0
            params = domain["config"]["b_info"].get("sched_params", {})
            params["sched"] = lifecycle.pool_of(change.state, domain).get("sched", "credit2")
            domain["monitored"] = self.monitored
            self.domid = domain["domid"]
            facts = {"domid": self.domid, "uuid": domain["uuid"], "name": self.incoming}
            change.note("incoming", **facts)

    def _early_refusal(self, state: State) -> str | None:
        domid = state["next_domid"]
        injected = faults.take(self.world, faults.GUEST, self.name, "refuse")
        if injected is not None:
            return f"{CREATE}:687:libxl__domain_make: {injected or 'domain creation fail'}\n"
        if lifecycle.by_name(state, self.incoming):
            return cannot_make(domid, self.incoming)
        pool = self.config["c_info"].get("pool_name")
        if pool and all(p["name"] != pool for p in state["cpupools"]):
            where = f"{CREATE}:52:libxl__domain_create_info_setdefault"
            return f"{where}: Illegal pool specified: {pool}\n"
        if self.wanted_domid is not None and lifecycle.by_domid(state, self.wanted_domid):
            return f"{CREATE}:655:libxl__domain_make: domain id recently used\n"
        return self._missing_disk(state)

    def _missing_disk(self, state: State) -> str | None:
        for disk in self.config.get("disks", []):
            path = disk["pdev_path"]
            if not sees(state, path) and not disk.get("script"):
                return (
                    "libxl: error: libxl_device.c:327:disk_try_backend: Disk"
                    f" vdev={disk['vdev']} failed to stat: {path}: No such file or directory\n"
                )
        return None

    def _read_image_header(self) -> None:
        got = stream.read_record(0)
        if got is None:
            complain(
                "xc: error: Failed to read Image Header from stream (0 = Success): Internal error\n"
            )
            self._give_up("Success")
        facts = loads(got[2].decode())
        complain(f"xc: info: Found x86 {facts['kind']} domain from Xen {facts['xen']}\n")
        complain("xc: info: Restoring domain\n")
        self.carried: dict[str, Any] = facts["carried"]
        with self.dom0.change() as change:
            domain = lifecycle.by_domid(change.state, self.domid)
            if domain is not None:
                for key in ("overhead_kib", "cpu_rate", "cpu_needs", "activity", "xs"):
                    domain[key] = self.carried[key]
                # What dom0 wrote stays behind; what a guest's drivers write, they write again.
                domain["xs"] = {
                    path: value
                    for path, value in domain["xs"].items()
                    if not path.startswith("data/xenroll")
                }

    def _read_memory(self) -> None:
        """Until the last record: memory is taken as it arrives, without any claim beforehand."""
        while True:
            got = stream.read_record(0)
            if got is None:
                complain(
                    "xc: error: Failed to read Record Header from stream (0 = Success):"
                    " Internal error\n"
                )
                self._restore_failed("0 = Success")
            kind, memory_kib, _ = got
            if kind == stream.PAGES:
                self._populate(memory_kib)
                self._hold("restoring")
                if self._struck("dest-dies-precopy"):
                    self._power_off()
            elif kind == stream.END:
                self._load_processor_state()
                return

    def _populate(self, memory_kib: int) -> None:
        with self.dom0.change() as change:
            domain = lifecycle.by_domid(change.state, self.domid)
            enough = lifecycle.free_kib(change.state) >= memory_kib
            if domain is not None and enough:
                domain["mem_kib"] += memory_kib
        if domain is None:
            self._restore_failed("3 = No such process")
        if not enough or self._struck("restore-nomem"):
            reason = "16 = Device or resource busy"
            complain(f"xc: error: Failed to populate physmap ({reason}): Internal error\n")
            complain("xc: error: Failed to populate pfns for batch of 1024 pages: Internal error\n")
            self._restore_failed(reason)

    def _load_processor_state(self) -> None:
        """Registers and CPU policy: kept as they come, loaded once the whole stream is there."""
        offered = self.dom0.first["cpu_tags"]
        poorer = [tag for tag in self.carried["cpu_needs"] or [] if tag not in offered]
        if poorer or self._struck("restore-hvm"):
            with self.dom0.change() as change:
                change.state["dmesg"] += [
                    f"HVM{self.domid} restore: CPU 0",
                    f"HVM{self.domid} restore: bad CR4 0x5506b0",
                    f"HVM{self.domid} restore: failed to load entry 2/0 rc -22",
                ]
            reason = "22 = Invalid argument"
            complain(f"xc: error: Unable to restore HVM context ({reason}): Internal error\n")
            self._restore_failed(reason)
        if self._struck("restore-cpuid"):
            complain(
                "xc: error: Failed to set CPUID policy: leaf 00000007, subleaf 00000000,"
                " msr ffffffff (22 = Invalid argument): Internal error\n"
            )
            self._restore_failed("22 = Invalid argument")

    def _restore_failed(self, reason: str) -> NoReturn:
        complain(f"xc: error: Restore failed ({reason}): Internal error\n")
        self._give_up(reason.partition(" = ")[2])

    def _give_up(self, error: str) -> NoReturn:
        complain(
            "libxl: error: libxl_stream_read.c:850:libxl__xc_domain_restore_done: restoring"
            f" domain: {error}\n"
            f"{CREATE}:1640:domcreate_rebuild_done: Domain {self.domid}:cannot (re-)build"
            " domain: -3\n"
        )
        self._destroy()

    def _destroy(self) -> NoReturn:
        with self.dom0.change() as change:
            domain = lifecycle.by_domid(change.state, self.domid)
            if domain is not None:
                lifecycle.remove(change.state, domain, "not restored", change.note)
        complain(not_destroyed(self.domid))
        raise Refused(FAIL)

    def _attach_devices(self) -> None:
        """Only now, with the guest stopped, do scripts and QEMU have their say."""
        complain("xc: info: Restore successful\n")
        complain("xc: info: XenStore: mfn 0xfeffc, dom 0, evt 1\n")
        complain("xc: info: Console: mfn 0xfefff, dom 0, evt 2\n")
        self.world.sleep(self.world.settings["move_setup_s"] * 0.1)
        at = f"Domain {self.domid}:"
        if self._struck("restore-disk"):
            complain(
                "libxl: error: libxl_device.c:1330:device_hotplug_child_death_cb: script:"
                " /etc/xen/scripts/block failed; error detected\n"
                f"{CREATE}:1672:domcreate_launch_dm: {at}unable to add disk devices\n"
            )
            self._destroy()
        if self._struck("restore-qemu"):
            complain(
                "libxl: error: libxl_dm.c:2857:device_model_spawn_outcome: "
                f"{at}domain {self.domid} device model: spawn failed (rc=-3)\n"
                f"{CREATE}:1751:domcreate_devmodel_started: {at}device model did not start: -3\n"
            )
            self._destroy()
        self._check_bridges(at)

    def _check_bridges(self, at: str) -> None:
        bridges = self.dom0.state()["bridges"]
        missing = [n["bridge"] for n in self.config.get("nics", []) if n["bridge"] not in bridges]
        if missing or self._struck("restore-nic"):
            bridge = missing[0] if missing else "xenbr0"
            complain(
                "libxl: error: libxl_device.c:1330:device_hotplug_child_death_cb: script: Could"
                f" not find bridge device {bridge}\n"
                f"{CREATE}:1921:domcreate_attach_devices: {at}unable to add vif devices\n"
            )
            self._destroy()

    def _finish(self) -> None:
        with self.dom0.change() as change:
            domain = lifecycle.by_domid(change.state, self.domid)
            if domain is not None:
                b_info = self.config["b_info"]
                domain["online"] = len(b_info.get("avail_vcpus", [])) or b_info["max_vcpus"]
        self._leave_monitor()

    def _leave_monitor(self) -> None:
        if self._struck("monitor-fails"):
            # This path of xl forgets to destroy what it has restored.
            log = f"/var/log/xen/xl-{self.incoming}.log"
            complain(f"failed to open logfile {log}: No space left on device\n")
            child = "domain monitoring daemonizing child"
            complain(
                "libxl: error: libxl_exec.c:117:libxl_report_child_exitstatus:"
                f" {child} [{os.getpid() + 1}] exited with error status 255\n"
            )
            raise Refused(FAIL)
        killed = self._struck("monitor-killed")
        with self.dom0.change() as change:
            domain = lifecycle.by_domid(change.state, self.domid)
            if domain is not None and domain["monitored"]:
                monitors.begin(change.state, domain)
        if killed:
            with self.dom0.change() as change:
                domain = lifecycle.by_domid(change.state, self.domid)
                if domain is not None:
                    domain["monitored"] = False
        self._hold("restored")

    def _struck(self, fault: str) -> bool:
        return faults.take(self.world, faults.GUEST, self.name, fault) is not None

    def _hold(self, point: str) -> None:
        faults.hold(self.world, self.name, point, self.host, self.dom0.generation)

    def _power_off(self) -> NoReturn:
        from scheduler.standin.boot import power_off

        power_off(self.world, self.host)
        os._exit(1)
