"""Guests of the lab: small, real Linux guests that count ticks where an observer can read them."""

import time
import uuid
from dataclasses import dataclass

from deploy.lab.errors import LabError
from deploy.lab.remote import Remote

KERNEL = "/srv/lab/vmlinux"
DEAF_KERNEL = "/srv/lab/vmlinux-deaf"
INITRAMFS = "/srv/lab/initramfs.gz"
GUEST_NAMESPACE = uuid.UUID("6f0a4c0e-5f4b-4d52-9b55-0d8a7a0e9f11")
CREATE_TIMEOUT_S = 300.0
# 10 s on a quiet machine; on a starved one the kernel alone took 66 s to boot.
BEAT_TIMEOUT_S = 400.0


@dataclass(frozen=True, slots=True)
class Guest:
    """One guest as it is created; `number` (1 to 250) makes its MAC address.

    `shared_disk` is 1, 2 or 3 (one of the disks all hosts have) or None. A `deaf` guest runs on
    when it is asked to suspend. `extra` are further lines of its xl configuration.
    """

    name: str
    number: int
    kind: str = "pvh"
    memory_mib: int = 32
    vcpus: int = 1
    shared_disk: int | None = None
    on_crash: str = "destroy"
    deaf: bool = False
    extra: tuple[str, ...] = ()

    @property
    def uuid(self) -> str:
        """The same for the same name, so that one guest is one guest in every record."""
        return str(uuid.uuid5(GUEST_NAMESPACE, self.name))


def config(guest: Guest) -> str:
    """The guest's xl configuration."""
    lines = [
        f'name="{guest.name}"',
        f'uuid="{guest.uuid}"',
        f'type="{guest.kind}"',
        f'kernel="{DEAF_KERNEL if guest.deaf else KERNEL}"',
        f'ramdisk="{INITRAMFS}"',
        'extra="console=hvc0 quiet panic=1"',
        f"memory={guest.memory_mib}",
        f"vcpus={guest.vcpus}",
        f'vif=["mac=00:16:3e:00:00:{guest.number:02x},bridge=xenbr0"]',
        f'on_crash="{guest.on_crash}"',
        *guest.extra,
    ]
    if guest.shared_disk is not None:
        letter = "abcdefgh"[guest.shared_disk]  # vda is the host's own disk
        lines.append(f'disk=["phy:/dev/vd{letter},xvda,w"]')
    return "".join(f"{line}\n" for line in lines)


def config_path(name: str) -> str:
    return f"/srv/guests/{name}.cfg"


def create(remote: Remote, guest: Guest) -> None:
    """Creates the guest on this host and returns when its first tick was seen."""
    path = config_path(guest.name)
    remote.check(f"cat > {path}", stdin=config(guest))
    remote.check(f"xl create {path}", timeout_s=CREATE_TIMEOUT_S)
    wait_for_beat(remote, guest.name)


def wait_for_beat(remote: Remote, name: str) -> str:
    """The guest's heartbeat, as soon as there is one: "BOOT_ID TICK DISK_WRITES DISK_ERRORS"."""
    deadline = time.monotonic() + BEAT_TIMEOUT_S
    while True:
        found = remote.run(f"xenstore-read /local/domain/$(xl domid {name})/data/beat")
        if found.code == 0 and found.out.strip():
            return found.out.strip()
        if time.monotonic() > deadline:
            state = remote.run("xl list").out
            console = remote.run(f"tail -n 12 /var/log/xen/console/guest-{name}.log").out
            raise LabError(f"guest {name} shows no tick on {remote.host.name}", state + console)
        time.sleep(0.5)


def order(remote: Remote, name: str, words: str) -> None:
    """Gives the guest an order: "crash", "dirty MIB" or "still" (see files/guest-init.c)."""
    remote.check(f"xenstore-write /local/domain/$(xl domid {name})/data/cmd '{words}'")
