"""Where everything of the lab is: folders, hosts, addresses and ports."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.lab.errors import LabError

PROJECT = Path(__file__).resolve().parents[2]
FILES = Path(__file__).resolve().parent / "files"

FOLDER_VARIABLE = "XENROLL_LAB_DIR"
PORT_VARIABLE = "XENROLL_LAB_PORT"
BASE_PORT = 29900
HOST_COUNT = 3
SHARED_DISKS = 3
SHARED_DISK_MIB = 4
# What a dom0 calls the outside: QEMU forwards this one address, nothing else is reachable.
REDIS_ADDRESS = "10.0.2.100"
REDIS_PORT = 6379
# A UNIX socket's path may have 107 characters; ssh adds 17 to its own while it connects.
LONGEST_FOLDER = 60


@dataclass(frozen=True, slots=True)
class Host:
    """One emulated Xen host; `number` (1, 2, 3) decides all of its addresses and ports."""

    name: str
    number: int
    base_port: int
    folder: Path

    @property
    def address(self) -> str:
        """Its dom0 on the wire between the hosts."""
        return f"10.99.0.{self.number}"

    @property
    def wire_port(self) -> int:
        return self.base_port + self.number

    @property
    def ssh_port(self) -> int:
        return self.base_port + 10 + self.number

    @property
    def relay_port(self) -> int:
        """Where the hub listens for this host's connections to Redis."""
        return self.base_port + 20 + self.number

    @property
    def disk(self) -> Path:
        return self.folder / "disk.img"

    @property
    def xen(self) -> Path:
        """A link to the hypervisor that was installed on it; none: the one of the images."""
        return self.folder / "xen"

    @property
    def console(self) -> Path:
        return self.folder / "console.log"

    @property
    def pid_file(self) -> Path:
        return self.folder / "qemu.pid"

    @property
    def qmp_socket(self) -> Path:
        return self.folder / "qmp"


@dataclass(frozen=True, slots=True)
class Layout:
    """One lab: `cache` outlives it, `run` holds what is running now."""

    root: Path
    base_port: int = BASE_PORT

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def hub_port(self) -> int:
        return self.base_port

    @property
    def hub_socket(self) -> Path:
        return self.run / "hub"

    @property
    def hub_pid_file(self) -> Path:
        return self.run / "hub.pid"

    @property
    def images_file(self) -> Path:
        """Which images the lab was last started from."""
        return self.run / "images.json"

    @property
    def hosts(self) -> tuple[Host, ...]:
        return tuple(
            Host(f"lab-{number}", number, self.base_port, self.run / f"lab-{number}")
            for number in range(1, HOST_COUNT + 1)
        )

    def host(self, name: str) -> Host:
        """Raises LabError for a name that is no host of the lab."""
        for host in self.hosts:
            if host.name == name:
                return host
        names = ", ".join(host.name for host in self.hosts)
        raise LabError(f"{name!r} is no host of the lab; expected one of {names}")

    def shared_disk(self, number: int) -> Path:
        return self.run / f"shared-{number}.img"


def layout_from(environ: Mapping[str, str]) -> Layout:
    """The lab that the environment asks for; raises LabError where that cannot be one."""
    root = Path(environ.get(FOLDER_VARIABLE, "") or PROJECT / ".lab").absolute()
    if len(str(root)) > LONGEST_FOLDER:
        raise LabError(
            f"the lab's folder {root} is longer than {LONGEST_FOLDER} characters, too long for "
            f"its sockets; set {FOLDER_VARIABLE} to a shorter one"
        )
    port = environ.get(PORT_VARIABLE, "") or str(BASE_PORT)
    if not port.isdecimal() or not 1024 <= int(port) <= 65500:
        raise LabError(f"{PORT_VARIABLE}={port!r}: expected a port from 1024 to 65500")
    return Layout(root, int(port))
