"""Which images a lab needs, what each is made from, and how they fit together."""

import gzip
import json
import re
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from deploy.lab import agent, debian, initramfs, kernel, rootfs
from deploy.lab.cache import Stage, built
from deploy.lab.errors import LabError
from deploy.lab.layout import FILES, Layout
from deploy.lab.tools import Say, output, run

DISK_MIB = 1500
XEN_PACKAGE = "xen-hypervisor-4.17-amd64"
CODE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Images:
    """Everything that QEMU is started with; `disk` is copied for each host."""

    xen: Path
    dom0_kernel: Path
    dom0_initramfs: Path
    disk: Path
    client_key: Path
    known_hosts: Path

    def check(self) -> None:
        """Raises LabError for one that is not there whole, though its folder is."""
        for path in map(Path, asdict(self).values()):
            if not path.exists() or path.stat().st_size == 0:
                raise LabError(
                    f"{path} is missing or empty; remove the folder, then it is built again: "
                    f"rm -r {path.parent}"
                )

    def save(self, file: Path) -> None:
        file.write_text(json.dumps({name: str(path) for name, path in asdict(self).items()}))


def saved(file: Path) -> Images:
    """The images that the running lab was started from; raises LabError where none was."""
    try:
        return Images(**{name: Path(path) for name, path in json.loads(file.read_text()).items()})
    except (FileNotFoundError, ValueError, TypeError) as problem:
        raise LabError("the lab was not started yet; `lab up` does it") from problem


def images(layout: Layout, say: Say) -> Images:
    """All images, built as far as their inputs have changed."""
    boot = _boot_stage(layout, say)
    keys = built(layout.cache, Stage("keys", [], _keys), say)
    guest = _guest_stage(layout, say)
    userland = _userland_stage(layout, say)
    disk = _disk_stage(layout, say, _root_stage(layout, say, boot, keys, guest, userland))
    made = Images(
        boot / "xen",
        boot / "vmlinux",
        boot / "initramfs.gz",
        disk / "disk.img",
        keys / "client",
        keys / "known_hosts",
    )
    made.check()
    return made


def _versions(packages: Iterable[str]) -> dict[str, str]:
    return debian.candidates(packages)


def _boot_stage(layout: Layout, say: Say) -> Path:
    """Xen, dom0's kernel with its modules, busybox, and the initramfs that finds the disk."""
    package = debian.kernel_package()
    packages = _versions([XEN_PACKAGE, package, "busybox-static"])
    code = [CODE / name for name in ("initramfs.py", "kernel.py", "debian.py")]
    inputs: list[str | Path] = [str(packages), FILES / "dom0-initramfs-init", *code]
    return built(layout.cache, Stage("boot", inputs, partial(_boot, packages, package)), say)


def _boot(packages: dict[str, str], package: str, folder: Path) -> None:
    log = folder / "log"
    debian.download(packages, folder, log)
    (folder / package).rename(folder / "kernel")
    [image] = (folder / "kernel/boot").glob("vmlinuz-*")
    (folder / "vmlinux").write_bytes(kernel.unpacked(image.read_bytes()))
    version = image.name.removeprefix("vmlinuz-")
    (folder / "version").write_text(version)
    [xen] = [path for path in (folder / XEN_PACKAGE / "boot").glob("xen-*.gz")]
    (folder / "xen").write_bytes(gzip.decompress(xen.read_bytes()))
    busybox = folder / "busybox-static/bin/busybox"
    run(["depmod", "-b", str(folder / "kernel"), version], log)
    work = folder / "initramfs"
    initramfs.dom0_initramfs(
        folder / "initramfs.gz", work, busybox, folder / "kernel", version, log
    )
    shutil.rmtree(work)


def _keys(folder: Path) -> None:
    rootfs.make_keys(folder, folder / "log")
    kind, key, _ = (folder / "host.pub").read_text().split()
    # ssh asks for the name given by HostKeyAlias: the lab's hosts share one address outside.
    (folder / "known_hosts").write_text(f"lab {kind} {key}\n")


def _guest_stage(layout: Layout, say: Say) -> Path:
    """The guests' kernel and userland: the one thing here that takes minutes to compile."""
    source = _versions(["linux-source-6.1"])
    config = FILES / "guest-kernel.config"
    compiler = re.sub(r"\s+", " ", output(["gcc", "-dumpfullversion"]))
    recipe: list[str | Path] = [str(source), compiler, config, CODE / "kernel.py"]
    compile_kernel = partial(_guest_kernel, source, config)
    tree = built(layout.cache, Stage("guest-kernel", recipe, compile_kernel), say)
    init = FILES / "guest-init.c"
    inputs: list[str | Path] = [init, CODE / "initramfs.py", tree.name]
    return built(layout.cache, Stage("guest", inputs, partial(_guest, tree, init)), say)


def _guest_kernel(source: dict[str, str], config: Path, folder: Path) -> None:
    log = folder / "log"
    unpacked = folder / "source"
    unpacked.mkdir()
    debian.download(source, unpacked, log)
    kernel.build_guest_kernel(unpacked, config, folder, log)
    shutil.rmtree(unpacked)


def _guest(tree: Path, init: Path, folder: Path) -> None:
    log = folder / "log"
    for name in ("vmlinux", "vmlinux-deaf"):
        shutil.copy(tree / name, folder)
    kernel.build_guest_init(init, folder / "init", log)
    work = folder / "initramfs"
    initramfs.guest_initramfs(folder / "initramfs.gz", work, folder / "init", log)
    shutil.rmtree(work)


def _userland_stage(layout: Layout, say: Say) -> Path:
    inputs: list[str | Path] = [str(_versions(debian.USERLAND)), CODE / "debian.py"]
    stage = Stage("userland", inputs, lambda f: debian.userland(f / "root.tar", f / "log"))
    return built(layout.cache, stage, say)


def _root_stage(
    layout: Layout, say: Say, boot: Path, keys: Path, guest: Path, userland: Path
) -> Path:
    """A host's whole file system, but for the project's own agent."""
    dom0_files = [file for file in sorted(FILES.glob("dom0*")) if file != agent.SERVICE]
    code = [CODE / name for name in ("rootfs.py", "agent.py", "layout.py")]
    inputs: list[str | Path] = [
        *(stage.name for stage in (boot, guest, userland)),
        keys / "host.pub",
        *dom0_files,
        *code,
        *agent.inputs(),
    ]
    build = partial(_root, layout, boot, keys, guest, userland)
    return built(layout.cache, Stage("root", inputs, build), say)


def _root(
    layout: Layout, boot: Path, keys: Path, guest: Path, userland: Path, folder: Path
) -> None:
    log, root = folder / "log", folder / "root"
    root.mkdir()
    run(["tar", "-xf", str(userland / "root.tar"), "-C", str(root)], log)
    rootfs.add_modules(boot / "kernel", (boot / "version").read_text(), root, log)
    rootfs.add_ssh(root, keys, layout.hosts)
    rootfs.add_init(root, layout.hosts)
    rootfs.add_guest_files(root, guest, guest / "initramfs.gz")
    agent.install_dependencies(root, folder, log)


def _disk_stage(layout: Layout, say: Say, tree: Path) -> Path:
    """A host's disk; the only stage that changes with the project's own code, and a quick one."""
    code = [CODE / "rootfs.py", CODE / "agent.py"]
    inputs: list[str | Path] = [tree.name, str(DISK_MIB), *code, *agent.own_inputs()]
    return built(layout.cache, Stage("disk", inputs, partial(_disk, tree)), say)


def _disk(tree: Path, folder: Path) -> None:
    log, root = folder / "log", folder / "root"
    run(["cp", "-a", "--reflink=auto", str(tree / "root"), str(root)], log)
    agent.install(root, tree / agent.BUILD_WHEELS, folder, log)
    rootfs.make_disk(root, folder / "disk.img", DISK_MIB, log)
    shutil.rmtree(root)
