"""What an agent is told about its dom0: programs, paths, intervals. One TOML file, one model.

Every field has a default that fits a Debian 12 dom0, but for `host` and `redis_url`. `root` is put
before every path of the host, so that a whole dom0 can live in a directory.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agents.wire import Name

Argv = Annotated[tuple[str, ...], Field(min_length=1)]


class SettingsError(Exception):
    """The settings file cannot be used; the text names the file, the field and what is wrong."""


class Storage(BaseModel):
    """A kind of shared storage, by where its disks are in dom0."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prefix: str  # a disk whose path starts so lies on it
    tag: str = Field(pattern=r"^storage:\S+$")
    present: str | None = None  # glob that shows that a host has it; default: `prefix` and `*`


class Settings(BaseModel):
    """Times in seconds; paths as the host sees them, before `root` is put in front."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: Name
    redis_url: str
    redis_password_file: str | None = None  # not in the URL, so that the file can be private
    root: str = "/"
    state_dir: str = "/var/lib/xenroll-agent"  # not below `root`

    xl: Argv = ("/usr/sbin/xl",)
    xen_livepatch: Argv = ("/usr/sbin/xen-livepatch",)
    xenstore_read: tuple[str, ...] = ("/usr/bin/xenstore-read",)  # empty: not asked
    xenstore_write: tuple[str, ...] = ("/usr/bin/xenstore-write",)  # empty: no guest is told
    xenstore_rm: tuple[str, ...] = ("/usr/bin/xenstore-rm",)
    reboot_command: Argv = ("/usr/bin/systemctl", "reboot")
    transport: str = (
        "ssh -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=5"
        " -o ServerAliveCountMax=6 -o ControlMaster=no -o ControlPath=none"
    )
    systemd_run: tuple[str, ...] = ()  # set: steps start as units of their own
    python: str | None = None  # for the step runner; default: the interpreter of the agent

    auto_dir: str = "/etc/xen/auto"
    aside_dir: str = "/etc/xen/auto.away"  # where links of guests that moved away are put
    save_dir: str = "/var/lib/xen/save"
    xendomains_defaults: str = "/etc/default/xendomains"
    config_dirs: tuple[str, ...] = ("/etc/xen", "/etc/xen/auto")
    payload_dir: str = "/var/lib/xen/livepatch"
    net_dir: str = "/sys/class/net"
    xl_log_dir: str = "/var/log/xen"  # of xl's monitors; `console/` below it: consoles
    proc_dir: str = "/proc"  # of the machine, not below `root`
    receiver: str | None = None  # path of the `xl` that receives here; default: any named xl
    boot_id_path: str = "/proc/sys/kernel/random/boot_id"

    storage: tuple[Storage, ...] = (
        Storage(prefix="/dev/disk/by-path/ip-", tag="storage:iscsi"),
        Storage(prefix="/dev/rbd/", tag="storage:rbd"),
    )
    default_bridge: str = "xenbr0"
    extra_offers: tuple[str, ...] = ()
    service_domains: tuple[str, ...] = ()  # names in `xl list` that are part of the host

    report_interval_s: float = Field(default=5.0, gt=0)
    least_gap_s: float = Field(default=0.2, ge=0)  # between two looks, however often woken
    config_age_s: float = Field(default=60.0, ge=0)  # `xl list -l` at least this often
    xl_timeout_s: float = Field(default=30.0, gt=0)  # of commands that only read
    disk_limit_s: float = Field(default=5.0, gt=0)  # a disk that says nothing for so long is gone
    stop_wait_s: float = Field(default=300.0, gt=0)  # how long `xl shutdown -w` is waited for
    reboot_linger_s: float = Field(default=900.0, gt=0)  # how long a reboot may take to begin
    livepatch_tries: int = Field(default=5, ge=1)
    start_limit_s: float = Field(default=60.0, gt=0)  # for a step runner to come up
    poll_s: float = Field(default=0.25, gt=0)  # how often a waiting job looks at its journal
    watch_poll_s: float = Field(default=0.1, gt=0)  # the same for a move, whose blackout it tells
    watch_far_s: float = Field(default=2.0, gt=0)  # `xl list` so often in a move's first round
    watch_near_s: float = Field(default=0.2, gt=0)  # and after that
    keep_journals_days: float = Field(default=30.0, gt=0)
    workers: int = Field(default=3, ge=1, le=64)

    def path(self, path: str) -> Path:
        """A path of the host, below `root`."""
        return Path(self.root) / path.lstrip("/")

    @property
    def state(self) -> Path:
        """Where the agent keeps its journal; not below `root`."""
        return Path(self.state_dir)


def load(path: Path) -> Settings:
    """Read and check a settings file. Raises SettingsError."""
    try:
        with path.open("rb") as file:
            return Settings.model_validate(tomllib.load(file))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: is not TOML: {error}") from None
    except ValidationError as error:
        problems = [_problem(path, e["loc"], e["msg"]) for e in error.errors()]
        raise SettingsError("; ".join(problems)) from None


def _problem(path: Path, where: tuple[int | str, ...], message: str) -> str:
    return f"{path}: {'.'.join(map(str, where)) or 'file'}: {message}"
