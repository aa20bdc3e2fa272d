"""Power and boots of a simulated host.

A reboot has two halves, because somebody has to play the time between: the stand-in `reboot` (or
`start_reboot`) takes the host down; a supervisor ends the host's other processes and, when the
simulated duration is over, calls `finish_reboot`.
"""

from __future__ import annotations

import os
import uuid as uuids

from scheduler.standin import faults, lifecycle
from scheduler.standin.boot_faults import strike
from scheduler.standin.dom0 import forget_process, start_ticks
from scheduler.standin.microjson import dumps, loads
from scheduler.standin.root import write_root
from scheduler.standin.store import Change, World, read_text, replace_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from scheduler.standin.store import Domain, State

SAVE_DIR, AUTO_DIR, UNIT_DIR = "var/lib/xen/save", "etc/xen/auto", "etc/systemd/system"


def power_off(world: World, host: str) -> None:
    """Take the power away: domains are gone, processes dead, the network silent.

    The stand-in's processes of this host are killed here; end your own (agents, workers) too.
    """
    with Change(world, host) as change:
        _drop_domains(change, "power")
        change.state["power"] = "off"
        change.state["generation"] += 1
        change.note("power_off")
    kill_processes(world, host)


def kill_processes(world: World, host: str) -> None:
    """SIGKILL what the stand-in runs on this host (`xl migrate`, receivers, ssh)."""
    run_dir = f"{world.host_dir(host)}/run"
    for name in filter(str.isdigit, os.listdir(run_dir)):  # no file that is being written
        _kill(int(name), f"{run_dir}/{name}")
        forget_process(world, host, int(name))


def _kill(pid: int, file: str) -> None:
    """SIGKILL, unless it has ended by itself: another process may have its pid by now."""
    try:
        if pid != os.getpid() and start_ticks(pid) == read_text(file):
            os.kill(pid, 9)
    except (FileNotFoundError, ProcessLookupError):
        return


def start_reboot(world: World, host: str) -> None:
    """What `systemctl reboot` does: xendomains saves every guest that is still here (unless it is
    masked or disabled: then the guests just lose their power), then the host goes down."""
    with Change(world, host) as change:
        if xendomains_acts(world, host, change.state):
            for domain in [d for d in change.state["domains"] if d["domid"]]:
                _save_image(world, host, domain)
                lifecycle.remove(change.state, domain, "saved", change.note)
        _drop_domains(change, "power")
        change.state["power"] = "rebooting"
        change.state["rebooting_since"] = change.now
        change.note("reboot")


def finish_reboot(world: World, host: str) -> bool:
    """The host is back: new boot id, no guests but those that xendomains starts, patches gone, the
    pending build installed.  False if it does not come back (`no-return`)."""
    if faults.take(world, faults.HOST, host, "no-return") is not None:
        power_off(world, host)
        return False
    wrong_build = faults.take(world, faults.HOST, host, "wrong-build") is not None
    kill_processes(world, host)
    with Change(world, host) as change:
        _boot(change.state, change.now, install=not wrong_build)
        strike(world, host, change.state)
        change.note("boot", boot_id=change.state["boot_id"])
        state = change.state
    write_root(world, host, state)
    if xendomains_acts(world, host, state):
        _xendomains_start(world, host)
    return True


def _boot(state: State, now: float, install: bool) -> None:
    from scheduler.standin.world import domain_0

    if install and state["xen_after_reboot"]:
        state["xen"], state["xen_after_reboot"] = state["xen_after_reboot"], None
    state.update(
        power="on",
        generation=state["generation"] + 1,
        boot_id=str(uuids.uuid4()),
        booted_at=now,
        domains=[domain_0(state["dom0_kib"], now)],
        events=[],
        livepatches=[],
        migrating={},
        dmesg=[],
        next_domid=1,
    )


def xendomains_acts(world: World, host: str, state: State) -> bool:
    """Unless it is disabled, or masked (by `systemctl` or by a link to /dev/null of one's own)."""
    link = f"{world.host_dir(host)}/root/{UNIT_DIR}/xendomains.service"
    masked = os.path.islink(link) and os.readlink(link) == "/dev/null"
    return state["units"].get("xendomains.service") == "enabled" and not masked


def _drop_domains(change: Change, why: str) -> None:
    for domain in [d for d in change.state["domains"] if d["domid"]]:
        lifecycle.remove(change.state, domain, why, change.note)
    change.state["domains"] = []
    change.state["events"] = []


def _save_image(world: World, host: str, domain: Domain) -> None:
    path = f"{world.host_dir(host)}/root/{SAVE_DIR}/{domain['name']}"
    replace_file(path, dumps(domain))


def _xendomains_start(world: World, host: str) -> None:
    """Restore every saved image, then start everything in AUTO that is not running *here*."""
    root = f"{world.host_dir(host)}/root"
    for image in sorted(os.listdir(f"{root}/{SAVE_DIR}")):
        path = f"{root}/{SAVE_DIR}/{image}"
        saved = loads(read_text(path))
        os.unlink(path)
        with Change(world, host) as change:
            _revive(change, saved["config"], saved["name"], saved)
    from scheduler.standin.xl_create import read_config

    for link in sorted(os.listdir(f"{root}/{AUTO_DIR}")):
        config = read_config(f"{root}/{AUTO_DIR}/{link}")
        name = config["c_info"]["name"]
        with Change(world, host) as change:
            if lifecycle.by_name(change.state, name) is None:
                memory = {"mem_kib": config["b_info"]["max_memkb"]}
                _revive(change, config, name, memory)


def _revive(change: Change, config: dict[str, object], name: str, kept: Domain) -> None:
    domain = lifecycle.new_domain(change.state, config, name, change.now)
    for key in ("mem_kib", "overhead_kib", "cpu_rate", "cpu_needs", "xs"):
        if key in kept:
            domain[key] = kept[key]
    change.note("created", domid=domain["domid"], uuid=domain["uuid"], name=name)
    lifecycle.unpause(domain, change.now)
