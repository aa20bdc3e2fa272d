"""Commands in a dom0, from outside, over one ssh connection per host that stays open.

A new connection costs 4 to 11 s under emulation, so ssh's own multiplexing is used.
"""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.lab.errors import LabError
from deploy.lab.images import Images
from deploy.lab.layout import Host

CONNECT_TIMEOUT_S = 20
SSH_FAILED = 255


@dataclass(frozen=True, slots=True)
class Result:
    """What a command in dom0 did."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Remote:
    """The way into one dom0."""

    host: Host
    key: Path
    known_hosts: Path

    def options(self, *, shared: bool = True) -> list[str]:
        """ssh's options; shared=False asks for a connection of its own."""
        control = ["-o", "ControlMaster=auto", "-o", "ControlPersist=600",
                   "-o", f"ControlPath={self.host.folder}/ssh"]  # fmt: skip
        return [
            "-F", "none", "-i", str(self.key), "-o", "IdentitiesOnly=yes",
            "-o", "BatchMode=yes", "-o", "LogLevel=ERROR",
            "-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={self.known_hosts}",
            "-o", "GlobalKnownHostsFile=none", "-o", "HostKeyAlias=lab",
            "-o", "KexAlgorithms=curve25519-sha256", "-o", "Ciphers=aes128-gcm@openssh.com",
            "-o", f"ConnectTimeout={CONNECT_TIMEOUT_S}",
            "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=4",
            *(control if shared else ["-o", "ControlPath=none"]),
        ]  # fmt: skip

    def argv(self, command: str, *, shared: bool = True) -> list[str]:
        """The ssh command that runs `command` in dom0's shell."""
        port = ["-p", str(self.host.ssh_port)]
        return ["ssh", *self.options(shared=shared), *port, "root@127.0.0.1", "--", command]

    def run(self, command: str, *, timeout_s: float = 120.0, stdin: str = "") -> Result:
        """Runs `command`, whatever its exit code; LabError only if dom0 cannot be reached."""
        try:
            done = subprocess.run(
                self.argv(command),
                input=stdin,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            raise LabError(f"{self.host.name}: {command!r} took over {timeout_s:g} s") from late
        if done.returncode == SSH_FAILED:
            raise LabError(f"{self.host.name} is not reached by ssh: {done.stderr.strip()}")
        return Result(done.returncode, done.stdout, done.stderr)

    def check(self, command: str, *, timeout_s: float = 120.0, stdin: str = "") -> str:
        """What `command` prints; raises LabError when it fails."""
        done = self.run(command, timeout_s=timeout_s, stdin=stdin)
        if done.code != 0:
            said = done.err.strip() or done.out.strip()
            raise LabError(f"{self.host.name}: {command!r} ended with {done.code}: {said}")
        return done.out

    def push(self, files: Sequence[Path], folder: str) -> None:
        """Copies files (or folders) into a folder of dom0, which is made if need be."""
        for file in files:
            if not file.exists():
                raise LabError(f"{file} does not exist")
            self._push_one(file.resolve(), folder)

    def _push_one(self, file: Path, folder: str) -> None:
        pack = ["tar", "-C", str(file.parent), "-cf", "-", "--", file.name]
        command = f"mkdir -p '{folder}' && tar -C '{folder}' --no-same-owner -xf -"
        with subprocess.Popen(pack, stdout=subprocess.PIPE) as packing:
            done = subprocess.run(self.argv(command), stdin=packing.stdout, check=False)
        if packing.returncode != 0 or done.returncode != 0:
            raise LabError(f"{file} could not be copied to {self.host.name}:{folder}")

    def boot_id(self) -> str:
        """dom0's boot id; another one means that Xen, too, has been booted anew."""
        return self.check("cat /proc/sys/kernel/random/boot_id").strip()


def remote(host: Host, images: Images) -> Remote:
    return Remote(host, images.client_key, images.known_hosts)


def disconnect(host: Host) -> None:
    """Closes the shared connection, before the host goes away; harmless where there is none."""
    if (host.folder / "ssh").exists():
        argv = ["ssh", "-F", "none", "-o", f"ControlPath={host.folder}/ssh", "-O", "exit", "lab"]
        subprocess.run(argv, capture_output=True, check=False)
        (host.folder / "ssh").unlink(missing_ok=True)
