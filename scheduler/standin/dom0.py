"""What every program of a simulated dom0 knows: its world, its host, the boot it belongs to."""

from __future__ import annotations

import os

from scheduler.standin.store import Change, HostGone, World, look, replace_file, write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from scheduler.standin.store import Domain, State

SIGKILL = 9


class Exit(Exception):
    """Leave the program with this exit code; what it had to say is said already."""

    def __init__(self, code: int) -> None:
        self.code = code


class Dom0:
    """One program's view of its host, from its start on."""

    def __init__(self, world_dir: str, host: str) -> None:
        self.world = World(world_dir)
        self.host = host
        self.first = look(self.world, host)
        if self.first["power"] != "on":
            raise HostGone(host)
        self.generation: int = self.first["generation"]

    def state(self) -> State:
        """The host's state now; HostGone if the power went meanwhile."""
        state = look(self.world, self.host)
        if state["generation"] != self.generation:
            raise HostGone(self.host)
        return state

    def change(self) -> Change:
        return Change(self.world, self.host, self.generation)

    @property
    def root(self) -> str:
        """The folder that stands for this host's `/`."""
        return f"{self.world.host_dir(self.host)}/root"

    def register(self) -> None:
        """Let `power_off` find this process; for programs that live longer than a moment."""
        register_process(self.world, self.host, os.getpid())
        _registered.append((self.world, self.host))


_registered: list[tuple[World, str]] = []


def start_ticks(pid: int) -> str:
    """When a process started, in the kernel's clock ticks: tells it from a later one of its pid."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def register_process(world: World, host: str, pid: int) -> None:
    replace_file(f"{world.host_dir(host)}/run/{pid}", start_ticks(pid))


def forget_process(world: World, host: str, pid: int) -> None:
    try:
        os.unlink(f"{world.host_dir(host)}/run/{pid}")
    except FileNotFoundError:
        return


def default_sigpipe() -> None:
    """Die of a broken pipe, as C programs do (Python ignores the signal)."""
    import _signal  # type: ignore[import-not-found]  # the module `signal` would cost as much as all the rest

    _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)


def on_sigterm(handler: Callable[..., object]) -> None:
    import _signal

    _signal.signal(_signal.SIGTERM, handler)


def say(text: str) -> None:
    """To stdout, at once."""
    write_all(1, text.encode())


def complain(text: str) -> None:
    """To stderr, at once: both ends of a migration write there, so nothing may wait in a buffer.

    As with C's stderr, it does not matter whether anybody listens.
    """
    try:
        write_all(2, text.encode())
    except BrokenPipeError:
        return


def run(program: Callable[[], int]) -> NoReturn:
    """Run a stand-in program to its end.  A process of a host without power dies without a word."""
    try:
        code = program()
    except Exit as end:
        code = end.code
    except HostGone:
        os.kill(os.getpid(), SIGKILL)
        raise
    except BrokenPipeError:
        code = 1
    for world, host in _registered:
        forget_process(world, host, os.getpid())
    os._exit(code)


def find_domain(state: State, word: str) -> Domain:
    """The domain that `word` means (digits are a domid, all else a name); Exit(1) if none."""
    found = [
        d for d in state["domains"] if word == (str(d["domid"]) if word.isdigit() else d["name"])
    ]
    if found:
        domain: Domain = found[0]
        return domain
    complain(f"{word} is an invalid domain identifier (rc=-6)\n")
    raise Exit(1)


def parse_options(
    command: str, words: list[str], letters: str, long: dict[str, str], required: int
) -> tuple[dict[str, Any], list[str]]:
    """getopt_long as xl uses it: ({letter: value or True}, other words); Exit(2) on a bad one."""
    options: dict[str, Any] = {}
    rest: list[str] = []
    words = list(words)
    while words:
        word = words.pop(0)
        if word == "--":
            rest += words
            break
        if word.startswith("--"):
            _long_option(command, word[2:], words, letters, long, options)
        elif word.startswith("-") and word != "-":
            _short_options(command, word[1:], words, letters, options)
        else:
            rest.append(word)
    if len(rest) < required:
        plural = "s" if required > 1 else ""
        complain(f"'xl {command}' requires at least {required} argument{plural}.\n\n")
        _help(command, 2)
    return options, rest


def _long_option(
    command: str,
    name: str,
    words: list[str],
    letters: str,
    long: dict[str, str],
    options: dict[str, Any],
) -> None:
    name, equals, value = name.partition("=")
    letter = {"help": "h", **long}.get(name)
    if letter == "h":
        _help(command, 0)
    if letter is None:
        complain("option `\0' not supported.\n")
        raise Exit(2)
    if f"{letter}:" in letters:
        options[letter] = value if equals else (words.pop(0) if words else "")
    else:
        options[letter] = True


def _short_options(
    command: str, cluster: str, words: list[str], letters: str, options: dict[str, Any]
) -> None:
    while cluster:
        letter, cluster = cluster[0], cluster[1:]
        if letter == "h" and "h" not in letters:
            _help(command, 0)
        if letter == ":" or letter not in letters:
            complain(f"option `{letter}' not supported.\n")
            raise Exit(2)
        if f"{letter}:" not in letters:
            options[letter] = True
            continue
        if not cluster and not words:
            complain(f"option `{letter}' not supported.\n")
            raise Exit(2)
        options[letter] = cluster or words.pop(0)
        return


def _help(command: str, code: int) -> NoReturn:
    from scheduler.standin.xl_help import print_help

    print_help(command)
    raise Exit(code)
