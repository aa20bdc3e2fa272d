"""What a hypervisor and its toolstack do to a domain: pure changes of one host's state.

Times are simulated Unix seconds.  A domain's CPU time is a base and a rate, so that nothing has to
tick; it is folded into the base whenever the domain starts or stops running.
Shutdown reasons are Xen's numbers: 0 poweroff, 1 reboot, 2 suspend, 3 crash.
"""

from __future__ import annotations

from scheduler.standin import monitors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from scheduler.standin.store import Domain, State, World

    Note = Callable[..., None]

POWEROFF, REBOOT, SUSPEND, CRASH = 0, 1, 2, 3
NO_UUID = "00000000-0000-0000-0000-000000000000"
REASONS = {POWEROFF: "poweroff", REBOOT: "reboot", SUSPEND: "suspend", CRASH: "crash"}
# How long libxl's monitor takes from a domain's end to its destruction, and to its successor.
DESTROY_S, REBUILD_S, RESTART_S = 1.0, 1.5, 3.0


def runs(domain: Domain) -> bool:
    return not domain["paused"] and domain["shutdown"] is None and not domain["dying"]


def cpu_s(domain: Domain, now: float) -> float:
    """CPU seconds this domain has used on this host."""
    if domain["cpu_since"] is None:
        return float(domain["cpu_s"])
    return float(domain["cpu_s"] + max(0.0, now - domain["cpu_since"]) * domain["cpu_rate"])


def touch(domain: Domain, now: float) -> None:
    """Fold the CPU time used so far into the base; to be called after every change of state."""
    domain["cpu_s"] = cpu_s(domain, now)
    domain["cpu_since"] = now if runs(domain) else None


def free_kib(state: State) -> int:
    """Memory of the hypervisor's heap that nobody holds."""
    held = sum(d["mem_kib"] + d["overhead_kib"] for d in state["domains"])
    return int(state["total_kib"] - state["xen_own_kib"] - held)


def by_domid(state: State, domid: int) -> Domain | None:
    return next((d for d in state["domains"] if d["domid"] == domid), None)


def by_name(state: State, name: str) -> Domain | None:
    return next((d for d in state["domains"] if d["name"] == name), None)


def pool_of(state: State, domain: Domain) -> dict[str, Any]:
    """The cpupool that a domain is in."""
    name = domain.get("pool", "Pool-0")
    pools: list[dict[str, Any]] = state["cpupools"]
    return next((p for p in pools if p["name"] == name), pools[0])


def new_domain(
    state: State, config: dict[str, Any], name: str, now: float, domid: int | None = None
) -> Domain:
    """Add a paused domain without memory, built from a configuration as `xl list -l` shows it."""
    b_info = config["b_info"]
    if domid is None:
        domid = state["next_domid"]
    state["next_domid"] = max(state["next_domid"], domid + 1)
    domain: Domain = {
        "domid": domid,
        "name": name,
        "uuid": config["c_info"].get("uuid", NO_UUID),
        "mem_kib": 0,
        "overhead_kib": 0,
        "online": b_info.get("max_vcpus", 1),
        "paused": True,
        "shutdown": None,
        "dying": False,
        "cpu_s": 0.0,
        "cpu_since": None,
        "cpu_rate": 0.15,
        "cpu_needs": [],
        "activity": None,
        "started_at": now,
        "monitored": True,
        "pins": {},
        "pool": config["c_info"].get("pool_name", "Pool-0"),
        "xs": {},
        "config": config,
    }
    state["domains"].append(domain)
    return domain


def remove(state: State, domain: Domain, why: str, note: Note) -> None:
    """Destroy a domain: its memory is free, its pending events are void."""
    state["domains"] = [d for d in state["domains"] if d["domid"] != domain["domid"]]
    state["events"] = [e for e in state["events"] if e.get("domid") != domain["domid"]]
    facts = {key: domain[key] for key in ("domid", "uuid", "name")}
    note("removed", **facts, why=why, ran=runs(domain))


def pause(domain: Domain, now: float) -> None:
    domain["paused"] = True
    touch(domain, now)


def unpause(domain: Domain, now: float) -> None:
    domain["paused"] = False
    touch(domain, now)


def resume(domain: Domain, now: float) -> None:
    """Wake a suspended domain (`xl unpause` does not)."""
    domain["shutdown"] = None
    touch(domain, now)


def shut_down(state: State, domain: Domain, reason: int, now: float, note: Note) -> None:
    """The domain stops for `reason`; what the toolstack then does with it is scheduled."""
    domain["shutdown"] = reason
    touch(domain, now)
    note(REASONS[reason], domid=domain["domid"], uuid=domain["uuid"], name=domain["name"])
    watched = domain["monitored"]
    monitors.shut_down(state, domain, reason)
    if reason == SUSPEND or not watched:
        return
    action = monitors.action_for(domain, reason)
    if action == "preserve":
        return
    schedule(state, now + 0.2, "reap", domain["domid"])
    schedule(state, now + DESTROY_S, "destroy", domain["domid"], restart=action == "restart")


def may_crash(world: World, state: State, domain: Domain, guest: str, now: float) -> None:
    """A guest whose kernel does not bear a resume (`crashes-on-resume`) dies soon after it."""
    from scheduler.standin import faults

    if faults.take(world, faults.GUEST, guest, "crashes-on-resume") is not None:
        schedule(state, now + 0.3, "stop", domain["domid"], reason=CRASH)


def schedule(state: State, at: float, do: str, domid: int, **facts: object) -> None:
    state["events"].append({"at": at, "do": do, "domid": domid, **facts})


def settle(state: State, now: float, note: Note) -> None:
    """Do everything that is due by `now`, in the order of its time."""
    while due := [e for e in state["events"] if e["at"] <= now]:
        event = min(due, key=lambda e: float(e["at"]))
        state["events"].remove(event)
        domain = by_domid(state, event["domid"])
        if domain is not None or event["do"] == "rebuild":
            _DUE[event["do"]](state, domain, event, note)


def _reap(state: State, domain: Domain, event: dict[str, Any], note: Note) -> None:
    pause(domain, event["at"])


def _destroy(state: State, domain: Domain, event: dict[str, Any], note: Note) -> None:
    reason = REASONS.get(domain["shutdown"], "destroy")
    if event.get("restart"):
        state["events"].append(
            {
                "at": event["at"] + REBUILD_S - DESTROY_S,
                "do": "rebuild",
                "domid": -1,
                "was": domain["domid"],
                "config": domain["config"],
                "name": domain["name"],
                "keep": {k: domain[k] for k in ("mem_kib", "overhead_kib", "cpu_rate", "xs")},
            }
        )
    remove(state, domain, reason, note)


def _rebuild(state: State, domain: None, event: dict[str, Any], note: Note) -> None:
    fresh = new_domain(state, event["config"], event["name"], event["at"])
    fresh.update(event["keep"])
    monitors.rebuilt(state, fresh, event["was"])
    note("created", domid=fresh["domid"], uuid=fresh["uuid"], name=fresh["name"])
    schedule(state, event["at"] + RESTART_S - REBUILD_S, "start", fresh["domid"])


def _start(state: State, domain: Domain, event: dict[str, Any], note: Note) -> None:
    unpause(domain, event["at"])


def _stop(state: State, domain: Domain, event: dict[str, Any], note: Note) -> None:
    """A guest obeys `xl shutdown` or `xl reboot`, crashes, or suspends when nobody waits for it."""
    if runs(domain):
        shut_down(state, domain, event["reason"], event["at"], note)


_DUE: dict[str, Callable[..., None]] = {
    "reap": _reap,
    "destroy": _destroy,
    "rebuild": _rebuild,
    "start": _start,
    "stop": _stop,
}
