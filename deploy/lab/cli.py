"""`lab`: three real Xen hosts in QEMU."""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from deploy.lab import enroll, guests, machine
from deploy.lab.errors import LabError
from deploy.lab.images import images
from deploy.lab.lab import Lab, opened, up
from deploy.lab.layout import REDIS_PORT, Layout, layout_from
from deploy.lab.qemu import Size
from deploy.lab.xenbuild import xen_with_shadow_paging

Command = Callable[[Layout, argparse.Namespace], int]


def say(what: str) -> None:
    print(what, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; 0 when it did what was asked."""
    arguments = _parser().parse_args(argv)
    command: Command = arguments.command
    try:
        return command(layout_from(os.environ), arguments)
    except (LabError, OSError) as problem:
        print(f"lab: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, what: str, command: Command, *words: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=what, description=what)
        for word in words:
            one.add_argument(word)
        one.set_defaults(command=command)
        return one

    add("build", "build the images that are missing, start nothing", _build)
    _add_up(add)
    add("build-xen", "rebuild Debian's Xen with shadow paging, for PV guests", _build_xen)
    add("down", "end everything that the lab started", _down)
    add("status", "what is on, what is cut, how to reach it", _status)
    add("ssh", "run a command in a host's dom0", _ssh, "host").add_argument(
        "words", nargs=argparse.REMAINDER, metavar="CMD"
    )
    add("push", "copy files into a folder of a host's dom0", _push, "host").add_argument(
        "files", nargs="+", type=Path
    )
    _add_guest(add)
    add("enroll", "put the files of `xenroll host enroll` into a host", _enroll, "host", "folder")
    for name, what in PLUGS.items():
        add(name, what, _plug, "host").set_defaults(name=name)
    add("delay", "make each frame to and from a host take MS longer", _delay, "host", "ms")
    return parser


def _add_up(add: Callable[..., argparse.ArgumentParser]) -> None:
    size = Size()
    one = add("up", "build what is missing, then start hosts on fresh disks", _up)
    one.add_argument("hosts", nargs="*", metavar="HOST", help="which ones (default: all)")
    one.add_argument("--memory-mib", type=int, default=size.memory_mib, help="of each host")
    one.add_argument("--shadow-paging", action="store_true", help="boot the Xen of `lab build-xen`")
    one.add_argument("--dom0-mib", type=int, default=size.dom0_mib, help="of that, for dom0")
    one.add_argument(
        "--redis-port", type=int, default=REDIS_PORT, help="of 127.0.0.1, for the hosts to reach"
    )


def _add_guest(add: Callable[..., argparse.ArgumentParser]) -> None:
    one = add("guest", "create a guest on a host", _guest, "host", "name", "number")
    one.add_argument("--shared-disk", type=int, choices=(1, 2, 3), default=None)
    one.add_argument("--on-crash", default="destroy")
    one.add_argument("--memory-mib", type=int, default=guests.Guest("", 0).memory_mib)


PLUGS = {
    "on": "start a host that is off, on the disk it had",
    "off": "pull a host's plug",
    "reset": "press a host's reset button and wait until it is ready",
    "reboot": "reboot a host's dom0 and wait until it is ready",
    "cut": "take a host off the wire and off Redis, silently",
    "heal": "connect it again",
}


AT_ONCE = {"off": "is off", "cut": "is cut off", "heal": "is connected again"}
"""Said of those that end at once; the others say when the host is ready."""


def _build(layout: Layout, _arguments: argparse.Namespace) -> int:
    say(f"images are in {images(layout, say).disk.parent.parent}")
    return 0


def _build_xen(layout: Layout, _arguments: argparse.Namespace) -> int:
    say(f"the hypervisor is {xen_with_shadow_paging(layout, say) / 'xen'}")
    say("`lab up --shadow-paging` boots it")
    return 0


def _up(layout: Layout, arguments: argparse.Namespace) -> int:
    hosts = [layout.host(name) for name in arguments.hosts] or list(layout.hosts)
    size = Size(arguments.memory_mib, arguments.dom0_mib)
    xen = xen_with_shadow_paging(layout, say) / "xen" if arguments.shadow_paging else None
    lab = up(layout, hosts, say, size, arguments.redis_port, xen)
    _print_hosts(lab)
    return 0


def _down(layout: Layout, _arguments: argparse.Namespace) -> int:
    say(f"ended: {', '.join(machine.stop_all(layout)) or 'nothing was running'}")
    return 0


def _status(layout: Layout, _arguments: argparse.Namespace) -> int:
    if not machine.hub_is_on(layout):
        say("the lab is down")
        return 1
    _print_hosts(opened(layout, say))
    return 0


def _print_hosts(lab: Lab) -> None:
    hub = machine.order_hub(lab.layout, do="status")
    for host in lab.layout.hosts:
        port = hub["ports"][host.name]
        state = "on" if machine.is_on(host) else "off"
        wire = "cut" if port["cut"] else f"connected, {port['delay_ms']} ms delay"
        say(f"{host.name}: {state}, {wire}; dom0 {host.address}; console {host.console}")
        say(f"    ssh -i {lab.images.client_key} -p {host.ssh_port} root@127.0.0.1")
    say(f"Redis for the hosts: 127.0.0.1:{hub['redis_port']} here, 10.0.2.100:6379 there")


def _ssh(layout: Layout, arguments: argparse.Namespace) -> int:
    remote = opened(layout, say).remote(arguments.host)
    words = " ".join(arguments.words)
    return subprocess.run(remote.argv(words) if words else remote.argv("bash -il")).returncode


def _push(layout: Layout, arguments: argparse.Namespace) -> int:
    *files, folder = arguments.files
    if not files:
        raise LabError("push needs files and then the folder in dom0")
    opened(layout, say).remote(arguments.host).push(files, str(folder))
    return 0


def _enroll(layout: Layout, arguments: argparse.Namespace) -> int:
    enroll.enroll(opened(layout, say).remote(arguments.host), Path(arguments.folder))
    say(f"{arguments.host} has the files; its agent starts within seconds, and after each boot")
    return 0


def _guest(layout: Layout, arguments: argparse.Namespace) -> int:
    if not arguments.number.isdecimal() or not 1 <= int(arguments.number) <= 250:
        raise LabError(f"guest number {arguments.number!r}: expected 1 to 250")
    guest = guests.Guest(
        arguments.name,
        int(arguments.number),
        memory_mib=arguments.memory_mib,
        shared_disk=arguments.shared_disk,
        on_crash=arguments.on_crash,
    )
    lab = opened(layout, say)
    say(f"creating {guest.name} on {arguments.host} ...")
    guests.create(lab.remote(arguments.host), guest)
    say(f"{guest.name} runs on {arguments.host}")
    return 0


def _plug(layout: Layout, arguments: argparse.Namespace) -> int:
    lab = opened(layout, say)
    actions: dict[str, Callable[[str], None]] = {
        "on": lab.switch_on,
        "off": lab.switch_off,
        "reset": lab.reset,
        "reboot": lab.reboot,
        "cut": lab.cut,
        "heal": lab.heal,
    }
    actions[arguments.name](arguments.host)
    if arguments.name in AT_ONCE:
        say(f"{arguments.host} {AT_ONCE[arguments.name]}")
    return 0


def _delay(layout: Layout, arguments: argparse.Namespace) -> int:
    if not arguments.ms.isdecimal():
        raise LabError(f"delay {arguments.ms!r}: expected milliseconds")
    opened(layout, say).delay(arguments.host, int(arguments.ms))
    return 0
