"""Runs hooks on the control node, each in a thread of its own, and keeps what they came to.

A verdict is in the server (`xr:rollout:ID:hooks`) before anybody is told, so a controller that
starts later finds it. A hook whose controller died is ended, and started again by the next one: it
runs at least once.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import IO, cast

import redis
from redis.exceptions import RedisError

from scheduler.gates import Hook, HookStage
from scheduler.hook_warden import Warden, new_mark
from scheduler.hooking import TAIL_CHARS

MOST_AT_ONCE = 8


@dataclass(frozen=True)
class HookKey:
    """One run of one hook."""

    rollout: str
    host: str
    stage: HookStage
    number: int

    @property
    def field(self) -> str:
        """Its field in the server's hash."""
        return f"{self.stage}:{self.number}:{self.host}"


@dataclass(frozen=True)
class Verdict:
    """What a run came to; `exit_code` is None where it was ended, or could not be started."""

    exit_code: int | None
    tail: str


def verdicts_key(rollout_id: str) -> str:
    """Hash: a run's field -> its verdict, until the controller has taken it up."""
    return f"xr:rollout:{rollout_id}:hooks"


class HookRunner:
    """Runs what it is given once in its life, a few at a time; never lets its caller wait."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._pool = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="hook")
        self._given: set[HookKey] = set()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._unsaved: dict[HookKey, Verdict] = {}
        self._ended: dict[HookKey, Verdict] = {}
        self._lock = threading.Lock()
        self._warden = Warden()
        self._ending = False

    def give(self, key: HookKey, hook: Hook, document: dict[str, object]) -> None:
        """Run a hook unless this runner has had the same run before.

        One that has ended, and is wanted all the same, was lost with a server's newest writes.
        """
        if key in self._ended:
            self._unsaved[key] = self._ended[key]
        if key not in self._given:
            self._given.add(key)
            self._pool.submit(self._work, key, hook, json.dumps(document).encode())

    def verdicts(self, rollout_id: str) -> dict[str, Verdict]:
        """Every verdict that was not taken up yet, by the run's field. Raises redis errors."""
        for key, verdict in list(self._unsaved.items()):
            self._save(key, verdict)
        raw = cast("dict[bytes, bytes]", self._client.hgetall(verdicts_key(rollout_id)))
        return {name.decode(): Verdict(**json.loads(value)) for name, value in raw.items()}

    def taken(self, rollout_id: str, fields: list[str]) -> None:
        """These verdicts are in the rollout's records now. Raises redis errors."""
        self._client.hdel(verdicts_key(rollout_id), *fields)

    def close(self) -> None:
        """End the hooks that run; whoever leads next starts them again."""
        with self._lock:
            self._ending = True
            for process in self._running:
                _end(process)
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._warden.close()

    def _work(self, key: HookKey, hook: Hook, document: bytes) -> None:
        try:
            verdict = self._run(hook, document)
        except Exception as error:  # nobody sees what a thread raises: the host is held, and says
            verdict = Verdict(None, f"{hook.argv[0]}: {type(error).__name__}: {error}")
        if not self._ending:
            self._ended[key] = self._unsaved[key] = verdict
            try:
                self._save(key, verdict)
            except RedisError:
                return  # it stays in `_unsaved`: a later round of the controller writes it

    def _save(self, key: HookKey, verdict: Verdict) -> None:
        self._client.hset(verdicts_key(key.rollout), key.field, json.dumps(asdict(verdict)))
        self._unsaved.pop(key, None)

    def _run(self, hook: Hook, document: bytes) -> Verdict:
        # Files, not pipes: nobody waits for what a hook left running, and none blocks on a pipe.
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as printed:
            given.write(document)
            given.seek(0)
            mark = new_mark()
            try:
                process = self._start(hook, given, printed, mark)
            except (OSError, ValueError) as error:
                self._warden.ends(mark)
                return Verdict(None, f"{hook.argv[0]} cannot be started: {error}")
            if process is None:
                return Verdict(None, "the controller is ending")
            said = ""
            try:
                process.wait(hook.timeout_s)
            except subprocess.TimeoutExpired:
                said = f"\nended after {hook.timeout_s:g} s"
            finally:
                _end(process)
                process.wait()
                self._warden.ends(mark)
                with self._lock:
                    self._running.discard(process)
            code = None if said else process.returncode
            return Verdict(code, (_tail(printed) + said)[-TAIL_CHARS:])

    def _start(
        self, hook: Hook, given: IO[bytes], printed: IO[bytes], mark: str
    ) -> subprocess.Popen[bytes] | None:
        with self._lock:
            if self._ending:
                return None
            self._warden.up()
            self._warden.begins(mark)
            name, _, value = mark.partition("=")
            process = subprocess.Popen(
                hook.argv,
                stdin=given,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, name: value},
            )
            self._running.add(process)
            return process


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a hook and what it started, unless it has ended by itself meanwhile."""
    if process.poll() is None:
        with suppress(ProcessLookupError):  # it may end right now
            os.killpg(process.pid, signal.SIGKILL)


def _tail(printed: IO[bytes]) -> str:
    size = printed.seek(0, os.SEEK_END)
    printed.seek(max(0, size - 4 * TAIL_CHARS))
    return printed.read().decode(errors="replace")[-TAIL_CHARS:]
