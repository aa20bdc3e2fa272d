"""The lab as a whole: what the command line and the tests do with it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.lab import machine, preflight, qemu
from deploy.lab.errors import LabError
from deploy.lab.images import Images, images, saved
from deploy.lab.layout import REDIS_PORT, Host, Layout
from deploy.lab.remote import Remote, disconnect, remote
from deploy.lab.tools import Say

DEFAULT_SIZE = qemu.Size()


@dataclass(frozen=True, slots=True)
class Lab:
    """A lab whose images are there; hosts may be on or off."""

    layout: Layout
    images: Images
    say: Say
    size: qemu.Size = DEFAULT_SIZE

    def remote(self, name: str) -> Remote:
        return remote(self.layout.host(name), self.images)

    def switch_on(self, name: str) -> None:
        """Starts a host that is off, on the disk it had; returns when it is ready."""
        host = self.layout.host(name)
        if machine.is_on(host):
            raise LabError(f"{name} is on already")
        disconnect(host)
        machine.switch_on(self.layout, host, self.images, self.size)
        machine.wait_ready([host], self.say)

    def switch_off(self, name: str) -> None:
        """Pulls the plug of a host."""
        if not machine.switch_off(self.layout.host(name)):
            raise LabError(f"{name} is off already")

    def reset(self, name: str) -> None:
        """The reset button: nothing in the host is told; returns when it is ready again."""
        host = self._on(name)
        before = machine.boots(host)
        disconnect(host)
        qemu.order(host.qmp_socket, "system_reset")
        machine.wait_ready([host], self.say, boots_wanted=before + 1)

    def reboot(self, name: str) -> None:
        """`reboot` in dom0; returns when the host is ready again."""
        host = self._on(name)
        before = machine.boots(host)
        self.remote(name).check("reboot")
        disconnect(host)
        machine.wait_ready([host], self.say, boots_wanted=before + 1)

    def stay_off_at_reboot(self, name: str) -> None:
        """The next reboot of this host switches it off instead: a host that does not come back."""
        qemu.order(self._on(name).qmp_socket, "set-action", reboot="shutdown")

    def install_xen(self, name: str, xen: Path) -> None:
        """What an upgrade of the hypervisor's package does: the next boot brings this one.

        QEMU loads a hypervisor once, so the host's next reboot switches it off; a `Power` that
        watches switches it on again.
        """
        machine.install_xen(self.layout.host(name), xen)
        self.stay_off_at_reboot(name)

    def freeze(self, name: str, *, frozen: bool) -> None:
        """Stops (or resumes) a whole host at once, as if time stood still in it."""
        qemu.order(self._on(name).qmp_socket, "stop" if frozen else "cont")

    def cut(self, name: str) -> None:
        """The host loses the wire and Redis, silently; ssh from outside stays."""
        machine.order_hub(self.layout, do="cut", host=self.layout.host(name).number)

    def heal(self, name: str) -> None:
        machine.order_hub(self.layout, do="heal", host=self.layout.host(name).number)

    def delay(self, name: str, ms: int) -> None:
        """Every frame to and from the host takes so much longer."""
        machine.order_hub(self.layout, do="delay", host=self.layout.host(name).number, ms=ms)

    def down(self) -> list[str]:
        """Ends everything this lab started."""
        return machine.stop_all(self.layout)

    def _on(self, name: str) -> Host:
        host = self.layout.host(name)
        if not machine.is_on(host):
            raise LabError(f"{name} is off; `lab on {name}` starts it")
        return host


def up(
    layout: Layout,
    hosts: Sequence[Host],
    say: Say,
    size: qemu.Size = DEFAULT_SIZE,
    redis_port: int = REDIS_PORT,
    xen: Path | None = None,
) -> Lab:
    """Builds what is missing, then starts these hosts on fresh disks; all or nothing.

    `xen` is another hypervisor than Debian's; `redis_port` is of 127.0.0.1, for hosts to reach.
    """
    started = time.monotonic()
    off = [host for host in hosts if not machine.is_on(host)]
    preflight.check(layout, off, size)
    made = images(layout, say)
    if xen is not None:
        made = replace(made, xen=xen)
    layout.run.mkdir(parents=True, exist_ok=True)
    lab = Lab(layout, made, say, size)
    try:
        _start(lab, off, redis_port)
    except BaseException:
        lab.down()
        raise
    made.save(layout.images_file)
    say(f"the lab is up after {time.monotonic() - started:.0f} s")
    return lab


def _start(lab: Lab, hosts: Sequence[Host], redis_port: int) -> None:
    hub_is_on = machine.hub_is_on(lab.layout)
    preflight.check_ports(lab.layout, hosts, with_hub=not hub_is_on)
    machine.start_hub(lab.layout, redis_port)
    machine.fresh_disks(lab.layout, hosts, lab.images)
    if hosts:
        lab.say(f"booting {', '.join(host.name for host in hosts)} ...")
    for host in hosts:
        machine.switch_on(lab.layout, host, lab.images, lab.size)
    machine.wait_ready(hosts, lab.say)


def opened(layout: Layout, say: Say) -> Lab:
    """The lab that was started earlier."""
    return Lab(layout, saved(layout.images_file), say)
