"""Every fault that can be injected, and `inject` and `clear`.

The numbers are those of the rows of the project's table of failures of `xl migrate`.
"""

from __future__ import annotations

import os

from scheduler.standin import faults, lifecycle, san
from scheduler.standin.faults import GUEST, HOST
from scheduler.standin.store import Change, World, read_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# fault -> (whose it is, row, what it does)
FAULTS: dict[str, tuple[str, str, str]] = {
    "invalid-domain": (GUEST, "1", "xl migrate does not know the guest"),
    "config-unreadable": (GUEST, "2", "its configuration cannot be read (sick QEMU)"),
    "no-config": (GUEST, "4", "no configuration is stored"),
    "ssh-refused": (HOST, "5", "as destination: connection refused"),
    "ssh-unreachable": (HOST, "5", "as destination: no route to host"),
    "ssh-auth": (HOST, "5", "as destination: permission denied"),
    "ssh-hostkey": (HOST, "5", "as destination: host key verification failed"),
    "remote-xl-missing": (HOST, "5", "as destination: xl is not on ssh's PATH"),
    "chatter": (HOST, "6", "as destination: the login shell prints text (or `text`)"),
    "header-break": (HOST, "7", "as destination: hangs up after its banner"),
    "refuse": (GUEST, "8", "the destination refuses at once, with `text`"),
    "stale-incoming": (GUEST, "8", "host `text` has a stale NAME--incoming"),
    "needs-newer-xl": (HOST, "8", "as destination: its xl is too old for the stream"),
    "storage-missing": (HOST, "8", "sees no disk any more"),
    "disk-missing": (HOST, "8", "does not see disk `text` any more"),
    "disk-size": (HOST, "-", "sees disk `text` with another size"),
    "disk-unreadable": (HOST, "-", "gets an error where it reads disk `text`"),
    "vnuma": (GUEST, "9", "has vNUMA configured"),
    "logdirty-nomem": (GUEST, "10", "no memory for log-dirty at the source"),
    "qemu-logdirty": (GUEST, "11", "QEMU does not switch log-dirty on"),
    "p2m-changed": (GUEST, "12", "a PV guest changes its p2m while copied"),
    "dest-dies-precopy": (GUEST, "13", "the destination loses its power while memory is copied"),
    "stream-write-fails": (GUEST, "13", "the copy cannot be written any more"),
    "net-cut": (HOST, "13", "packets to and from it vanish until cleared"),
    "ignores-suspend": (GUEST, "14", "does not acknowledge the suspend request"),
    "late-suspend": (GUEST, "15", "acknowledges, and suspends 20 s after xl has given up"),
    "crashes-in-migration": (GUEST, "16", "crashes when asked to suspend"),
    "reboots-in-migration": (GUEST, "16", "reboots when asked to suspend"),
    "shuts-down-in-migration": (GUEST, "16", "powers off when asked to suspend"),
    "qemu-save-fails": (GUEST, "17", "QEMU's state cannot be saved"),
    "break-after-suspend": (GUEST, "18", "the connection breaks when it is suspended"),
    "stranded-suspend": (GUEST, "18", "as before, and nobody resumes it (event channel guests)"),
    "restore-nomem": (GUEST, "19", "no memory at the destination"),
    "restore-hvm": (GUEST, "19", "the destination cannot load its registers"),
    "restore-cpuid": (GUEST, "19", "the destination cannot offer its CPU policy"),
    "restore-disk": (GUEST, "19", "the block script fails at the destination"),
    "restore-nic": (GUEST, "19", "the vif script fails at the destination"),
    "restore-qemu": (GUEST, "19", "QEMU does not start at the destination"),
    "bridge-missing": (HOST, "19", "has lost its bridges"),
    "monitor-fails": (GUEST, "20", "the destination's monitor cannot start"),
    "monitor-killed": (GUEST, "-", "it arrives, and its monitor is killed at once"),
    "ready-unwritable": (GUEST, "21", "the destination cannot say that it is ready"),
    "stale-migratedaway": (GUEST, "22", "its host has a stale NAME--migratedaway"),
    "cut-before-go": (GUEST, "23", "the connection breaks just before permission is sent"),
    "cut-after-go": (GUEST, "23", "the connection breaks when the destination runs it"),
    "dest-dies-after-transfer": (GUEST, "23", "the destination loses its power when it is ready"),
    "name-clash": (GUEST, "24", "host `text` has another domain of its name"),
    "unpause-fails": (GUEST, "24", "the destination cannot unpause it"),
    "destroy-fails-dest": (GUEST, "25", "after row 24: the destination cannot destroy its copy"),
    "zombie-source": (GUEST, "26", "its source copy cannot be destroyed and stays, dying"),
    "crashes-on-resume": (GUEST, "-", "crashes when it wakes, at either end"),
    "crash": (GUEST, "-", "crashes now"),
    "ignores-shutdown": (GUEST, "-", "does not obey xl shutdown or reboot"),
    "xl-hang": (HOST, "-", "xl (or its command `text`) hangs until killed or cleared"),
    "xl-garbage": (HOST, "-", "xl (or its command `text`) prints garbage and exits 0"),
    "xl-fails": (HOST, "-", "xl (or its command `text`) does not reach the hypervisor"),
    "xl-missing": (HOST, "-", "there is no program xl until cleared"),
    "power-off": (HOST, "-", "loses its power now"),
    "no-return": (HOST, "-", "does not come back from its next reboot"),
    "wrong-build": (HOST, "-", "comes back from its next reboot with the old build"),
    "boots-without-bridge": (HOST, "-", "its next boot brings no bridge up, until cleared"),
    "boots-without-storage": (HOST, "-", "its next boot sees no disk, until cleared"),
    "boots-without-xenstored": (HOST, "-", "no xenstored after its next boot, until cleared"),
    "boots-with-old-microcode": (HOST, "-", "its next boot loads no microcode"),
    "xenstored-dead": (HOST, "-", "xenstored does not answer: every xl command fails"),
    "livepatch-busy": (HOST, "-", "xen-livepatch: try again (exit 2)"),
    "livepatch-fails": (HOST, "-", "xen-livepatch: the action fails (exit 1)"),
}
AT_THE_SOURCE = ["precopy", "suspended", "renamed", "go-sent", "reported"]
AT_THE_DESTINATION = ["restoring", "restored", "acknowledged", "got-go", "named", "unpaused"]
HOLD_POINTS = AT_THE_SOURCE + AT_THE_DESTINATION
for _point in HOLD_POINTS:
    FAULTS[f"hold-{_point}"] = (GUEST, "-", f"a migration waits at `{_point}` until cleared")
# What stays until it is cleared, whatever `count` says.
LASTING = {"net-cut", "xenstored-dead", *(f"hold-{point}" for point in HOLD_POINTS)}


def inject(world: World, name: str, fault: str, count: int | None = 1, text: str = "") -> None:
    """Arm a fault for a host or guest, for the next `count` times (None: every time).

    Some take effect at once (`crash`, `power-off`, the stale and missing things).
    Raises ValueError, naming what is wrong, on an unknown fault, host or guest.
    """
    if fault not in FAULTS:
        raise ValueError(f"unknown fault {fault!r}; known: {', '.join(sorted(FAULTS))}")
    scope = FAULTS[fault][0]
    if scope == HOST and name not in world.hosts():
        raise ValueError(f"fault {fault} strikes a host; there is no host {name!r}")
    if scope == GUEST and host_of(world, name) is None:
        raise ValueError(f"fault {fault} strikes a guest; there is no guest {name!r}")
    at_once = _AT_ONCE.get(fault)
    if at_once is not None:
        at_once(world, name, text)
    else:
        faults.put(world, scope, name, fault, None if fault in LASTING else count, text)


def clear(world: World, name: str, fault: str | None = None) -> None:
    """Disarm one fault of a host or guest (of both, if they share the name), or all of them."""
    for scope in (HOST, GUEST):
        faults.clear(world, scope, name, fault)
    if name in world.hosts():
        _repair(world, name)
    hidden = f"{world.host_dir(name)}/bin/.xl-hidden"
    if fault in (None, "xl-missing") and os.path.exists(hidden):
        os.rename(hidden, f"{world.host_dir(name)}/bin/xl")


def _repair(world: World, host: str) -> None:
    """Bring back what a boot lost."""
    from scheduler.standin.boot_faults import mend
    from scheduler.standin.root import write_root

    with Change(world, host) as change:
        mend(world, host, change.state)
        state = change.state
    write_root(world, host, state)


def host_of(world: World, guest: str) -> str | None:
    """A host that has a domain of this name."""
    for host in world.hosts():
        if lifecycle.by_name(read_state(world, host), guest):
            return host
    return None


def _hide_xl(world: World, host: str, text: str) -> None:
    folder = f"{world.host_dir(host)}/bin"
    os.rename(f"{folder}/xl", f"{folder}/.xl-hidden")


def _power_off(world: World, host: str, text: str) -> None:
    from scheduler.standin.boot import power_off

    power_off(world, host)


def _crash(world: World, guest: str, text: str) -> None:
    with Change(world, host_of(world, guest) or "") as change:
        domain = lifecycle.by_name(change.state, guest)
        if domain is not None:
            lifecycle.shut_down(change.state, domain, lifecycle.CRASH, change.now, change.note)


def _vnuma(world: World, guest: str, text: str) -> None:
    with Change(world, host_of(world, guest) or "") as change:
        domain = lifecycle.by_name(change.state, guest)
        if domain is not None:
            b_info = domain["config"]["b_info"]
            b_info["vnuma_nodes"] = [{"memkb": b_info["max_memkb"], "distances": [10]}]


def _lose(key: str) -> Callable[[World, str, str], None]:
    def lose(world: World, host: str, text: str) -> None:
        with Change(world, host) as change:
            change.state[key] = []

    return lose


def _lose_storage(world: World, host: str, text: str) -> None:
    from scheduler.standin.boot_faults import lose_storage

    with Change(world, host) as change:
        lose_storage(world, host, change.state)


def _spoil(how: str) -> Callable[[World, str, str], None]:
    def spoil(world: World, host: str, text: str) -> None:
        san.spoil(world, host, text, how)

    return spoil


def _stale(suffix: str, same_uuid: bool) -> Callable[[World, str, str], None]:
    def place(world: World, guest: str, text: str) -> None:
        home = host_of(world, guest) or ""
        original = lifecycle.by_name(read_state(world, home), guest)
        with Change(world, text or home) as change:
            config = original["config"] if original else {}
            if not same_uuid:
                stranger = {**config["c_info"], "uuid": "0badc0de" + config["c_info"]["uuid"][8:]}
                config = {**config, "c_info": stranger}
            name = f"{guest}{suffix}"
            lifecycle.new_domain(change.state, config, name, change.now)["mem_kib"] = 4096

    return place


_AT_ONCE: dict[str, Callable[[World, str, str], None]] = {
    "crash": _crash,
    "power-off": _power_off,
    "xl-missing": _hide_xl,
    "vnuma": _vnuma,
    "storage-missing": _lose_storage,
    "disk-missing": _spoil("missing"),
    "disk-size": _spoil("size"),
    "disk-unreadable": _spoil("unreadable"),
    "bridge-missing": _lose("bridges"),
    "stale-incoming": _stale("--incoming", same_uuid=True),
    "stale-migratedaway": _stale("--migratedaway", same_uuid=True),
    "name-clash": _stale("", same_uuid=False),
}
