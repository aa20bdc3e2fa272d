"""`xl`: global options, the table of commands, and faults that strike the whole program."""

from __future__ import annotations

import sys

from scheduler.standin import faults
from scheduler.standin.dom0 import Dom0, Exit, complain, parse_options, run, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

# command -> (module, function, option letters, long options, arguments it needs at least)
COMMANDS: dict[str, tuple[str, str, str, dict[str, str], int]] = {
    "info": ("xl_info", "info", "n", {"numa": "n"}, 0),
    "list": (
        "xl_list",
        "list_",
        "lvhZcn",
        {"long": "l", "verbose": "v", "context": "Z", "cpupool": "c", "numa": "n"},
        0,
    ),
    "vm-list": ("xl_list", "vm_list", "", {}, 0),
    "domid": ("xl_list", "domid", "", {}, 1),
    "domname": ("xl_list", "domname", "", {}, 1),
    "vcpu-list": ("xl_cpu", "vcpu_list", "", {}, 0),
    "vcpu-pin": ("xl_cpu", "vcpu_pin", "f", {"force": "f"}, 3),
    "vcpu-set": ("xl_cpu", "vcpu_set", "i", {"ignore-host": "i"}, 2),
    "uptime": ("xl_list", "uptime", "s", {}, 0),
    "cpupool-list": ("xl_sched", "cpupool_list", "c", {"cpus": "c"}, 0),
    "cpupool-create": ("xl_sched", "cpupool_create", "f:n", {"defconfig": "f"}, 0),
    "cpupool-cpu-remove": ("xl_sched", "cpupool_cpu_remove", "", {}, 2),
    "cpupool-migrate": ("xl_sched", "cpupool_migrate", "", {}, 2),
    "sched-credit": (
        "xl_sched",
        "sched_credit",
        "d:w:c:p:t:r:m:s",
        {"domain": "d", "weight": "w", "cap": "c", "cpupool": "p"},
        0,
    ),
    "sched-credit2": (
        "xl_sched",
        "sched_credit2",
        "d:w:c:p:r:s",
        {"domain": "d", "weight": "w", "cap": "c", "cpupool": "p"},
        0,
    ),
    "network-list": ("xl_devices", "network_list", "", {}, 1),
    "block-list": ("xl_devices", "block_list", "", {}, 1),
    "pci-list": ("xl_devices", "pci_list", "", {}, 1),
    "dmesg": ("xl_info", "dmesg", "c", {"clear": "c"}, 0),
    "rename": ("xl_change", "rename", "", {}, 2),
    "destroy": ("xl_change", "destroy", "f", {}, 1),
    "pause": ("xl_change", "pause", "", {}, 1),
    "unpause": ("xl_change", "unpause", "", {}, 1),
    "shutdown": ("xl_change", "shutdown", "awF", {"all": "a", "wait": "w"}, 0),
    "reboot": ("xl_change", "reboot", "awF", {"all": "a", "wait": "w"}, 0),
    "resume": ("xl_change", "resume", "", {}, 1),
    "create": (
        "xl_create",
        "create",
        "Fnqf:pcdeVAh",
        {"defconfig": "f", "quiet": "q", "dryrun": "n"},
        0,
    ),
    "migrate": ("xl_migrate", "migrate", "FC:s:epD", {"debug": "debug", "live": "live"}, 2),
    "migrate-receive": ("xl_receive", "migrate_receive", "Fedrp", {}, 0),
}
SINCE_4_20 = {"resume"}
# Faults that strike whichever command comes (or the one that the fault's text names).
WHOLE = ("xl-hang", "xl-garbage", "xl-fails", "xenstored-dead")
GARBAGE = '\x1b[2J\x00\x00Nam\xff\xfe {"domid": -1, [[\n0000 -- ?? \x07\n'
NO_HYPERVISOR = (
    "xc: error: Could not obtain handle on privileged command interface (2 = No such file or"
    " directory): Internal error\n"
    "libxl: error: libxl.c:102:libxl_ctx_alloc: cannot open libxc handle: No such file or"
    " directory\n"
    "cannot init xl context\n"
)

NO_XENSTORED = (
    "libxl: error: libxl.c:108:libxl_ctx_alloc: cannot connect to xenstore: No such file or"
    " directory\n"
    "cannot init xl context\n"
)
SAYS = {"xl-fails": NO_HYPERVISOR, "xenstored-dead": NO_XENSTORED}


def commands_of(dom0: Dom0) -> list[str]:
    """The commands that this host's xl knows."""
    old = dom0.first["xen"]["minor"] < 20 and dom0.first["xen"]["major"] <= 4
    return [c for c in COMMANDS if not (old and c in SINCE_4_20)]


def main(world_dir: str, host: str) -> NoReturn:
    run(lambda: _xl(Dom0(world_dir, host), sys.argv[1:]))


def _xl(dom0: Dom0, words: list[str]) -> int:
    words = _skip_global_options(words)
    if not words:
        from scheduler.standin.xl_help import print_help

        print_help(None, commands_of(dom0))
        return 1
    command = _lookup(words[0], commands_of(dom0))
    if command is None:
        return _not_a_command(words, dom0)
    _strike(dom0, command)
    module, function, letters, long, required = COMMANDS[command]
    options, rest = parse_options(command, words[1:], letters, long, required)
    __import__(f"scheduler.standin.{module}")
    code: int = getattr(sys.modules[f"scheduler.standin.{module}"], function)(dom0, options, rest)
    return code


def _skip_global_options(words: list[str]) -> list[str]:
    while words and words[0].startswith("-") and len(words[0]) > 1:
        if set(words[0][1:]) - set("vftTN"):
            bad = next(c for c in words[0][1:] if c not in "vftTN")
            complain(f"xl: invalid option -- '{bad}'\nunknown global option\n")
            raise Exit(1)
        words = words[1:]
    return words


def _lookup(word: str, commands: list[str]) -> str | None:
    """xl takes a command's name or its unambiguous beginning."""
    if word in commands:
        return word
    found = [c for c in commands if c.startswith(word)]
    return found[0] if len(found) == 1 else None


def _not_a_command(words: list[str], dom0: Dom0) -> int:
    if words[0] == "help":
        from scheduler.standin.xl_help import print_help

        print_help(words[1] if len(words) > 1 else None, commands_of(dom0))
        return 0
    complain("command not implemented\n")
    return 1


def _strike(dom0: Dom0, command: str) -> None:
    """Whole-program faults; a fault whose text names another command leaves this one alone."""
    for fault in WHOLE:
        text = faults.armed(dom0.world, faults.HOST, dom0.host, fault)
        if text is None or text not in ("", command):
            continue
        if fault == "xl-hang":
            _hang(dom0)
        if faults.take(dom0.world, faults.HOST, dom0.host, fault) is None:
            continue
        if fault == "xl-garbage":
            say(GARBAGE)
            raise Exit(0)
        if fault in SAYS:
            complain(SAYS[fault])
            raise Exit(1)


def _hang(dom0: Dom0) -> None:
    """Until killed, or until the fault is cleared."""
    import os
    import time

    faults.take(dom0.world, faults.HOST, dom0.host, "xl-hang")
    mark = faults.mark_hanging(dom0.world, dom0.host)
    dom0.register()
    while dom0.state() and os.path.exists(mark):
        time.sleep(0.05)
    raise Exit(1)
