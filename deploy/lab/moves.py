"""`xl migrate` as the product calls it, for tests of the lab itself and for recordings."""

import shlex
import subprocess
import time
from dataclasses import dataclass

from deploy.lab.remote import Remote

TRANSPORT = (
    "ssh -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=5 "
    "-o ServerAliveCountMax=6 -o ControlMaster=no"
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one `xl migrate` said: its exit code, both ends' words, how long it took."""

    code: int
    out: str
    err: str
    seconds: float


def command(name: str, destination: str, transport: str = TRANSPORT) -> str:
    """The shell command; the domain is named by its number, as digits are taken for one anyway."""
    return f'exec xl migrate -s {shlex.quote(transport)} "$(xl domid {name})" {destination}'


def migrate(remote: Remote, name: str, destination: str, *, timeout_s: float = 600.0) -> Attempt:
    """Migrates the guest from this host; whatever comes out of it is the answer."""
    started = time.monotonic()
    done = remote.run(command(name, destination), timeout_s=timeout_s)
    return Attempt(done.code, done.out, done.err, time.monotonic() - started)


def begin(remote: Remote, name: str, destination: str) -> subprocess.Popen[str]:
    """Starts a migration and returns at once, for whoever wants to disturb it."""
    return subprocess.Popen(
        remote.argv(command(name, destination)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
