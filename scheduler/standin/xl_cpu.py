"""`xl vcpu-list`, `vcpu-pin`, `vcpu-set`."""

from __future__ import annotations

from scheduler.standin.cpu_map import shown, wanted_cpus
from scheduler.standin.dom0 import Dom0, complain, find_domain, say
from scheduler.standin.lifecycle import cpu_s, pool_of
from scheduler.standin.xl_list import activity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from scheduler.standin.store import Domain, State

SCHED = "libxl: error: libxl_sched.c"
UNREACHABLE = (
    "libxl: warning: libxl_sched.c:84:libxl__set_vcpuaffinity: Domain {}:All cpus in soft affinity"
    " of vcpu {} are unreachable. Only hard affinity will be considered for scheduling\n"
)


def vcpu_list(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    state = dom0.state()
    head = f"{'Name':<32} {'ID':>5} {'VCPU':>5} {'CPU':>5} {'State':>5} {'Time(s)':>9}"
    say(f"{head} Affinity (Hard / Soft)\n")
    domains = [find_domain(state, word) for word in rest] if rest else state["domains"]
    now, cpus = dom0.world.now(), state["cpu"]["nr_cpus"]
    for domain in domains:
        say("".join(_vcpu_row(domain, vcpu, cpus, now) for vcpu in range(_vcpus(domain))))
    return 0


def _vcpus(domain: Domain) -> int:
    return int(domain["config"]["b_info"].get("max_vcpus", domain["online"]))


def _vcpu_row(domain: Domain, vcpu: int, cpus: int, now: float) -> str:
    seconds = cpu_s(domain, now) / max(1, domain["online"])
    row = f"{domain['name']:<32} {domain['domid']:5d} {vcpu:5d}"
    if vcpu < domain["online"]:
        running, blocked = activity(domain, now)
        if domain["domid"] == 0 and vcpu > 0:
            running, blocked = False, True
        row += f"{(domain['domid'] + vcpu) % cpus:5d}   {'r' if running else '-'}"
        row += f"{'b' if blocked else '-'}- "
    else:
        row += f"{'-':>5}   --p "
        seconds = 0.0
    hard, soft = _pins(domain, vcpu)
    return f"{row}{seconds:9.1f}  {hard} / {soft}\n"


def _pins(domain: Domain, vcpu: int) -> list[str]:
    found: list[str] = domain["pins"].get(str(vcpu), ["all", "all"])
    return found


def vcpu_pin(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    """Pinning is runtime state: a migration loses it."""
    word, vcpu = rest[:2]
    with dom0.change() as change:
        domain = _domain_for(change.state, word)
        number = vcpu[: len(vcpu) - len(vcpu.lstrip("0123456789"))]
        if vcpu != "all" and not number:
            complain(f"Error: Invalid argument {vcpu} as VCPU.\n")
            return 1
        cpus = [_map(wish, change.state) for wish in (*rest[2:4], "-")[:2]]
        if any(found is not None and not found for found in cpus):
            complain(f"vcpu {'hard' if cpus[0] == set() else 'soft'} affinity map is empty\n")
            return 1
        if vcpu == "all":
            return _pin_all(change.state, domain, cpus)
        if _pin(change.state, domain, int(number), cpus):
            return 0
        complain(f"Could not set affinity for vcpu `{number}'.\n")
        return 1


def _domain_for(state: State, word: str) -> Domain:
    """A domid is taken as it is, and only the hypervisor misses the domain."""
    from scheduler.standin.dom0 import Exit

    if word.isdigit() and all(d["domid"] != int(word) for d in state["domains"]):
        complain("Could not get domain info\n")
        raise Exit(1)
    return find_domain(state, word)


def _map(wish: str, state: State) -> set[int] | None:
    return None if wish == "-" else wanted_cpus(wish, state["cpu"]["nr_cpus"])


def _pin_all(state: State, domain: Domain, cpus: list[set[int] | None]) -> int:
    """Ends with 0 even where nothing could be set, as xl does."""
    well = True
    for vcpu in range(_vcpus(domain)):
        if not _pin(state, domain, vcpu, cpus):
            where = "libxl_sched.c:124:libxl_set_vcpuaffinity_all"
            complain(
                f"libxl: warning: {where}: Domain {domain['domid']}:Failed to set affinity for"
                f" {vcpu}\n"
            )
            well = False
    if not well:
        complain("Could not set affinity.\n")
    return 0


def _pin(state: State, domain: Domain, vcpu: int, cpus: list[set[int] | None]) -> bool:
    """The hypervisor keeps of a hard affinity what the domain's pool has; that must be something"""
    total, (hard, soft) = state["cpu"]["nr_cpus"], cpus
    pool = set(pool_of(state, domain)["cpus"])
    online = vcpu < _vcpus(domain)
    if not online or (hard is not None and not hard & pool):
        where = f"{SCHED}:62:libxl__set_vcpuaffinity: Domain {domain['domid']}:"
        complain(f"{where}Setting vcpu affinity: Invalid argument\n")
        return False
    old = _pins(domain, vcpu)
    new = [old[0] if hard is None else shown(hard, total)]
    new.append(old[1] if soft is None else shown(soft, total))
    domain["pins"][str(vcpu)] = new
    if soft is not None and not soft & (wanted_cpus(new[0], total) & pool):
        complain(UNREACHABLE.format(domain["domid"], vcpu))
    return True


def vcpu_set(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    state = dom0.state()
    if rest[0].isdigit() and all(d["domid"] != int(rest[0]) for d in state["domains"]):
        return 1
    domain = find_domain(state, rest[0])
    if not rest[1][:1].isdigit():
        complain("Error: Invalid argument.\n")
        return 1
    wanted, cpus = int(rest[1]), state["cpu"]["nr_cpus"]
    if not options.get("i") and wanted > max(cpus, domain["online"]):
        complain(
            f"You are overcommmitting! You have {cpus} physical CPUs and want {wanted} vCPUs!"
            " Aborting, use --ignore-host to continue\n"
        )
        return 1
    refusal = _refused_count(wanted, _vcpus(domain))
    if refusal:
        text, code = refusal
        where = f"libxl: error: libxl_domain.c:{1863 if wanted == 0 else 1869}"
        complain(f"{where}:libxl_set_vcpuonline: Domain {domain['domid']}:{text}\n")
        complain(
            f"libxl_set_vcpuonline failed domid={domain['domid']} max_vcpus={wanted}, rc: {code}\n"
        )
        return 1
    with dom0.change() as change:
        find_domain(change.state, rest[0])["online"] = wanted
    return 0


def _refused_count(wanted: int, most: int) -> tuple[str, int] | None:
    unknown = "Function not implemented"
    if wanted == 0:
        return f"Requested 0 VCPUs!: {unknown}", -3
    if wanted > most:
        return f"Requested {wanted} VCPUs, however maxcpus is {most}!: {unknown}", -3
    return None
