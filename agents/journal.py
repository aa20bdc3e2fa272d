"""What happened to each attempt on this host, from its disk alone.

A directory for each attempt: `order.json` (as ordered), `spec.…` (what to run), `started.json`
(durable before the first command starts), `child.json` (the command's process), `out.log`,
`err.log`, `exit.json` or `refused.json`. The file `lock` is held by the supervisor and by its
commands, so that the kernel, not a pid, tells whether one of them lives.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import struct
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agents import steprun
from agents.blackout import Watch, blackout
from agents.transport import written_below
from agents.wire import Attempt, AttemptState, Kind, Order, RefusalCode

TAIL_CHARS = 8000
ATTEMPT_ID = re.compile(r"[A-Za-z0-9_-]{1,160}")


class JournalError(Exception):
    """A journal cannot be written or read; the text names the file."""


class Journal:
    """All attempts below one state directory. Holds no state of its own."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir

    def directory(self, attempt_id: str) -> Path:
        """Where an attempt's files are. Raises JournalError for what is no attempt's id."""
        if not ATTEMPT_ID.fullmatch(attempt_id):
            raise JournalError(f"{attempt_id[:80]!r} is no attempt id")
        return self.state_dir / "attempts" / attempt_id

    @property
    def host_lock(self) -> Path:
        """Shared by everything that works on guests, exclusive for a reboot."""
        return self.state_dir / "locks" / "host"

    @property
    def payloads_lock(self) -> Path:
        """One payload is loaded or reverted at a time."""
        return self.state_dir / "locks" / "payloads"

    def guest_lock(self, uuid: str) -> Path:
        """One attempt at a time works on a guest."""
        return self.state_dir / "locks" / f"guest-{uuid}"

    def epoch_file(self, rollout_id: str) -> Path:
        """Holds the newest life of a rollout that ever started a step here, in digits."""
        return self.state_dir / "epochs" / rollout_id

    def record(self, order: Order) -> Path:
        """Put the order down; it is known from now on, and not started. Raises JournalError."""
        directory = self.directory(order.attempt_id)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            steprun.write_durably(f"{directory}/order.json", order.model_dump(mode="json"))
        except OSError as error:
            raise JournalError(f"{directory}: cannot be written: {error.strerror}") from None
        return directory

    def refuse(self, attempt_id: str, code: RefusalCode, reason: str) -> bool:
        """Say for ever that it does not start here. False if it has started, or is starting."""
        directory = self.directory(attempt_id)
        fd = steprun.open_lock(f"{directory}/lock")
        try:
            if not steprun.lock(fd, True) or _is_settled(directory):
                return False
            steprun.refuse(str(directory), code.value, reason)
            return True
        finally:
            os.close(fd)

    def order(self, attempt_id: str) -> Order | None:
        """As it was recorded; None where none was. Raises JournalError."""
        found = read_record(self.directory(attempt_id) / "order.json")
        try:
            return None if found is None else Order.model_validate(found)
        except ValidationError:  # recorded by an agent of another age
            return None

    def state(self, attempt_id: str, boot_id: str) -> AttemptState | None:
        """How far it has come; None if it has not started (or is about to)."""
        directory = self.directory(attempt_id)
        if (directory / "refused.json").exists():
            return AttemptState.REFUSED
        started = read_record(directory / "started.json")
        if started is None:
            return None
        if (directory / "exit.json").exists():
            return AttemptState.ENDED
        if started.get("boot_id") != boot_id:
            reboot = started.get("kind") == Kind.REBOOT
            return AttemptState.ENDED if reboot else AttemptState.UNKNOWN
        if held(directory / "lock") or _child_lives(directory):
            return AttemptState.RUNNING
        # It may have ended between the two looks.
        return AttemptState.ENDED if (directory / "exit.json").exists() else AttemptState.UNKNOWN

    def attempt(self, attempt_id: str, boot_id: str) -> Attempt | None:
        """Everything known of an attempt; None if it has not started and was not refused."""
        state = self.state(attempt_id, boot_id)
        if state is None:
            return None
        directory = self.directory(attempt_id)
        order = read_record(directory / "order.json") or {}
        started = read_record(directory / "started.json") or {}
        ended = read_record(directory / "exit.json") or {}
        refused = read_record(directory / "refused.json") or {}
        return _checked(
            directory,
            {
                "attempt_id": attempt_id,
                "kind": order.get("kind") or started.get("kind"),
                "state": state,
                "refusal": refused.get("code"),
                "reason": str(refused.get("reason") or started.get("untold") or "")[:2000],
                "guest": order.get("guest"),
                "guest_uuid": order.get("guest_uuid"),
                "domid": started.get("domid"),
                "boot_id": started.get("boot_id", ""),
                "exit_code": ended.get("exit_code"),
                "started_at": started.get("started_at"),
                "ended_at": ended.get("ended_at"),
                "bytes_sent": None if state is not AttemptState.RUNNING else sent_bytes(directory),
                "output_tail": said(directory),
                "tuning": started.get("tuning"),
                "blackout": blackout(watch_of(directory)),
            },
        )

    def ids(self) -> list[str]:
        """Every attempt that has a folder, in the order of their names."""
        base = self.state_dir / "attempts"
        names = sorted(os.listdir(base)) if base.is_dir() else []
        return [name for name in names if ATTEMPT_ID.fullmatch(name)]

    def attempts(self, ordered: frozenset[str], boot_id: str) -> Iterator[Attempt]:
        """Those that have an order, and those that run whether they have one or not."""
        for attempt_id in self.ids():
            if attempt_id not in ordered and _is_over(self.directory(attempt_id)):
                continue
            attempt = self.attempt(attempt_id, boot_id)
            if attempt and (attempt_id in ordered or attempt.state is AttemptState.RUNNING):
                yield attempt

    def running(self, boot_id: str) -> list[Attempt]:
        """The attempts whose command has begun in this boot and has not ended."""
        return [a for a in self.attempts(frozenset(), boot_id) if a.state is AttemptState.RUNNING]

    def prune(self, ordered: frozenset[str], older_than_s: float, now_s: float) -> list[str]:
        """Remove journals that are over and old, never one whose order still exists."""
        removed = []
        for attempt_id in self.ids():
            directory = self.directory(attempt_id)
            old = directory.stat().st_mtime < now_s - older_than_s
            if old and attempt_id not in ordered and not held(directory / "lock"):
                shutil.rmtree(directory)
                removed.append(attempt_id)
        return removed


def _checked(directory: Path, fields: dict[str, Any]) -> Attempt:
    try:
        return Attempt.model_validate(fields)
    except ValidationError as error:
        raise JournalError(f"{directory}: makes no sense: {error.errors()[0]['msg']}") from None


def held(path: Path) -> bool:
    """Whether somebody holds this lock. Asks without taking it."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        question = struct.pack(steprun.FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        answer: tuple[int, ...] = struct.unpack(
            steprun.FLOCK, fcntl.fcntl(fd, fcntl.F_OFD_GETLK, question)
        )
        return answer[0] != fcntl.F_UNLCK
    finally:
        os.close(fd)


def _is_settled(directory: Path) -> bool:
    names = ("started.json", "exit.json", "refused.json")
    return any((directory / name).exists() for name in names)


def _is_over(directory: Path) -> bool:
    return (directory / "exit.json").exists() or (directory / "refused.json").exists()


def _child_lives(directory: Path) -> bool:
    """The command's own process, by pid and the moment it began, so that no pid is mistaken."""
    child = read_record(directory / "child.json")
    if child is None:
        return False
    try:
        return bool(steprun.start_ticks(child["pid"]) == child["start_ticks"])
    except (OSError, LookupError):
        return False


def read_record(path: Path) -> dict[str, Any] | None:
    """A file of a journal; None if there is none. Raises JournalError."""
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise JournalError(f"{path}: cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise JournalError(f"{path}: expected an object")
    return found


def said(directory: Path) -> str:
    """The end of what the command of an attempt has said."""
    try:
        with (directory / "err.log").open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_CHARS))
            return file.read().decode(errors="replace")[-TAIL_CHARS:]
    except FileNotFoundError:
        return ""


def sent_bytes(directory: Path) -> int | None:
    """What the transport of a running move has written so far; None where nobody can tell."""
    child = read_record(directory / "child.json")
    if child is None or not _child_lives(directory):
        return None
    return written_below(int(child["pid"]))


def watch_of(directory: Path) -> Watch:
    """What was seen of a move while it ran (`agents.watch_move`); empty where nothing was."""
    try:
        return Watch(**json.loads((directory / "watch.json").read_text()))
    except (OSError, ValueError, TypeError):  # none, or of another age of this program
        return Watch()


def keep_watch(directory: Path, watch: Watch) -> None:
    """Whole or not at all; lost with the power, which ends the move too. Raises OSError."""
    aside = directory / f"watch.json.{os.getpid()}"
    aside.write_text(json.dumps(asdict(watch)))
    os.rename(aside, directory / "watch.json")


def wait_until_settled(journal: Journal, attempt_id: str, limit_s: float, poll_s: float) -> bool:
    """Whether `started.json` or `refused.json` appeared in time."""
    directory, end = journal.directory(attempt_id), time.monotonic() + limit_s
    while not _is_settled(directory):
        if time.monotonic() > end:
            return False
        time.sleep(poll_s)
    return True
