"""What comes from Debian, by the sources that this machine's own apt is configured with."""

import re
from collections.abc import Iterable
from pathlib import Path

from deploy.lab.errors import LabError
from deploy.lab.tools import output, run

# Recorded for a cache key: what decides which packages an image is made of.
SUITE = "bookworm"
USERLAND = (
    "xen-utils-4.17",
    "openssh-server",
    "openssh-client",
    "iproute2",
    "kmod",
    "mount",
    "bridge-utils",
    "busybox-static",
    "procps",
    "iputils-ping",
    "ethtool",
    "e2fsprogs",
    "python3",
    "python3-venv",
)
LEFT_OUT = ("doc", "man", "locale", "info", "lintian")


def candidates(packages: Iterable[str]) -> dict[str, str]:
    """package -> the version that apt would install; raises LabError where it knows none."""
    wanted = list(packages)
    listing = output(["apt-cache", "policy", *wanted])
    found = dict(re.findall(r"^(\S+):\n.*\n  Candidate: (\S+)$", listing, re.MULTILINE))
    for package in wanted:
        if found.get(package, "(none)") == "(none)":
            raise LabError(f"apt knows no package {package}; run `apt-get update` first")
    return {package: found[package] for package in wanted}


def kernel_package() -> str:
    """The package that holds Debian's newest 6.1 kernel, behind the empty linux-image-amd64."""
    listing = output(["apt-cache", "depends", "--important", "linux-image-amd64"])
    names = re.findall(r"Depends: (linux-image-6\.1\.\S+-amd64)\b", listing)
    if not names:
        raise LabError("apt's linux-image-amd64 names no 6.1 kernel; the lab needs Debian 12")
    return str(max(names, key=lambda name: [int(part) for part in re.findall(r"\d+", name)]))


def download(packages: dict[str, str], folder: Path, log: Path) -> None:
    """Each package, unpacked, as folder/PACKAGE/."""
    wanted = [f"{name}={version}" for name, version in packages.items()]
    run(["apt-get", "-o", "APT::Sandbox::User=root", "download", *wanted], log, cwd=folder)
    for name in packages:
        [archive] = folder.glob(f"{name}_*.deb")
        run(["dpkg-deb", "-x", str(archive), str(folder / name)], log)
        archive.unlink()


def source_files() -> list[str]:
    """The files in which apt's Debian sources stand (others may stand beside them)."""
    entries = output(
        ["apt-get", "indextargets", "--format", "$(SOURCESENTRY)",
         "Created-By: Packages", "Origin: Debian"]
    )  # fmt: skip
    files = sorted({entry.rsplit(":", 1)[0] for entry in entries.split()})
    if not files:
        raise LabError("apt has no Debian sources; run `apt-get update` first")
    return files


def userland(archive: Path, log: Path) -> None:
    """A dom0's userland as a tar archive, made by mmdebstrap."""
    dates = [
        line
        for line in output(["apt-config", "dump"]).splitlines()
        if line.startswith(("Acquire::Check-Valid-Until ", "Acquire::Check-Date "))
    ]
    options = ['APT::Install-Recommends "false"', *(line.rstrip(";") for line in dates)]
    run(
        [
            "mmdebstrap", "--mode=root", "--variant=essential", f"--include={','.join(USERLAND)}",
            *(f"--aptopt={option}" for option in options),
            *(f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in LEFT_OUT),
            SUITE, str(archive), *source_files(),
        ],
        log,
    )  # fmt: skip
