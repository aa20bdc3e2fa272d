"""`xl vcpu-list`, `vcpu-pin`, `vcpu-set`, `cpupool-list`, `sched-credit`, `sched-credit2`."""

from __future__ import annotations

from scheduler.standin.dom0 import Dom0, complain, find_domain, say
from scheduler.standin.lifecycle import cpu_s
from scheduler.standin.xl_list import activity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from scheduler.standin.store import Domain


def vcpu_list(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    state = dom0.state()
    domains = [find_domain(state, word) for word in rest] if rest else state["domains"]
    head = f"{'Name':<32} {'ID':>5} {'VCPU':>5} {'CPU':>5} {'State':>5} {'Time(s)':>9}"
    say(f"{head} Affinity (Hard / Soft)\n")
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
    hard, soft = domain["pins"].get(str(vcpu), ["all", "all"])
    return f"{row}{seconds:9.1f}  {hard} / {soft}\n"


def vcpu_pin(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    """Pinning is runtime state: a migration loses it."""
    word, vcpu, hard = rest[:3]
    soft = rest[3] if len(rest) > 3 else "-"
    with dom0.change() as change:
        domain = find_domain(change.state, word)
        if vcpu != "all" and not vcpu.isdigit():
            complain(f"Error: Invalid argument {vcpu} as VCPU.\n")
            return 1
        for number in range(_vcpus(domain)) if vcpu == "all" else [int(vcpu)]:
            old = domain["pins"].get(str(number), ["all", "all"])
            new = [old[i] if wish == "-" else wish for i, wish in enumerate((hard, soft))]
            domain["pins"][str(number)] = new
    return 0


def vcpu_set(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    if not rest[1].isdigit():
        find_domain(dom0.state(), rest[0])
        complain("Error: Invalid argument.\n")
        return 1
    with dom0.change() as change:
        domain = find_domain(change.state, rest[0])
        domain["online"] = min(int(rest[1]), _vcpus(domain))
    return 0


def cpupool_list(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    state = dom0.state()
    pools = [p for p in state["cpupools"] if not rest or p["name"] == rest[0]]
    if rest and not pools:
        complain(f"Pool '{rest[0]}' does not exist\n")
        return 1
    if options.get("c"):
        say(f"{'Name':<19}CPU list\n")
        for pool in pools:
            say(f"{pool['name']:<19}{','.join(str(cpu) for cpu in pool['cpus'])}\n")
        return 0
    say(f"{'Name':<19}CPUs   Sched     Active   Domain count\n")
    for pool in pools:
        count = len(state["domains"]) if pool["name"] == "Pool-0" else 0
        say(f"{pool['name']:<19}{len(pool['cpus']):3d}{'credit2':>10}       y         {count:2d}\n")
    return 0


def sched_credit(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    """The scheduler is credit2: the table of credit's pools is empty."""
    return 0


def sched_credit2(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    if ("w" in options or "c" in options) and "d" not in options:
        complain("Must specify a domain.\n")
        return 1
    if "d" not in options:
        return _sched_table(dom0)
    if "w" not in options and "c" not in options:
        domain = find_domain(dom0.state(), options["d"])
        say(_sched_head() + _sched_row(domain))
        return 0
    with dom0.change() as change:
        params = find_domain(change.state, options["d"])["config"]["b_info"]["sched_params"]
        for letter, key in (("w", "weight"), ("c", "cap")):
            if letter in options:
                params[key] = int(options[letter])
    return 0


def _sched_table(dom0: Dom0) -> int:
    say("Cpupool Pool-0: ratelimit=1000us\n" + _sched_head())
    say("".join(_sched_row(domain) for domain in dom0.state()["domains"]))
    return 0


def _sched_head() -> str:
    return f"{'Name':<33} {'ID':>4} {'Weight':>6} {'Cap':>4}\n"


def _sched_row(domain: Domain) -> str:
    params = domain["config"]["b_info"]["sched_params"]
    return f"{domain['name']:<33} {domain['domid']:4d} {params['weight']:6d} {params['cap']:4d}\n"
