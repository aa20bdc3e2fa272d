"""Running outside programs: each with its own log, each failure with one clear line."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.lab.errors import LabError

INSTALL_HINT = "deploy/lab/install-host-packages.sh installs it"
TAIL_LINES = 12
# Escape sequences (ECMA-48) and other control characters, but for the ends of lines.
CONTROL = r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]"

Say = Callable[[str], None]


def tail(path: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log, indented; empty where there is no log."""
    if not path.exists():
        return ""
    return last(path.read_bytes()[-20_000:].decode(errors="replace"), lines)


def last(text: str, lines: int = TAIL_LINES) -> str:
    """The last lines that say something, indented, without what steers a terminal."""
    said = [line.rstrip() for line in re.sub(CONTROL, "", text).splitlines()]
    return "\n".join(f"    {line}" for line in [line for line in said if line][-lines:])


def find(program: str) -> str:
    """The program's path; raises LabError with the way to get it."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise LabError(f"{program} is not installed; {INSTALL_HINT}")
    return found


def run(
    argv: Sequence[str],
    log: Path,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Runs argv with its output added to `log`; raises LabError when it ends with a failure."""
    with log.open("ab") as output:
        output.write(f"$ {' '.join(argv)}\n".encode())
        output.flush()
        command = [find(argv[0]), *argv[1:]]
        done = subprocess.run(
            command,
            cwd=cwd,
            env=None if env is None else {**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode != 0:
        raise LabError(f"{argv[0]} failed with exit code {done.returncode}; see {log}", tail(log))


def output(argv: Sequence[str]) -> str:
    """What argv prints; raises LabError when it fails."""
    done = subprocess.run([find(argv[0]), *argv[1:]], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"{' '.join(argv)} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


@contextmanager
def timed(say: Say, what: str) -> Iterator[None]:
    """Says what is being done, then how long it took."""
    say(f"{what} ...")
    started = time.monotonic()
    yield
    say(f"{what}: {time.monotonic() - started:.0f} s")
