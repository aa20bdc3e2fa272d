"""Xen rebuilt from Debian's source package, with shadow paging: what PV guests need to migrate.

Debian's hypervisor is built without it (`# CONFIG_SHADOW_PAGING is not set`), so PV guests there
have no log-dirty mode and cannot be live-migrated. Only the hypervisor is rebuilt; the tools in
dom0 stay Debian's, which is possible within one stable branch.
"""

import os
import re
import shutil
from functools import partial
from pathlib import Path

from deploy.lab import debian
from deploy.lab.cache import Stage, built
from deploy.lab.errors import LabError
from deploy.lab.layout import Layout
from deploy.lab.tools import Say, output, run

SERIES = "4.17"
WANTED = ("CONFIG_SHADOW_PAGING=y", "CONFIG_LIVEPATCH=y")


def xen_with_shadow_paging(layout: Layout, say: Say) -> Path:
    """A folder with `xen` (as QEMU loads it), `xen-syms` and the configuration it was built by."""
    inputs: list[str | Path] = [Path(__file__), output(["gcc", "-dumpfullversion"])]
    with_sources = layout.cache / "xen-source-lists"
    build = partial(_build, with_sources)
    return built(layout.cache, Stage("xen-shadow", inputs, build), say)


def _build(lists: Path, folder: Path) -> None:
    log = folder / "log"
    source = _source(lists, folder, log)
    tree = source / "xen"
    shutil.copy(source / "debian/xen-kconfig", tree / ".config")
    with (tree / ".config").open("a") as config:
        config.write("".join(f"{line}\n" for line in WANTED))
    make = ["make", "-s", "-C", str(tree), f"-j{os.cpu_count() or 1}", "XEN_VENDORVERSION=-lab"]
    run([*make, "olddefconfig"], log)
    configured = (tree / ".config").read_text().splitlines()
    for line in WANTED:
        if line not in configured:
            raise LabError(f"this Xen cannot be configured with {line}")
    run(make, log)
    for name in ("xen", "xen-syms", ".config"):
        shutil.copy(tree / name, folder / name.lstrip("."))
    shutil.rmtree(source)


def _source(lists: Path, folder: Path, log: Path) -> Path:
    """The newest source of the series that Debian still hands out, unpacked.

    A security update's source may be gone from the archive while its binary is still offered.
    """
    options = _source_options(lists, folder)
    run(["apt-get", *options, "update", "-q"], log)
    listing = output(["apt-cache", *options, "showsrc", "xen"])
    versions = re.findall(rf"^Version: ({re.escape(SERIES)}\S+)$", listing, re.MULTILINE)
    for version in sorted(set(versions), key=_version_key, reverse=True):
        try:
            run(["apt-get", *options, "source", "-q", "--download-only", f"xen={version}"], log,
                cwd=folder)  # fmt: skip
        except LabError:
            continue  # the log says why; the next older one is as good for this purpose
        [description] = folder.glob("xen_*.dsc")
        run(["dpkg-source", "--no-check", "-x", str(description), str(folder / "source")], log)
        return folder / "source"
    raise LabError(f"apt hands out no source of Xen {SERIES} (tried: {', '.join(versions)})")


def _version_key(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def _source_options(lists: Path, folder: Path) -> list[str]:
    """apt's own Debian sources with deb-src in place of deb, in lists of their own."""
    parts = folder / "sources"
    parts.mkdir()
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    for file in debian.source_files():
        text = Path(file).read_text()
        text = re.sub(r"^Types:.*$", "Types: deb-src", text, flags=re.MULTILINE)
        text = re.sub(r"^deb ", "deb-src ", text, flags=re.MULTILINE)
        (parts / Path(file).name).write_text(text)
    return ["-o", "Dir::Etc::SourceList=/dev/null", "-o", f"Dir::Etc::SourceParts={parts}",
            "-o", f"Dir::State::Lists={lists}", "-o", "APT::Sandbox::User=root"]  # fmt: skip
