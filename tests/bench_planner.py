"""How good and how fast plans are: `python -m tests.bench_planner [FLEET ..] [--hosts N ..]`.

Each fleet is planned by the whole command, reading and writing files, in a process of its own:
seconds of the clock and of the processor, and peak memory, are that process's. Beside it, where
Ganeti's `hroller` is installed (or named by --hroller), what it makes of the same fleet: it counts
every guest's way to another host, and assumes that all go back before the next group's turn, so
its rollout takes twice the moves that it lists.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from planner.fleet import Fleet, load_fleet
from tests.fleets import large_fleet

COMMAND = str(Path(sys.executable).with_name("xenroll"))
COLUMNS = ("fleet", "hosts", "guests", "moves", "/bound", "makespan", "/bound", "blocked")
COSTS = ("wall s", "cpu s", "MB")
PEER = ("hroller s", "groups", "moves", "/bound")


@dataclass(frozen=True)
class Run:
    """What a process cost, and what it printed."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    code: int
    output: str


def run(command: Sequence[str], output: Path) -> Run:
    """Run to the end, standard output into a file; the costs are the child's alone."""
    began_s = time.perf_counter()
    with output.open("wb") as stream:
        child = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return Run(
        wall_s=time.perf_counter() - began_s,
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_mb=usage.ru_maxrss / 1024,
        code=child.returncode,
        output=output.read_text(errors="replace"),
    )


def planned_row(name: str, fleet: Fleet, path: Path, folder: Path) -> tuple[list[str], int]:
    """The figures of one fleet, and the proven fewest moves."""
    plan = folder / "plan.json"
    plan.unlink(missing_ok=True)
    made = run([COMMAND, "plan", str(path), "--output", str(plan)], folder / "plan.out")
    if not plan.exists():
        return [name, str(len(fleet.hosts)), str(len(fleet.guests)), made.output.strip()], 0
    told = json.loads(plan.read_bytes())["summary"]
    figures = [
        name,
        str(len(fleet.hosts)),
        str(len(fleet.guests)),
        str(told["moves"]),
        ratio(told["moves"], told["moves_lower_bound"], 4),
        f"{told['makespan_s']:.0f} s",
        ratio(told["makespan_s"], told["makespan_lower_bound_s"], 3),
        str(told["hosts_blocked"]),
        f"{made.wall_s:.2f}",
        f"{made.cpu_s:.2f}",
        f"{made.peak_mb:.0f}",
    ]
    return figures, told["moves_lower_bound"]


def ratio(value: float, bound: float, digits: int) -> str:
    """How many times the bound, or a dash where there is none."""
    return f"{value / bound:.{digits}f}" if bound else "-"


def hroller_row(hroller: str, fleet: Fleet, fewest: int, folder: Path) -> list[str]:
    """What Ganeti's rolling-maintenance scheduler does with the same fleet."""
    data = folder / "fleet.data"
    data.write_text("\n".join(ganeti_lines(fleet)) + "\n")
    command = [hroller, "-t", str(data), "--no-headers", "--print-moves"]
    made = run(command, folder / "hroller.out")
    if made.code:
        return [f"{made.wall_s:.2f}", "failed", made.output.strip()[:60]]
    lines = made.output.splitlines()
    listed = sum(line.startswith(" ") for line in lines)
    groups = sum(bool(line) and not line.startswith(" ") for line in lines)
    return [f"{made.wall_s:.2f}", str(groups), str(2 * listed), ratio(2 * listed, fewest, 2)]


def ganeti_lines(fleet: Fleet) -> Iterator[str]:
    """The fleet in the text format of Ganeti's tools: pools are node groups, disks are shared."""
    pools = list(dict.fromkeys(host.pool for host in fleet.hosts))
    used = dict.fromkeys((host.name for host in fleet.hosts), 0)
    for guest in fleet.guests:
        used[guest.host] += guest.room_mib
    yield from (f"{pool}|uuid-{pool}|preferred||" for pool in pools)
    yield ""
    for host in fleet.hosts:
        master = "M" if host is fleet.hosts[-1] else "N"
        free = host.memory_mib - used[host.name]
        cpus = max(1, int(host.cpus))
        room = f"{host.memory_mib}|0|{free}|100000|100000|{cpus}"
        yield f"{host.name}|{room}|{master}|uuid-{host.pool}|100"
    yield ""
    for guest in fleet.guests:
        tags = ",".join(f"aa:{name}" for name in guest.apart)
        size = f"{guest.room_mib}|0|{max(1, guest.vcpus)}"
        yield f"{guest.name}|{size}|running|Y|{guest.host}||rbd|{tags}|1"
    yield ""
    yield "htools:iextags:aa"
    yield ""
    limits = "0,1,0,0,0,1|0,1,0,0,0,1;10000000,10000,1000000000,16,8,10000"
    ratio = f"{fleet.policy.vcpus_per_cpu:.1f}"
    yield from (f"{name}|{limits}|rbd|{ratio}|32.0" for name in ["", *pools])


def fleets(options: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Path]]:
    """The fleet files named, then the generated ones."""
    for path in options.fleet:
        named = folder / "named.json"
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        named.write_bytes(data)
        yield path.name.removesuffix(".gz").removesuffix(".json"), named
    for hosts in options.hosts:
        made = folder / "made.json"
        fleet = large_fleet(hosts, options.seed)
        made.write_text(fleet.model_dump_json(by_alias=True))
        yield f"seed {options.seed}", made


def main() -> None:
    """Print the table, a line as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fleet", nargs="*", type=Path)
    parser.add_argument("--hosts", nargs="*", type=int, default=[100, 1000])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hroller", default=shutil.which("hroller"))
    options = parser.parse_args()
    print(f"generated fleets: seed {options.seed}; hroller: {options.hroller or 'not installed'}")
    head = [*COLUMNS, *COSTS, *(PEER if options.hroller else ())]
    print("  ".join(f"{column:>9}" for column in head))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name, path in fleets(options, folder):
            fleet = load_fleet(path.read_bytes())
            row, fewest = planned_row(name, fleet, path, folder)
            if options.hroller:
                row += hroller_row(options.hroller, fleet, fewest, folder)
            print("  ".join(f"{cell:>9}" for cell in row), flush=True)


if __name__ == "__main__":
    main()
