"""`xl rename`, `destroy`, `pause`, `unpause`, `resume`, `shutdown`, `reboot`."""

from __future__ import annotations

from scheduler.standin import faults, lifecycle
from scheduler.standin.dom0 import Dom0, complain, find_domain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from scheduler.standin.store import Domain

SHUTDOWN_DOMAIN_0 = (
    "Not destroying domain 0; use -f to force.\n"
    "This can only be done when using a disaggregated hardware domain and toolstack.\n\n"
)


def name_taken(source: str, domid: int, name: str) -> str:
    """libxl's refusal of a name that another domain of this host has."""
    return f'libxl: error: {source}: Domain {domid}:Domain with name "{name}" already exists.\n'


def not_destroyed(domid: int) -> str:
    """What libxl says where it cleans up after a domain that never came to be."""
    at = f"Domain {domid}:"
    return (
        f"libxl: error: libxl_domain.c:1183:libxl__destroy_domid: {at}Non-existant domain\n"
        f"libxl: error: libxl_domain.c:1137:domain_destroy_callback: {at}Unable to destroy guest\n"
        f"libxl: error: libxl_domain.c:1064:domain_destroy_cb: {at}Destruction of domain failed\n"
    )


def cannot_make(domid: int, name: str) -> str:
    """A new domain whose name another one of this host has."""
    return (
        name_taken("libxl_domain.c:81:libxl__domain_rename", domid, name)
        + "libxl: error: libxl_create.c:1296:initiate_domain_create:"
        f" Domain {domid}:cannot make domain: -6\n"
        "libxl: error: libxl_xshelp.c:206:libxl__xs_read_mandatory: xenstore read failed:"
        f" `/libxl/{domid}/type': No such file or directory\n"
        "libxl: warning: libxl_dom.c:49:libxl__domain_type: unable to get domain type for"
        f" domid={domid}, assuming HVM\n" + not_destroyed(domid)
    )


def rename(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    with dom0.change() as change:
        domain = find_domain(change.state, rest[0])
        other = lifecycle.by_name(change.state, rest[1])
        if other is not None and other is not domain:
            domid = domain["domid"]
            complain(name_taken("libxl_domain.c:81:libxl__domain_rename", domid, rest[1]))
            complain(f"Can't rename domain '{rest[0]}'.\n")
            return 1
        change.note("renamed", domid=domain["domid"], uuid=domain["uuid"], name=rest[1])
        domain["name"] = rest[1]
    return 0


def destroy(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    with dom0.change() as change:
        domain = find_domain(change.state, rest[0])
        if domain["domid"] == 0:
            complain(SHUTDOWN_DOMAIN_0)
            return 1
        if zombie(dom0, domain):
            domain["dying"] = True
            lifecycle.touch(domain, change.now)
        else:
            lifecycle.remove(change.state, domain, "destroyed", change.note)
    return 0


def zombie(dom0: Dom0, domain: Domain) -> bool:
    """A page of the domain is still mapped by somebody: it stays, dying, with its name."""
    guest = domain["name"].split("--")[0]
    return faults.take(dom0.world, faults.GUEST, guest, "zombie-source") is not None


def pause(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    with dom0.change() as change:
        lifecycle.pause(find_domain(change.state, rest[0]), change.now)
    return 0


def unpause(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    """Of a suspended domain: it is not paused then, and stays suspended."""
    with dom0.change() as change:
        lifecycle.unpause(find_domain(change.state, rest[0]), change.now)
    return 0


def resume(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    with dom0.change() as change:
        domain = find_domain(change.state, rest[0])
        if domain["shutdown"] != lifecycle.SUSPEND:
            complain(not_suspended(domain))
            return 1
        lifecycle.resume(domain, change.now)
        change.note("resumed", domid=domain["domid"], uuid=domain["uuid"], name=domain["name"])
    return 0


def not_suspended(domain: Domain) -> str:
    """What libxl says where it is asked to resume a domain that runs: harmless."""
    domid, reason = domain["domid"], domain["shutdown"]
    shut = f"shutdown {0 if reason is None else 1}, reason {255 if reason is None else reason}"
    return (
        f"xc: error: Dom {domid} not suspended: ({shut}): Internal error\n"
        f"libxl: error: libxl_dom_suspend.c:666:domain_resume_done: Domain {domid}:"
        "xc_domain_resume failed: Invalid argument\n"
    )


def shutdown(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    return _ask_guests(dom0, options, rest, "Shutting down", lifecycle.POWEROFF)


def reboot(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    return _ask_guests(dom0, options, rest, "Rebooting", lifecycle.REBOOT)


def _ask_guests(
    dom0: Dom0, options: dict[str, Any], rest: list[str], verb: str, reason: int
) -> int:
    if not rest and not options.get("a"):
        complain("You must specify -a or a domain id.\n\n")
        return 1
    with dom0.change() as change:
        if options.get("a"):
            asked = [d for d in change.state["domains"] if d["domid"]]
        else:
            asked = [find_domain(change.state, rest[0])]
        for domain in asked:
            complain(f"{verb} domain {domain['domid']}\n")
            if _obeys(dom0, domain):
                at = change.now + dom0.world.settings["guest_stop_s"]
                lifecycle.schedule(change.state, at, "stop", domain["domid"], reason=reason)
    if options.get("w"):
        _wait_for_deaths(dom0, [d["domid"] for d in asked], reason)
    return 0


def _obeys(dom0: Dom0, domain: Domain) -> bool:
    fault = faults.take(dom0.world, faults.GUEST, domain["name"], "ignores-shutdown")
    return fault is None and lifecycle.runs(domain)


def _wait_for_deaths(dom0: Dom0, domids: list[int], reason: int) -> None:
    complain(f"Waiting for {len(domids)} domains\n")
    waiting = list(domids)
    while waiting:
        domains = {d["domid"]: d for d in dom0.state()["domains"]}
        for domid in list(waiting):
            if domid not in domains:
                complain(f"Domain {domid} has been destroyed\n")
                waiting.remove(domid)
            elif domains[domid]["shutdown"] is not None:
                code = domains[domid]["shutdown"]
                complain(f"Domain {domid} has been shut down, reason code {code}\n")
                waiting.remove(domid)
        if waiting:
            dom0.world.sleep(0.2)
