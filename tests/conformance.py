"""One behaviour, two worlds: what real `xl` does between two hosts, the stand-in has to do.

A scenario is data: guests, then deeds. A driver carries the deeds out (`tests/lab_conformance.py`
on real Xen, `tests/test_conformance.py` on the stand-in) and the play writes down what was said:
text, exit code, and both hosts' domains. What is a matter of the moment (pids, domids, times, CPU
numbers, caught-running letters) is taken out before two plays are compared; nothing else is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from deploy.lab.guests import Guest
from tests.standin_lab import SENDER

SOURCE, DESTINATION = "lab-1", "lab-2"
RECORDED = Path(__file__).parent / "xl_output" / "xen-4.17-lab-conformance"
STRANGER = "aaaaaaaa-0000-4000-8000-000000000001"


@dataclass(frozen=True)
class Said:
    """One deed: what came out of it, and which domains both hosts had then."""

    deed: str
    code: int
    out: str
    err: str
    domains: dict[str, dict[str, str]]  # host -> name -> state letters


class Driver(Protocol):
    """Two hosts of one world, without guests at the start."""

    def create(self, host: str, guest: Guest) -> None:
        """The guest runs when this returns."""

    def run(self, host: str, command: str) -> tuple[int, str, str]:
        """A shell command in a dom0: (exit code, stdout, stderr)."""

    def move(self, guest: str, disturbance: str) -> tuple[int, str, str]:
        """`xl migrate` from lab-1 to lab-2; `disturbance` strikes while its memory is copied."""

    def free_mib(self, host: str) -> int:
        """Memory that guests could still have."""

    def domains(self, host: str) -> dict[str, str]:
        """name -> state letters, without dom0."""


Deed = Callable[[Driver], tuple[str, tuple[int, str, str]]]


@dataclass(frozen=True)
class Scenario:
    """Guests that run on lab-1 first, then deeds one after the other."""

    name: str
    guests: tuple[Guest, ...]
    deeds: tuple[Deed, ...]


def on(host: str, *commands: str) -> list[Deed]:
    """Each of these commands in the dom0 of this host."""

    def deed(command: str) -> Deed:
        return lambda driver: (f"{host}: {command}", driver.run(host, command))

    return [deed(command) for command in commands]


def move(guest: str, disturbance: str = "") -> list[Deed]:
    what = f"move {guest}" + (f", {disturbance}" if disturbance else "")
    return [lambda driver: (what, driver.move(guest, disturbance))]


def stranger(name: str) -> list[Deed]:
    """Another guest of that name on the destination."""

    def deed(driver: Driver) -> tuple[str, tuple[int, str, str]]:
        driver.create(DESTINATION, Guest(name, 77, extra=(f'uuid="{STRANGER}"',)))
        return f"another {name} on {DESTINATION}", (0, "", "")

    return [deed]


def fill(host: str, leave_mib: int) -> list[Deed]:
    """A guest that takes all memory of the host but so much."""

    def deed(driver: Driver) -> tuple[str, tuple[int, str, str]]:
        driver.create(host, Guest("hog", 88, memory_mib=driver.free_mib(host) - leave_mib))
        return f"{host} is full", (0, "", "")

    return [deed]


def _deeds(*parts: list[Deed]) -> tuple[Deed, ...]:
    return tuple(deed for part in parts for deed in part)


WEB = Guest("web", 1, vcpus=2, extra=("cpu_weight=300",))
PLAIN = Guest("plain", 2)

SHARE = ("xl vcpu-list web", "xl sched-credit2 -d web", "xl sched-credit2", "xl sched-credit")
BAD_SHARE = (
    "xl vcpu-pin web all 5",
    "xl vcpu-pin web 9 0",
    "xl vcpu-pin web x 0",
    "xl vcpu-pin web 0 ''",
    "xl vcpu-pin 777 0 1",
    "xl vcpu-pin nosuch 0 1",
    "xl vcpu-pin",
    "xl vcpu-set web 9",
    "xl vcpu-set -i web 9",
    "xl vcpu-set web 0",
    "xl vcpu-set web x",
    "xl vcpu-set 777 1",
    "xl vcpu-set nosuch 1",
    "xl sched-credit2 -d web -w 0",
    "xl sched-credit2 -d web -w 70000",
    "xl sched-credit2 -d web -w abc",
    "xl sched-credit2 -d web -c 900",
    "xl sched-credit2 -d web -c -5",
    "xl sched-credit2 -w 5",
    "xl sched-credit2 -d nosuch",
    "xl sched-credit -d web",
    "xl sched-credit -d web -w 100",
    "xl vcpu-list nosuch",
)
SLOW = """xl cpupool-create 'name="slow"' 'sched="credit"' 'cpus=["1"]'"""
BAD_POOL = (
    "xl cpupool-list nosuch",
    "xl cpupool-migrate web nosuch",
    "xl cpupool-migrate 777 Pool-0",
    "xl cpupool-migrate 0 slow",
    "xl cpupool-migrate",
)
LISTS = (
    "xl list",
    "xl list -v",
    "xl list -c",
    "xl list -n",
    "xl list plain",
    "xl vm-list",
    "xl domid plain",
    "xl domname $(xl domid plain)",
    "xl list nosuch",
    "xl domid nosuch",
    "xl domname 777",
    "xl rename plain other",
    "xl list",
    "xl rename other plain",
    "xl pause nosuch",
    "xl destroy nosuch",
    "xl destroy 0",
    "xl list 777",
    "xl nonsense",
)

SCENARIOS: tuple[Scenario, ...] = (
    Scenario("listings", (PLAIN,), _deeds(on(SOURCE, *LISTS))),
    Scenario(
        "share",
        (WEB,),
        _deeds(
            on(
                SOURCE,
                "xl sched-credit2 -d web -w 512 -c 50",
                "xl vcpu-pin web 0 1 0",
                "xl vcpu-pin web 1 - 1",
                "xl vcpu-pin web 0 0,1",
                "xl vcpu-pin web all 0-1 all",
                "xl vcpu-pin web 1 1,5",
                *SHARE,
                *BAD_SHARE,
                *SHARE,
            )
        ),
    ),
    Scenario(
        "share-moves",
        (WEB,),
        _deeds(
            on(SOURCE, "xl sched-credit2 -d web -w 512 -c 50", "xl vcpu-pin web all 1 1"),
            move("web"),
            on(DESTINATION, *SHARE),
        ),
    ),
    Scenario(
        "cpupool-moves",
        (WEB,),
        _deeds(
            on(SOURCE, "xl cpupool-cpu-remove Pool-0 1", SLOW, "xl cpupool-list"),
            on(SOURCE, *BAD_POOL),
            on(SOURCE, "xl vcpu-pin web all 0", "xl cpupool-migrate web slow", *SHARE),
            on(SOURCE, "xl sched-credit -d web -w 77 -c 33", "xl sched-credit", "xl list -c"),
            on(SOURCE, "xl vcpu-pin web 0 0", "xl cpupool-list", "xl cpupool-list -c"),
            move("web"),
            on(DESTINATION, *SHARE, "xl list -c"),
        ),
    ),
    Scenario(
        "cannot-start",
        (PLAIN,),
        _deeds(
            on(
                SOURCE,
                "xl migrate nosuch lab-2",
                "xl migrate",
                "xl migrate -s 'ssh -p 2299 -o BatchMode=yes' plain lab-2",
            )
        ),
    ),
    Scenario(
        "paused",
        (PLAIN,),
        _deeds(
            on(SOURCE, "xl pause plain"), move("plain"), on(SOURCE, "xl unpause plain", "xl list")
        ),
    ),
    Scenario("name-taken", (PLAIN,), _deeds(stranger("plain"), move("plain"))),
    Scenario("no-room", (PLAIN,), _deeds(fill(DESTINATION, 24), move("plain"))),
    Scenario("ignores-suspend", (Guest("deaf", 3, deaf=True),), _deeds(move("deaf"))),
    Scenario("helper-terminated", (PLAIN,), _deeds(move("plain", "terminate helper"))),
    Scenario("transport-killed", (PLAIN,), _deeds(move("plain", "kill transport"), move("plain"))),
    Scenario("receiver-killed", (PLAIN,), _deeds(move("plain", "kill receiver"), move("plain"))),
)


def play(scenario: Scenario, driver: Driver) -> list[Said]:
    """Carry it out from its beginning; what was said, deed by deed."""
    for guest in scenario.guests:
        driver.create(SOURCE, guest)
    told = []
    for deed in scenario.deeds:
        what, (code, out, err) = deed(driver)
        domains = {host: driver.domains(host) for host in (SOURCE, DESTINATION)}
        told.append(Said(what, code, out, err, domains))
    return told


def save(scenario: Scenario, told: list[Said], folder: Path = RECORDED) -> None:
    text = json.dumps([asdict(said) for said in told], indent=1)
    (folder / f"{scenario.name}.json").write_text(text + "\n")


def load(scenario: Scenario, folder: Path = RECORDED) -> list[Said]:
    return [Said(**row) for row in json.loads((folder / f"{scenario.name}.json").read_text())]


VARYING = (
    (r"\r", ""),
    # libxl writes its own name first: the other end's line may come in between.
    (r"libxl: (migration sender: .*\n)error: ", r"\1libxl: error: "),
    # A stream that breaks off does so within a record's header or its data.
    (r"read (Record Header from stream|\d+ bytes of data for record \(.*?\))", "read RECORD"),
    (r"\[\d+\]", "[PID]"),
    (r"0x0/\d+\)", "0x0/LEN)"),
    (r"/libxl/\d+/", "/libxl/N/"),
    (r"\b([Dd]om(?:ain)?|domid=?) ?\d+", r"\1 N"),
    (r" +\d+\.\d\b", " TIME"),
    # A row of a table: domid, then what follows; a vCPU's processor and what it is caught doing.
    (r"(?m)^(\S+) +\d+ +(?=\d)", r"\1 ID "),
    (r" +\d+   [-r][-b]-", " CPU ---"),
    (r" [-r][-b]([-p][-s][-rscwS][-d]) ", r" --\1 "),
    # A guest's own balloon driver gives a page or two back, or does not.
    (r"(?m)^(\S+ ID )\d+(?= +\d+ +--)", r"\1MEM"),
)


def plain(text: str) -> list[str]:
    """The lines without what is a matter of the moment."""
    for pattern, instead in VARYING:
        text = re.sub(pattern, instead, text)
    return text.splitlines()


def meaning(said: Said) -> dict[str, object]:
    """What two plays have to agree in. A migration's two ends may mix, each keeps its order."""
    lines = plain(said.err)
    ends: object = lines
    if said.deed.startswith("move"):
        ours = [line for line in lines if SENDER.search(line)]
        ends = {"sender": ours, "receiver": [x for x in lines if not SENDER.search(x)]}
    domains = {
        host: {name: "--" + state[2:] for name, state in found.items()}
        for host, found in said.domains.items()
    }
    return {"deed": said.deed, "code": said.code, "out": plain(said.out), "err": ends,
            "domains": domains}  # fmt: skip
