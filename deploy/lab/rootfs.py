"""The file system of a host: Debian's userland, its modules, and what the lab adds."""

import shutil
from pathlib import Path

from deploy.lab.initramfs import module_files
from deploy.lab.layout import FILES, Host
from deploy.lab.tools import run

DOM0_MODULES = (
    "xen-evtchn", "xen-gntdev", "xen-gntalloc", "xen-privcmd", "xenfs", "xen-netback",
    "xen-blkback", "virtio_pci", "virtio_blk", "virtio_net", "virtio_rng", "ext4", "bridge",
    "loop", "tun", "ip_tables", "iptable_filter", "nf_tables",
)  # fmt: skip
MODULE_INDEXES = ("modules.builtin", "modules.order", "modules.builtin.modinfo")
XL_CONF = """\
# dom0's memory is fixed on Xen's command line: nothing may shrink it, nothing waits for it.
autoballoon="0"
vif.default.script="vif-bridge"
vif.default.bridge="xenbr0"
"""
# What is cheap to emulate: the default key exchange alone takes 13 s here, this one 2 s.
SSH_CONF = """\
KexAlgorithms curve25519-sha256
Ciphers aes128-gcm@openssh.com
"""
SSHD_CONF = """\
PermitRootLogin prohibit-password
PasswordAuthentication no
UseDNS no
UsePAM no
# Ends a migration's receiver whose sender is gone.
ClientAliveInterval 5
ClientAliveCountMax 6
"""


def add_modules(kernel: Path, version: str, root: Path, log: Path) -> None:
    """The modules that a dom0 here can use: 70 of Debian's 4,000."""
    source, target = kernel / "lib/modules" / version, root / "lib/modules" / version
    run(["depmod", "-b", str(kernel), version], log)
    for file in module_files(kernel, version, DOM0_MODULES):
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place)
    for name in MODULE_INDEXES:
        shutil.copy(source / name, target)
    run(["depmod", "-b", str(root), version], log)


def make_keys(folder: Path, log: Path) -> None:
    """One key for whoever comes in (from outside, or from another host), one for all hosts."""
    for name in ("client", "host"):
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"lab-{name}",
             "-f", str(folder / name)], log)  # fmt: skip


def add_ssh(root: Path, keys: Path, hosts: tuple[Host, ...]) -> None:
    """Hosts trust each other by known keys, as they should in production: no prompt, no guess."""
    home, etc = root / "root/.ssh", root / "etc/ssh"
    home.mkdir(mode=0o700, exist_ok=True)
    _place(keys / "client", home / "id_ed25519", 0o600)
    _place(keys / "client.pub", home / "authorized_keys", 0o600)
    for old in etc.glob("ssh_host_*"):
        old.unlink()
    _place(keys / "host", etc / "ssh_host_ed25519_key", 0o600)
    _place(keys / "host.pub", etc / "ssh_host_ed25519_key.pub", 0o644)
    kind, key, _ = (keys / "host.pub").read_text().split()
    names = ",".join(name for host in hosts for name in (host.name, host.address))
    (etc / "ssh_known_hosts").write_text(f"{names} {kind} {key}\n")
    (etc / "ssh_config.d/lab.conf").write_text(SSH_CONF)
    (etc / "sshd_config.d/lab.conf").write_text(SSH_CONF + SSHD_CONF)


def _place(source: Path, target: Path, mode: int) -> None:
    shutil.copy(source, target)
    target.chmod(mode)


def add_init(root: Path, hosts: tuple[Host, ...]) -> None:
    """PID 1 is busybox: it starts, respawns, and resets the machine on `reboot`."""
    lab = root / "usr/lib/lab"
    lab.mkdir(parents=True)
    for name in ("boot", "services", "shutdown"):
        _place(FILES / f"dom0-{name}", lab / name, 0o755)
    for name in ("vif-bridge", "block"):
        _place(FILES / f"dom0-{name}", root / "etc/xen/scripts" / name, 0o755)
    for name in ("watch", "disturb", "resume"):
        _place(FILES / f"dom0_{name}.py", lab / f"{name}.py", 0o644)
    _place(FILES / "dom0-inittab", root / "etc/inittab", 0o644)
    (root / "etc/lab/services").mkdir(parents=True)
    for name in ("init", "reboot", "poweroff", "halt"):
        (root / "sbin" / name).symlink_to("/bin/busybox")
    names = "".join(f"{host.address} {host.name}\n" for host in hosts)
    (root / "etc/hosts").write_text(f"127.0.0.1 localhost\n{names}")
    (root / "etc/xen/xl.conf").write_text(XL_CONF)


def add_guest_files(root: Path, kernel: Path, initramfs: Path) -> None:
    """What every guest boots from, at the same path on every host."""
    place = root / "srv/lab"
    place.mkdir(parents=True)
    for file in (kernel / "vmlinux", kernel / "vmlinux-deaf", initramfs):
        shutil.copy(file, place)
    (root / "srv/guests").mkdir()


def make_disk(root: Path, disk: Path, size_mib: int, log: Path) -> None:
    """root as a sparse ext4 file; a small journal keeps it whole when a host loses its power."""
    with disk.open("wb") as file:
        file.truncate(size_mib << 20)
    run(["mkfs.ext4", "-q", "-F", "-J", "size=8", "-d", str(root), str(disk)], log)
