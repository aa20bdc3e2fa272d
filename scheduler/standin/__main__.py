"""`python -m scheduler.standin COMMAND WORLD ...`: look into a simulated world and disturb it."""

from __future__ import annotations

import argparse
import sys

from scheduler.standin import boot, fault_table, ledger
from scheduler.standin.store import World, look


def main(words: list[str] | None = None) -> int:
    asked = _parser().parse_args(words)
    try:
        return _run(asked)
    except (ValueError, FileNotFoundError) as error:
        print(f"standin: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scheduler.standin", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("inject", "arm a fault for a host or guest"),
        ("clear", "disarm a host's or guest's faults"),
        ("faults", "list the faults that there are"),
        ("show", "one line per host and guest"),
        ("audit", "what must never happen and did; exit 1 if anything"),
        ("power-off", "take a host's power away"),
        ("reboot", "take a host down for a reboot"),
        ("finish-reboot", "let a host come back"),
    ):
        command = commands.add_parser(name, help=text)
        if name != "faults":
            command.add_argument("world")
        if name in ("inject", "clear", "power-off", "reboot", "finish-reboot"):
            command.add_argument("name", help="a host or a guest")
        if name in ("inject", "clear"):
            command.add_argument("fault", nargs=None if name == "inject" else "?")
        if name == "inject":
            command.add_argument("--count", type=int, default=1, help="0: every time")
            command.add_argument("--text", default="", help="what the fault needs to know")
    return parser


def _run(asked: argparse.Namespace) -> int:
    if asked.command == "faults":
        for name, (scope, row, text) in fault_table.FAULTS.items():
            print(f"{name:<26}{scope:<7}{row:>3}  {text}")
        return 0
    world = World(asked.world)
    if asked.command == "audit":
        problems = ledger.audit(world)
        print("\n".join(problems) if problems else "nothing to complain of")
        return 1 if problems else 0
    if asked.command == "show":
        _show(world)
    elif asked.command == "inject":
        fault_table.inject(world, asked.name, asked.fault, asked.count or None, asked.text)
    elif asked.command == "clear":
        fault_table.clear(world, asked.name, asked.fault)
    else:
        act = {
            "power-off": boot.power_off,
            "reboot": boot.start_reboot,
            "finish-reboot": boot.finish_reboot,
        }[asked.command]
        act(world, asked.name)
    return 0


def _show(world: World) -> None:
    from scheduler.standin.xl_list import letters

    for host in world.hosts():
        state = look(world, host)
        print(f"{host}: {state['power']}, build {state['xen']['build_id'][:12]}")
        for domain in state["domains"]:
            if domain["domid"]:
                print(f"  {domain['name']:<40}{letters(domain, world.now())}")


if __name__ == "__main__":
    sys.exit(main())
