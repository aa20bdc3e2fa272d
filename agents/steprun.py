"""Runs the commands of one attempt, at most once. Standard library only.

    python -I -S steprun.py DIRECTORY SPEC [--stay]

`DIRECTORY` is the attempt's journal, `SPEC` a file in it:

    {"commands": [{"argv": [...], "tries": 1, "retry_code": null, "limit_s": null}, ...],
     "locks": [{"path": "...", "exclusive": true}, ...],   held from before the start to the end
     "inherit_locks": true,                                by the commands too
     "epoch": {"path": "...", "value": 3},                 older epochs are refused
     "boot_id_path": "...", "linger_s": null, ...}         everything is copied to started.json

It is started by file path and isolated, so that an upgrade of the agent cannot break one that runs.
It writes `started.json` durably before the first command starts, and `exit.json` after the last
one ended; or `refused.json`, and starts nothing. Unless `--stay` is given it returns as soon as
one of the three is on disk, and goes on in a process of its own.

The commands inherit the locks, so that the kernel keeps them for as long as this program or a
command lives. Where they must not (a command that leaves a daemon behind), the command's process
stands in `child.json` before it becomes the command.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import struct
import sys
import time
from datetime import UTC, datetime
from typing import Any, NoReturn

Spec = dict[str, Any]

FLOCK = "hhqqi4x"  # struct flock: type, whence, start, length, pid
RETRY_PAUSE_S = 0.5
NOT_RUN = 127


def lock(fd: int, exclusive: bool) -> bool:
    """Take a lock that belongs to the open file, so that children keep it. False if held."""
    kind = fcntl.F_WRLCK if exclusive else fcntl.F_RDLCK
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack(FLOCK, kind, os.SEEK_SET, 0, 0, 0))
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def write_durably(path: str, value: Spec) -> None:
    """The file is there whole, or not at all, even if the power fails."""
    temporary = f"{path}.{os.getpid()}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, path)
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def open_lock(path: str) -> int:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def read_text(path: str) -> str:
    with open(path) as file:
        return file.read().strip()


def now() -> str:
    return datetime.now(UTC).isoformat()


def admit(epoch: Spec) -> bool:
    """Whether no newer life of the rollout is known; remembers this one. Under a lock."""
    fd = open_lock(epoch["path"])
    try:
        while not lock(fd, True):
            time.sleep(0.01)
        known = int(os.pread(fd, 40, 0) or b"0")
        if epoch["value"] > known:
            os.ftruncate(fd, 0)
            os.pwrite(fd, str(epoch["value"]).encode(), 0)
            os.fsync(fd)
        return bool(epoch["value"] >= known)
    finally:
        os.close(fd)


def begin(directory: str, spec_name: str) -> tuple[Spec, list[int]] | None:
    """Locks held and `started.json` written: (spec, lock descriptors). None if nothing may run."""
    attempt = open_lock(f"{directory}/lock")
    done = ("started.json", "exit.json", "refused.json")
    if not lock(attempt, True) or any(os.path.exists(f"{directory}/{name}") for name in done):
        return None
    with open(f"{directory}/{spec_name}") as file:
        spec: Spec = json.load(file)
    fds = [attempt]
    for one in spec["locks"]:
        fds.append(open_lock(one["path"]))
        if not lock(fds[-1], one["exclusive"]):
            what = os.path.basename(one["path"])
            refuse(directory, "busy", f"another attempt holds {what}")
            return None
    if not admit(spec["epoch"]):
        refuse(directory, "stale", "this host knows a newer life of the rollout")
        return None
    started = {**spec, "started_at": now(), "boot_id": read_text(spec["boot_id_path"])}
    write_durably(f"{directory}/started.json", started)
    return spec, fds


def refuse(directory: str, code: str, reason: str) -> None:
    refused = {"code": code, "reason": reason, "at": now()}
    write_durably(f"{directory}/refused.json", refused)


def start_ticks(pid: int) -> int:
    """When a process began, in clock ticks since boot: with its pid, a name nobody else has.

    Raises ProcessLookupError if it has ended, OSError if it is gone.
    """
    fields = read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if fields[0] in "ZX":
        raise ProcessLookupError(pid)
    return int(fields[19])


def become(argv: list[str], directory: str, fds: list[int]) -> NoReturn:
    """In the child: note who we are, then turn into the command, with or without the locks."""
    try:
        pid = os.getpid()
        child = f"{directory}/child.json"
        with open(f"{child}.{pid}", "w") as file:
            json.dump({"pid": pid, "start_ticks": start_ticks(pid)}, file)
        os.rename(f"{child}.{pid}", child)
        for fd in fds:
            os.set_inheritable(fd, True)
        for name, number in (("/dev/null", 0), ("out.log", 1), ("err.log", 2)):
            path = name if number == 0 else f"{directory}/{name}"
            flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND
            os.dup2(os.open(path, flags, 0o600), number)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.execvpe(argv[0], argv, {**os.environ, "LC_ALL": "C"})
    except OSError as error:
        os.write(2, f"{argv[0]}: cannot be run: {error.strerror}\n".encode())
    os._exit(NOT_RUN)


def wait_for(pid: int, limit_s: float | None) -> int:
    """Its exit code, negative for a signal. A command that only waits may have a limit."""
    end = None if limit_s is None else time.monotonic() + limit_s
    while True:
        found, status = os.waitpid(pid, 0 if end is None else os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if end is not None and time.monotonic() > end:
            os.kill(pid, signal.SIGTERM)
            end = None
        time.sleep(0.05)


def run_one(command: Spec, directory: str, fds: list[int]) -> int:
    code = 0
    for _ in range(command["tries"]):
        pid = os.fork()
        if pid == 0:
            become(command["argv"], directory, fds)
        code = wait_for(pid, command["limit_s"])
        if code != command["retry_code"]:
            break
        time.sleep(RETRY_PAUSE_S)
    return code


def run_all(directory: str, spec: Spec, fds: list[int]) -> None:
    """Every command until one fails, then `exit.json`. `fds`: the attempt's lock comes first."""
    code = 0
    for command in spec["commands"]:
        code = run_one(command, directory, fds if spec["inherit_locks"] else [])
        if code != 0:
            break
    if code == 0 and spec["linger_s"] is not None:
        linger(spec)
    for fd in fds[1:]:  # before anybody can know that it ended, and order the next step
        os.close(fd)
    write_durably(f"{directory}/exit.json", {"exit_code": code, "ended_at": now()})


def linger(spec: Spec) -> None:
    """A reboot goes on after its command: keep the locks until this process dies with the host."""
    booted = boot = read_text(spec["boot_id_path"])
    end = time.monotonic() + spec["linger_s"]
    while time.monotonic() < end and boot == booted:
        time.sleep(0.2)
        boot = read_text(spec["boot_id_path"])


def main(argv: list[str]) -> None:
    directory, spec_name = os.path.abspath(argv[0]), argv[1]
    begun = begin(directory, spec_name)
    if begun is None:
        return
    if "--stay" not in argv:
        if os.fork():
            os._exit(0)
        os.setsid()
    spec, fds = begun
    run_all(directory, spec, fds)


if __name__ == "__main__":
    main(sys.argv[1:])
