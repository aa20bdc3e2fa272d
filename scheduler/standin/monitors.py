"""xl's monitors: the process that waits for each guest's end, as its log and `/proc` show it.

Nothing runs in the background here either: what a monitor would do is done when it is due
(`lifecycle`), and what it would leave to be seen is written whenever the host's state changes. Its
lines are those of `xl_vmcontrol.c`. A monitor is a record in the host's state; `pid` is a folder
in the `/proc` of the host's own root.
"""

from __future__ import annotations

import os

from scheduler.standin.store import replace_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from scheduler.standin.store import Domain, State

    Record = dict[str, Any]

POWEROFF, REBOOT, SUSPEND, CRASH = 0, 1, 2, 3
FIRST_PID = 20_000
LOGS = "var/log/xen"
EXITS = "Done. Exiting now"


def action_for(domain: Domain, reason: int) -> str:
    """What its configuration wants done when it has ended so."""
    key = {POWEROFF: "on_poweroff", REBOOT: "on_reboot", CRASH: "on_crash"}[reason]
    return str(domain["config"].get(key, "destroy"))


def begin(state: State, domain: Domain) -> None:
    """xl leaves a monitor behind; its log keeps the name that the guest has now."""
    domid, pid = domain["domid"], FIRST_PID + domain["domid"]
    record = {"pid": pid, "domid": domid, "log": f"xl-{domain['name']}.log", "lives": True}
    waits = _waits(domain["name"], domid, pid)
    _records(state).append({**record, "lines": [waits], "shown": None})


def shut_down(state: State, domain: Domain, reason: int) -> None:
    """Its guest has ended. A suspended one counts as ended: nobody watches it if it is resumed."""
    record = _of(state, domain)
    if record is None:
        return
    domid = domain["domid"]
    record["lines"].append(f"Domain {domid} has shut down, reason code {reason} 0x{reason:x}")
    if reason == SUSPEND:
        record["lines"] += ["Domain has suspended.", EXITS]
        _exit(record, domain)
        return
    action = action_for(domain, reason)
    record["lines"].append(f"Action for shutdown reason code {reason} is {action}")
    if action == "preserve":
        record["lines"].append(EXITS)
        _exit(record, domain)
    else:
        text = f"Domain {domid} needs to be cleaned up: destroying the domain"
        record["lines"].append(text)
        record["restarts"] = action == "restart"


def rebuilt(state: State, domain: Domain, old_domid: int) -> None:
    """The monitor of a guest that it has made anew goes on with the new domain."""
    for record in _records(state):
        if record["lives"] and record["domid"] == old_domid:
            waits = _waits(domain["name"], domain["domid"], record["pid"])
            record["lines"] += ["Done. Rebooting now", waits]
            record.update(domid=domain["domid"], restarts=False)


def show(root: str, state: State, now: float) -> None:
    """Bring logs and `/proc` in line with the state, which is to be written after this."""
    domains = {d["domid"]: d for d in state["domains"] if d["domid"]}
    for domain in domains.values():
        plain = "--" not in domain["name"] and domain["shutdown"] is None
        if domain["monitored"] and plain and _of(state, domain) is None:
            begin(state, domain)
    for record in _records(state):
        _look_after(record, domains.get(record["domid"]), state["power"] == "on")
        _show(root, record, now)
    state["monitors"] = [record for record in _records(state) if record["lives"]]


def _look_after(record: Record, domain: Domain | None, power: bool) -> None:
    if not power or (domain is not None and not domain["monitored"]):
        record["lives"] = False  # the power is gone, or somebody has killed it
    elif domain is None and record["lives"] and not record.get("restarts"):
        if not record["lines"][-1].endswith("destroying the domain"):
            record["lines"].append(f"Domain {record['domid']} has been destroyed.")
        record["lines"].append(EXITS)
        record["lives"] = False


def _records(state: State) -> list[Record]:
    found: list[Record] = state.setdefault("monitors", [])
    return found


def _of(state: State, domain: Domain) -> Record | None:
    own = (r for r in _records(state) if r["lives"] and r["domid"] == domain["domid"])
    return next(own, None)


def _exit(record: Record, domain: Domain) -> None:
    record["lives"] = domain["monitored"] = False


def _waits(name: str, domid: int, pid: int) -> str:
    return f"Waiting for domain {name} (domid {domid}) to die [pid {pid}]"


def _show(root: str, record: Record, now: float) -> None:
    shown = [len(record["lines"]), record["lives"]]
    if record["shown"] == shown:
        return
    log = f"{root}/{LOGS}/{record['log']}"
    replace_file(log, "".join(f"{line}\n" for line in record["lines"]))
    os.utime(log, (now, now))
    process = f"{root}/proc/{record['pid']}"
    if record["lives"]:
        _enter(process, log)
    else:
        _leave(process)
    record["shown"] = shown


def _enter(process: str, log: str) -> None:
    os.makedirs(f"{process}/fd", exist_ok=True)
    replace_file(f"{process}/cmdline", "xl\0migrate-receive\0" if "--" in log else "xl\0create\0")
    for descriptor, target in (("0", "/dev/null"), ("1", log), ("2", log)):
        if not os.path.islink(f"{process}/fd/{descriptor}"):
            os.symlink(target, f"{process}/fd/{descriptor}")


def _leave(process: str) -> None:
    for name in ("fd/0", "fd/1", "fd/2", "cmdline"):
        if os.path.lexists(f"{process}/{name}"):
            os.unlink(f"{process}/{name}")
    for folder in (f"{process}/fd", process):
        if os.path.isdir(folder):
            os.rmdir(folder)
