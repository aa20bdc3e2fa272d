"""A simulated fleet for the tests of the stand-in: build it, run its programs, wait for moments."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scheduler.demo import family
from scheduler.standin import faults, lifecycle
from scheduler.standin.fault_table import clear, inject
from scheduler.standin.ledger import audit, running
from scheduler.standin.store import World, look
from scheduler.standin.world import GuestSpec, HostSpec, create_world
from scheduler.standin.xl_list import letters
from tests.waiting import children, until

RECORDED = Path(__file__).parent / "xl_output" / "xen-4.17"
ALIVE = "ssh -o LogLevel=ERROR -o ServerAliveInterval=3 -o ServerAliveCountMax=3"


def recorded(name: str) -> str:
    """One recording of real Xen, byte for byte."""
    return (RECORDED / name).read_bytes().decode()


@dataclass(frozen=True)
class Done:
    """A program that has ended."""

    code: int
    out: str
    err: str


class Lab:
    """A world and its programs."""

    def __init__(self, world: World) -> None:
        self.world = world

    def environment(self, host: str) -> dict[str, str]:
        path = f"{self.world.host_dir(host)}/bin:/usr/bin:/bin"
        return {"PATH": path, "HOME": "/nonexistent"}

    def start(self, host: str, *argv: str) -> subprocess.Popen[bytes]:
        """A program of this host, in a session of its own."""
        program = f"{self.world.host_dir(host)}/bin/{argv[0]}"
        return subprocess.Popen(
            [program, *argv[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment(host),
            start_new_session=True,
        )

    def run(self, host: str, *argv: str) -> Done:
        return ended(self.start(host, *argv))

    def inject(self, name: str, fault: str, count: int | None = 1, text: str = "") -> None:
        inject(self.world, name, fault, count, text)

    def clear(self, name: str, fault: str | None = None) -> None:
        clear(self.world, name, fault)

    def pid_held(self, guest: str, point: str) -> int:
        """Wait until a migration of the guest has come to the point; who waits there."""
        found: list[int] = []

        def there() -> bool:
            pid = faults.held(self.world, guest, point)
            found.extend([] if pid is None else [pid])
            return pid is not None

        until(there, f"{guest} at {point}")
        return found[-1]

    def domains(self, host: str) -> dict[str, str]:
        """name -> state letters, without what is a matter of the moment, and without dom0."""
        return {
            d["name"]: "--" + letters(d, 0.0)[2:]
            for d in look(self.world, host)["domains"]
            if d["domid"]
        }

    def settled(self, host: str, wanted: dict[str, str]) -> dict[str, str]:
        """The host's domains once they are as wanted, or as they are after a minute."""
        end_s = time.monotonic() + 60
        while (found := self.domains(host)) != wanted and time.monotonic() < end_s:
            time.sleep(0.02)
        return found

    def uuid(self, host: str, guest: str) -> str:
        domain = lifecycle.by_name(look(self.world, host), guest)
        assert domain is not None
        return str(domain["uuid"])

    def audit(self) -> list[str]:
        return audit(self.world)

    def running(self) -> dict[str, list[str]]:
        return running(self.world)


def ended(process: subprocess.Popen[bytes]) -> Done:
    out, err = process.communicate(timeout=120)
    return Done(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))


def two_hosts(path: Path, *guests: GuestSpec, speed: float = 100.0, memory_mib: int = 4096) -> Lab:
    """hostA and hostB; by default with h1 (PVH, 96 MiB) on hostA."""
    hosts = [HostSpec("hostA", memory_mib), HostSpec("hostB", memory_mib)]
    made = guests or (GuestSpec("h1", "hostA", 96),)
    return Lab(create_world(str(path / "world"), hosts, made, speed=speed))


def unnumbered(text: str) -> list[str]:
    """The lines of a migration without pids, domids and lengths, and without carriage returns."""
    text = re.sub(r"\r", "", text)
    text = re.sub(r"\[\d+\]", "[PID]", text)
    text = re.sub(r"0x0/\d+\)", "0x0/LEN)", text)
    text = re.sub(r"\b([Dd]om(?:ain)?) \d+", r"\1 N", text)
    return text.splitlines()


def processes_of(world: str) -> list[str]:
    """Command lines of every living process that belongs to a world."""
    lines = (" ".join(process.command()) for process in family.processes())
    return [line for line in lines if world in line]


def words_of(pid: int) -> Sequence[str]:
    """The command line of a process; empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return []


SENDER = re.compile(
    "Saving|migration sender|Migration|migration transport|save/restore|ssh:"
    "|logdirty|shared info frame|Save failed|save_done|suspend|xc_domain_resume"
    "|from migration receiver stream"
)


def by_end(text: str) -> tuple[list[str], list[str]]:
    """The lines of the sender and of the receiver: each end keeps its order, the two may mix."""
    lines = unnumbered(text)
    ours = [line for line in lines if SENDER.search(line)]
    return ours, [line for line in lines if not SENDER.search(line)]


def same_as_recorded(err: str, name: str) -> None:
    assert by_end(err) == by_end(recorded(f"migrate-{name}.err"))


def part_of(xl: int, which: str) -> int:
    """The pid of one of the four processes of a migration, whose `xl` is given."""
    if which == "xl":
        return xl
    found = {
        "helper": [p for p in children(xl) if "--save-domain" in words_of(p)],
        "ssh": [p for p in children(xl) if "migrate-receive" in words_of(p)],
    }
    if which == "receiver":
        found["receiver"] = children(found["ssh"][0])
    assert len(found[which]) == 1, which
    return found[which][0]
