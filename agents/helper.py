"""A program that answers a line with a line, and may hang where no signal ends it."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import time
import weakref
from collections.abc import Sequence

from agents.command import SAID_CHARS, CommandError, Garbage, Missing, TimedOut

REAP_S = 1.0


class Helper:
    """Starts the program at the first question, and anew where it has ended.

    One that does not answer in time is killed and left behind: a process that waits for a device
    ends when the device says something, and nobody has to wait for that.
    """

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = tuple(argv)
        self._shown = " ".join(argv)[:SAID_CHARS]
        self._program: subprocess.Popen[bytes] | None = None
        self._end: weakref.finalize[[subprocess.Popen[bytes]], Helper] | None = None

    def ask(self, question: str, timeout_s: float) -> bytes:
        """Its answer to a line without an end. Raises Missing, TimedOut, Garbage."""
        end_s = time.monotonic() + timeout_s
        asked_before = self._program is not None
        try:
            return self._answer(self._told(question), end_s)
        except Garbage:
            self.leave()
            if not asked_before:
                raise
        except CommandError:
            self.leave()
            raise
        # It was about to end by itself when it was asked: another one can still tell.
        return self.ask(question, end_s - time.monotonic())

    def leave(self) -> None:
        """End the program; the next question starts another."""
        if self._end is not None:
            self._end()
        self._program = self._end = None

    def _told(self, question: str) -> subprocess.Popen[bytes]:
        """The program, with the question on its way; one that has ended meanwhile is replaced."""
        line = question.encode() + b"\n"
        program = self._program or self._start()
        try:
            _write(program, line)
        except BrokenPipeError:  # it ends by itself when nobody asks anything
            self.leave()
            program = self._start()
            with contextlib.suppress(BrokenPipeError):  # that it says nothing will be noticed
                _write(program, line)
        return program

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            program = subprocess.Popen(
                self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            raise Missing(f"{self._shown}: cannot be run: {error.strerror}") from None
        self._program, self._end = program, weakref.finalize(self, _end, program)
        return program

    def _answer(self, program: subprocess.Popen[bytes], end_s: float) -> bytes:
        assert program.stdout is not None
        answer = b""
        while not answer.endswith(b"\n"):
            left_s = end_s - time.monotonic()
            if left_s <= 0 or not select.select([program.stdout], [], [], left_s)[0]:
                raise TimedOut(f"{self._shown}: no answer in time")
            piece = os.read(program.stdout.fileno(), 65536)
            if not piece:
                raise Garbage(f"{self._shown}: it ended without an answer")
            answer += piece
        return answer


def _write(program: subprocess.Popen[bytes], line: bytes) -> None:
    assert program.stdin is not None
    program.stdin.write(line)
    program.stdin.flush()


def _end(program: subprocess.Popen[bytes]) -> None:
    for pipe in (program.stdin, program.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
    program.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        program.wait(timeout=REAP_S)
