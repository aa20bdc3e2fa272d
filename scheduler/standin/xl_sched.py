"""`xl sched-credit`, `sched-credit2`, `cpupool-list`, `cpupool-create`, `cpupool-cpu-remove`,
`cpupool-migrate`."""

from __future__ import annotations

from scheduler.standin.dom0 import Dom0, complain, find_domain, say
from scheduler.standin.lifecycle import pool_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from scheduler.standin.store import Domain, State

GLOBALS = {
    "credit2": "ratelimit=1000us",
    "credit": "tslice=30ms ratelimit=1000us migration-delay=0us",
}
LINES = {"credit2": (445, 455), "credit": (244, 251)}  # of libxl_sched.c: weight, cap
FAILED = "libxl_domain_sched_params_set failed.\n"
WEIGHTS = "Cpu weight out of range, valid values are within range from 1 to 65535"
CAPS = "Cpu cap out of range, valid range is from 0 to {} for specified number of vcpus"


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
        count = sum(pool_of(state, domain) is pool for domain in state["domains"])
        sched = f"{scheduler(pool):>10}"
        say(f"{pool['name']:<19}{len(pool['cpus']):3d}{sched}       y         {count:2d}\n")
    return 0


def scheduler(pool: dict[str, Any]) -> str:
    return str(pool.get("sched", "credit2"))


def cpupool_cpu_remove(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    from scheduler.standin.cpu_map import wanted_cpus

    with dom0.change() as change:
        pool = _pool(change.state, rest[0])
        if pool is None:
            complain(f"unknown cpupool '{rest[0]}'\n")
            return 1
        gone = wanted_cpus(rest[1], change.state["cpu"]["nr_cpus"])
        pool["cpus"] = [cpu for cpu in pool["cpus"] if cpu not in gone]
    return 0


def _pool(state: State, name: str) -> dict[str, Any] | None:
    return next((p for p in state["cpupools"] if p["name"] == name), None)


def cpupool_create(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    """Only from settings on the command line: name, sched, cpus."""
    from scheduler.standin.cfg import parse_cfg

    cfg = parse_cfg("\n".join(rest) + "\n", "command line")
    name, sched = str(cfg.get("name", "")), str(cfg.get("sched", "credit2"))
    say('Using config file "command line"\n')
    with dom0.change() as change:
        if _pool(change.state, name) is not None:
            complain(f'cpupool name "{name}" already exists\n')
            return 1
        listed = cfg.get("cpus", [])
        cpus = [int(str(cpu)) for cpu in (listed if isinstance(listed, list) else [])]
        change.state["cpupools"].append({"name": name, "sched": sched, "cpus": cpus})
    say(f"cpupool name:   {name}\nscheduler:      {sched}\nnumber of cpus: {len(cpus)}\n")
    return 0


def cpupool_migrate(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    """A change of pool sets affinities, weight and cap back to what a new domain has."""
    with dom0.change() as change:
        state = change.state
        if rest[0].isdigit() and all(d["domid"] != int(rest[0]) for d in state["domains"]):
            complain(f"unknown domain '{rest[0]}'\n")
            return 1
        domain, pool = find_domain(state, rest[0]), _pool(state, rest[1])
        if pool is None:
            complain(f"unknown cpupool '{rest[1]}'\n")
            return 1
        if domain["domid"] == 0:
            where = "libxl_cpupool.c:437:libxl_cpupool_movedomain"
            complain(f"libxl: error: {where}: Error moving domain to cpupool\n")
            return 1
        if pool_of(state, domain) is not pool:
            domain["pool"], domain["pins"] = pool["name"], {}
            fresh = {"sched": scheduler(pool), "weight": 256, "cap": 0}
            domain["config"]["b_info"]["sched_params"] = fresh
    return 0


def sched_credit(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    return _sched(dom0, options, "credit")


def sched_credit2(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    return _sched(dom0, options, "credit2")


def _sched(dom0: Dom0, options: dict[str, Any], sched: str) -> int:
    changes = {"w", "c"} & options.keys()
    if changes and "d" not in options:
        complain("Must specify a domain.\n")
        return 1
    state = dom0.state()
    if "d" not in options:
        _tables(state, sched)
        return 0
    domain = find_domain(state, options["d"])
    other = scheduler(pool_of(state, domain))
    if not changes:
        return _show(domain, sched, other)
    refusal = _refused(domain, options, sched, other)
    if refusal:
        at, text = refusal
        where = f"libxl: error: libxl_sched.c:{at}:sched_{sched}_domain_set"
        complain(f"{where}: Domain {domain['domid']}:{text}\n{FAILED}")
        return 1
    with dom0.change() as change:
        params = find_domain(change.state, options["d"])["config"]["b_info"]["sched_params"]
        for letter in changes:
            params[{"w": "weight", "c": "cap"}[letter]] = int(options[letter])
    return 0


def _tables(state: State, sched: str) -> None:
    """A table for each pool of this scheduler."""
    for pool in state["cpupools"]:
        if scheduler(pool) == sched:
            say(f"Cpupool {pool['name']}: {GLOBALS[sched]}\n{_head()}")
            say("".join(_row(d) for d in state["domains"] if pool_of(state, d) is pool))


def _show(domain: Domain, sched: str, other: str) -> int:
    say(_head())
    if other != sched:
        complain(f"libxl_domain_sched_params_get returned {other} not {sched}.\n")
        return 1
    say(_row(domain))
    return 0


def _refused(
    domain: Domain, options: dict[str, Any], sched: str, other: str
) -> tuple[int, str] | None:
    """(line of libxl_sched.c, what it says), or None."""
    if other != sched:
        return 232, f"Getting domain sched {sched}: Invalid argument"
    weight_line, cap_line = LINES[sched]
    weight, cap = (_number(options.get(letter)) for letter in "wc")
    if weight is not None and not 1 <= weight <= 65535:
        return weight_line, WEIGHTS
    most = 100 * int(domain["config"]["b_info"].get("max_vcpus", 1))
    if cap is not None and not 0 <= cap <= most:
        return cap_line, CAPS.format(most)
    return None


def _number(word: str | None) -> int | None:
    """As strtol reads it: what is no number is 0."""
    if word is None:
        return None
    sign, digits = (-1, word[1:]) if word.startswith("-") else (1, word)
    return sign * int(digits) if digits.isdigit() else 0


def _head() -> str:
    return f"{'Name':<33} {'ID':>4} {'Weight':>6} {'Cap':>4}\n"


def _row(domain: Domain) -> str:
    params = domain["config"]["b_info"]["sched_params"]
    return f"{domain['name']:<33} {domain['domid']:4d} {params['weight']:6d} {params['cap']:4d}\n"
