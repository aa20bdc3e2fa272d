"""`xl migrate`: the sending end.  Steps and messages are those of tools/xl/xl_migrate.c."""

from __future__ import annotations

import os

from scheduler.standin import faults
from scheduler.standin.dom0 import Dom0, Exit, complain, find_domain, start_ticks
from scheduler.standin.xl_json import live_config, sent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from scheduler.standin.store import Domain


def migrate(dom0: Dom0, options: dict[str, Any], rest: list[str]) -> int:
    from scheduler.standin.xl_sender import Sender

    domain = find_domain(dom0.state(), rest[0])
    if _struck(dom0, domain, "invalid-domain"):
        complain(f"{rest[0]} is an invalid domain identifier (rc=-6)\n")
        return 1
    config = _config(dom0, domain, options)
    rune = _rune(options, rest[1])
    dom0.register()
    _note_start(dom0, domain, rest[1])
    code = 1
    try:
        code = Sender(dom0, domain, config, rune).run()
    except Exit as end:
        code = end.code
    _note_end(dom0, domain, code)
    return code


def _struck(dom0: Dom0, domain: Domain, fault: str) -> bool:
    return faults.take(dom0.world, faults.GUEST, domain["name"], fault) is not None


def _config(dom0: Dom0, domain: Domain, options: dict[str, Any]) -> bytes:
    """The configuration as it will travel; Exit(1) where there is none."""
    if "C" in options:
        from scheduler.standin.xl_create import ConfigError, in_root, read_config

        try:
            text = sent(read_config(in_root(dom0.root, options["C"])))
        except OSError:
            complain("unable to read overridden config file\n")
            raise Exit(1) from None
        except ConfigError as error:
            complain(f"{error}\n")
            raise Exit(1) from None
        return text
    if _struck(dom0, domain, "config-unreadable"):
        where = "libxl: error: libxl_domain.c:1964:retrieve_domain_configuration_end:"
        complain(f"{where} Domain {domain['domid']}:Fail to get domain configuration\n")
        complain("unable to retrieve domain configuration\n")
        raise Exit(1)
    if _struck(dom0, domain, "no-config"):
        complain("No config file stored for running domain and none supplied - cannot migrate.\n")
        raise Exit(1)
    config = live_config(domain, listed=False)
    if options.get("D"):
        # -D keeps the domid: it travels behind the name.
        items = list(config["c_info"].items())
        at = [key for key, _ in items].index("name") + 1
        config["c_info"] = dict([*items[:at], ("domid", domain["domid"]), *items[at:]])
    return sent(config)


def _rune(options: dict[str, Any], host: str) -> str:
    """The transport command, for `sh -c`."""
    ssh = options.get("s", "ssh")
    if not ssh:
        return host
    terminal = " -t" if os.isatty(2) else ""
    end = " -e" if "e" in options or "F" in options else ""
    debug = " -d" if "debug" in options else ""
    paused = " -p" if "p" in options else ""
    return f"exec {ssh} {host} xl{terminal} migrate-receive{end}{debug}{paused}"


def _note_start(dom0: Dom0, domain: Domain, to: str) -> None:
    """Into the ledger: who starts, and whether another migration of the guest still runs here."""
    with dom0.change() as change:
        going = change.state.setdefault("migrating", {})
        before = going.get(domain["uuid"])
        overlaps = before[0] if before and start_ticks(before[0]) == before[1] else None
        going[domain["uuid"]] = [os.getpid(), start_ticks(os.getpid())]
        facts = {key: domain[key] for key in ("domid", "uuid", "name")}
        change.note("migrate", **facts, to=to, pid=os.getpid(), overlaps=overlaps)


def _note_end(dom0: Dom0, domain: Domain, code: int) -> None:
    with dom0.change() as change:
        change.state["migrating"].pop(domain["uuid"], None)
        change.note("migrate_ended", uuid=domain["uuid"], name=domain["name"], code=code)
