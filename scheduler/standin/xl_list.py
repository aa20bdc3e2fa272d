"""`xl list`, `vm-list`, `domid`, `domname`, `uptime`."""

from __future__ import annotations

from scheduler.standin.dom0 import Dom0, complain, find_domain, say
from scheduler.standin.lifecycle import cpu_s, runs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from scheduler.standin.store import Domain

HEADER = "Name                                        ID   Mem VCPUs\tState\tTime(s)"
REASON_LETTERS = "-rscwS"


def list_(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    state = dom0.state()
    domains: list[Domain] = state["domains"]
    if len(rest) == 1:
        if rest[0].isdigit() and all(d["domid"] != int(rest[0]) for d in domains):
            complain(f"Error: Domain '{rest[0]}' does not exist.\n")
            return 1
        domains = [find_domain(state, rest[0])]
    elif rest:
        from scheduler.standin.xl_help import print_help

        print_help("list")
        return 1
    if options.get("l"):
        from scheduler.standin.xl_json import listing

        say(listing(domains))
    else:
        say(_table(domains, options, dom0.world.now()))
    return 0


def _table(domains: list[Domain], options: dict[str, Any], now: float) -> str:
    verbose, context = options.get("v"), options.get("Z")
    head = HEADER
    if verbose:
        head += "   UUID                            Reason-Code\tSecurity Label"
    elif context:
        head += "   Security Label"
    if options.get("c"):
        head += "         Cpupool"
    if options.get("n"):
        head += " NODE Affinity"
    return "".join(line + "\n" for line in [head, *(_row(d, options, now) for d in domains)])


def _row(domain: Domain, options: dict[str, Any], now: float) -> str:
    row = (
        f"{domain['name']:<40} {domain['domid']:5d} {domain['mem_kib'] // 1024:5d}"
        f" {domain['online']:5d}     {letters(domain, now)}  {cpu_s(domain, now):8.1f}"
    )
    if options.get("v"):
        reason = "-" if domain["shutdown"] is None else f"{domain['shutdown']:x}"
        row += f" {domain['uuid']} {reason:>8}"
    if options.get("v") or options.get("Z"):
        row += f" {'-':>16}"
    if options.get("c"):
        row += f"{domain.get('pool', 'Pool-0'):>16}"
    if options.get("n"):
        row += " all"
    return row


def letters(domain: Domain, now: float) -> str:
    """The six columns of a domain's state."""
    running, blocked = activity(domain, now)
    shut = domain["shutdown"]
    return (
        ("r" if running else "-")
        + ("b" if blocked else "-")
        + ("p" if domain["paused"] else "-")
        + ("-" if shut is None else "s")
        + ("-" if shut is None else REASON_LETTERS[shut])
        + ("d" if domain["dying"] else "-")
    )


def activity(domain: Domain, now: float) -> tuple[bool, bool]:
    """(running, blocked): an idle guest is mostly blocked, seldom caught running or in between."""
    if not runs(domain):
        return False, False
    if domain["domid"] == 0:
        return True, False
    fixed = domain["activity"]
    if fixed is None:
        moment = (int(domain["uuid"][:8], 16) + int(now * 4)) % 16
        fixed = "r" if moment == 0 else "-" if moment < 4 else "b"
    return fixed == "r", fixed == "b"


def vm_list(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    lines = ["UUID                                  ID    name"]
    lines += [f"{d['uuid']}  {d['domid']}    {d['name']:<30}" for d in dom0.state()["domains"]]
    say("".join(line + "\n" for line in lines))
    return 0


def domid(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    found = [d["domid"] for d in dom0.state()["domains"] if d["name"] == rest[0]]
    if not found:
        complain(f"Can't get domid of domain name '{rest[0]}', maybe this domain does not exist.\n")
        return 1
    say(f"{found[0]}\n")
    return 0


def domname(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    if not rest[0][:1].isdigit():
        complain("Invalid domain id.\n\n")
        return 1
    wanted = int("".join(c for c in rest[0] if c.isdigit()))
    found = [d["name"] for d in dom0.state()["domains"] if d["domid"] == wanted]
    if not found:
        complain(
            f"Can't get domain name of domain id '{wanted}', maybe this domain does not exist.\n"
        )
        return 1
    say(f"{found[0]}\n")
    return 0


def uptime(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    state = dom0.state()
    now = dom0.world.now()
    domains = [find_domain(state, word) for word in rest] or state["domains"]
    short = bool(options.get("s"))
    if not short:
        say(f"{'Name':<33} {'ID':>4} Uptime\n")
    for domain in domains:
        since = state["booted_at"] if domain["domid"] == 0 else int(domain["started_at"])
        text = duration(int(now - since), short)
        if short:
            import time

            clock = time.strftime("%H:%M:%S", time.localtime(now))
            say(f" {clock} up {text}, {domain['name']} ({domain['domid']})\n")
        else:
            say(f"{domain['name']:<33} {domain['domid']:4d} {text}\n")
    return 0


def duration(seconds: int, short: bool) -> str:
    """`seconds` as `xl uptime` writes them."""
    days, rest = divmod(max(0, seconds), 86400)
    hours, rest = divmod(rest, 3600)
    minutes, seconds = divmod(rest, 60)
    text = f"{hours:2d}:{minutes:02d}" if short else f"{hours:2d}:{minutes:02d}:{seconds:02d}"
    return f"{days} day{'s' if days > 1 else ''}, {text}" if days else text
