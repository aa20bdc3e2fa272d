"""What dom0's files say: boot id, bridges, storage, receivers, what would start guests at boot."""

from __future__ import annotations

import glob
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agents.settings import Settings
from agents.wire import BootStart

BOOT_ID = re.compile(r"[0-9a-f-]{8,64}")
NAME_LINE = re.compile(r"""^\s*name\s*=\s*(?P<quote>["'])(?P<value>.*?)(?P=quote)""", re.M)
UUID_LINE = re.compile(
    r"""^\s*uuid\s*=\s*(?P<quote>["'])(?P<value>[0-9A-Fa-f-]{36})(?P=quote)""", re.M
)
SETTING_LINE = r"^\s*{}=[\"']?(?P<value>[^\"'\n#]*)"
LARGEST_CONFIG_BYTES = 1_000_000


class FileError(Exception):
    """A file of the host cannot be read; the text names it."""


@dataclass(frozen=True)
class GuestConfig:
    """A file that `xl create` could start a guest from."""

    path: str  # as the host sees it
    name: str
    uuid: str | None


def boot_id(settings: Settings) -> str:
    """The kernel's id of this boot. A new boot of dom0 is a new boot of Xen. Raises FileError."""
    path = settings.path(settings.boot_id_path)
    try:
        found = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"boot id: {path} cannot be read: {error}") from None
    if not BOOT_ID.fullmatch(found):
        raise FileError(f"boot id: {path} holds {found[:40]!r}")
    return found


def bridges(settings: Settings) -> tuple[str, ...]:
    """Linux bridges, and Open vSwitch bridges by their internal device's driver."""
    base = settings.path(settings.net_dir)
    if not base.is_dir():
        return ()
    return tuple(sorted(one.name for one in base.iterdir() if _is_bridge(one)))


def _is_bridge(device: Path) -> bool:
    if (device / "bridge").exists():
        return True
    try:
        return "DEVTYPE=openvswitch" in (device / "uevent").read_text()
    except (OSError, UnicodeDecodeError):
        return False


def storages(settings: Settings) -> tuple[str, ...]:
    """Tags of the shared storage that this host can reach."""
    found = set()
    for storage in settings.storage:
        pattern = storage.present if storage.present is not None else f"{storage.prefix}*"
        if glob.glob(str(settings.path(pattern))):
            found.add(storage.tag)
    return tuple(sorted(found))


def receivers(settings: Settings) -> int:
    """How many `xl migrate-receive` live and receive, by the command lines in `/proc`.

    xl leaves a monitor behind for each guest that has arrived, with the same command line; what
    it reads is `/dev/null`, and it is not counted.
    """
    return sum(
        1
        for process, argv in _command_lines(settings)
        if _receives(argv, settings.receiver) and not _reads_nothing(process)
    )


def _reads_nothing(process: Path) -> bool:
    try:
        return str((process / "fd/0").readlink()) == "/dev/null"
    except OSError:  # it ended, or nobody may see it: what may receive counts
        return False


def _receives(argv: list[str], program: str | None) -> bool:
    """`xl migrate-receive`, also behind an interpreter; not `ssh host xl migrate-receive`."""
    for index, word in enumerate(argv[:3]):
        if word == program if program else posixpath.basename(word) == "xl":
            interpreter = all(w.startswith("-") for w in argv[1:index])
            return interpreter and "migrate-receive" in argv[index + 1 :]
    return False


def _command_lines(settings: Settings) -> Iterator[tuple[Path, list[str]]]:
    for path in Path(settings.proc_dir).glob("[0-9]*/cmdline"):
        try:
            yield path.parent, path.read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it ended between the two calls
            continue


def boot_starts(settings: Settings) -> tuple[BootStart, ...]:
    """Everything that would start a guest by itself when this host boots."""
    services = tuple(_services(settings))
    return (*_auto_links(settings), *_saved_images(settings), *services)


def _auto_links(settings: Settings) -> Iterator[BootStart]:
    if not service_masked(settings, "xendomains"):
        for name in autostarted(settings):
            yield BootStart(kind="autostart", text=name[:500])


def autostarted(settings: Settings) -> tuple[str, ...]:
    """What `xendomains` would start: names of guests, or of files that name none."""
    return tuple(name for name, _ in auto_links(settings))


def auto_links(settings: Settings) -> tuple[tuple[str, Path], ...]:
    """What `xendomains` would start, each with its file."""
    base = settings.path(_defaults(settings, "XENDOMAINS_AUTO") or settings.auto_dir)
    return tuple(_named(base))


def put_aside(settings: Settings) -> tuple[str, ...]:
    """Guests whose links an agent put aside here, as they run elsewhere."""
    return tuple(name[:500] for name, _ in _named(settings.path(settings.aside_dir)))


def _named(base: Path) -> Iterator[tuple[str, Path]]:
    if not base.is_dir():
        return
    for path in sorted(one for one in base.iterdir() if not one.name.startswith(".")):
        match = NAME_LINE.search(_small_text(path))
        yield (match["value"] if match else path.name), path


def _saved_images(settings: Settings) -> Iterator[BootStart]:
    where = _defaults(settings, "XENDOMAINS_SAVE") or settings.save_dir
    base = settings.path(where)
    if base.is_dir():
        for image in sorted(one for one in base.iterdir() if one.is_file()):
            yield BootStart(kind="saved_image", text=f"{where}/{image.name}"[:500])


def _services(settings: Settings) -> Iterator[BootStart]:
    for name in ("xendomains", "libvirt-guests"):
        places = (
            f"/etc/systemd/system/*.wants/{name}.service",
            f"/etc/rc[2-5].d/S[0-9][0-9]{name}",
        )
        enabled = [p for place in places for p in glob.glob(str(settings.path(place)))]
        if enabled and not service_masked(settings, name):
            yield BootStart(kind="service", text=name)


def service_masked(settings: Settings, name: str) -> bool:
    """systemd is told never to start it."""
    unit = settings.path(f"/etc/systemd/system/{name}.service")
    return unit.is_symlink() and str(unit.readlink()) == "/dev/null"


def _defaults(settings: Settings, key: str) -> str:
    """A value of `/etc/default/xendomains`; empty where it is not set."""
    try:
        text = settings.path(settings.xendomains_defaults).read_text()
    except (OSError, UnicodeDecodeError):
        return ""
    found = re.findall(SETTING_LINE.format(key), text, re.M)
    return str(found[-1]).strip() if found else ""


def guest_configs(settings: Settings) -> tuple[GuestConfig, ...]:
    """Every file in the configuration directories that names a guest."""
    return tuple(c for where in settings.config_dirs for c in _configs_in(settings, where))


def _configs_in(settings: Settings, where: str) -> Iterator[GuestConfig]:
    base = settings.path(where)
    if not base.is_dir():
        return
    for path in sorted(base.iterdir()):
        text = _small_text(path)
        name = NAME_LINE.search(text)
        if name:
            uuid = UUID_LINE.search(text)
            yield GuestConfig(
                path=f"{where.rstrip('/')}/{path.name}",
                name=name["value"],
                uuid=uuid["value"].lower() if uuid else None,
            )


def _small_text(path: Path) -> str:
    """The text of a small file; empty for anything else."""
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_CONFIG_BYTES:
            return ""
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""


def config_for(found: tuple[GuestConfig, ...], name: str, uuid: str) -> GuestConfig | None:
    """The file to start this guest from: its name, and its UUID or none. None if two disagree."""
    fits = [c for c in found if c.name == name and c.uuid in (None, uuid)]
    exact = [c for c in fits if c.uuid == uuid] or fits
    others = [c for c in found if c.name == name and c.uuid not in (None, uuid)]
    return exact[0] if exact and (exact[0].uuid == uuid or not others) else None
