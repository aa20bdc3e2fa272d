"""The commands at a terminal, against a service: Ctrl-C only detaches, and an abort asks first."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import redis

from agents.wire import Wanted
from scheduler.advisory import Advisory
from scheduler.cli_watch import CLEAR
from scheduler.service.access import Role
from tests.service_kit import Served, just_begun
from tests.sim import NEW
from tests.test_cli_rollout import ROOT


class Terminal:
    """A command with a terminal of its own."""

    def __init__(self, environment: dict[str, str], *arguments: str) -> None:
        self.ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "scheduler", *arguments],
            cwd=ROOT,
            env={**os.environ, "COLUMNS": "160", "TERM": "xterm", **environment},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.text = ""

    def until(self, words: str) -> None:
        """Read until these words stand there."""
        while words not in self.text:
            chunk = self._read()
            assert chunk, self.text
            self.text += chunk

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self.ours, text.encode())

    def end(self) -> int:
        """Read the rest; the exit code."""
        while chunk := self._read():
            self.text += chunk
        return self.process.wait(timeout=120)

    def _read(self) -> str:
        try:
            return os.read(self.ours, 4096).decode(errors="replace")
        except OSError:  # how Linux says that the other side has gone
            return ""

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.ours)


@pytest.fixture
def running(redis_client: redis.Redis) -> Iterator[Served]:
    with just_begun(redis_client) as made:
        yield made


def test_ctrl_c_on_a_watch_detaches_says_so_and_the_rollout_goes_on(running: Served) -> None:
    where = {"XENROLL_SERVER": running.url, "XENROLL_TOKEN": running.tokens[Role.VIEWER]}
    with Terminal(where, "rollout", "status", "--watch") as watching:
        watching.until("xsa-1")
        watching.process.send_signal(signal.SIGINT)
        watching.until("detached; rollout xsa-1 goes on without us")
        assert watching.end() == 0
    assert running.played.store.control("xsa-1")["wanted"] == Wanted.RUN


WATCHED = (
    *("advisory list", "advisory show XSA-7", "crash list", "guest list", "guest show g1"),
    *("host closed", "host list", "host show h0"),
    *("rollout forecast", "rollout list", "rollout moves", "rollout show"),
)
"""Commands that are shown again and again at a terminal."""


def test_ctrl_c_detaches_from_whatever_is_watched(running: Served) -> None:
    running.played.store.put_advisory(Advisory(id="XSA-7", fixed_builds=(NEW,)))
    where = {"XENROLL_SERVER": running.url, "XENROLL_TOKEN": running.tokens[Role.VIEWER]}
    with ExitStack() as all_of_them:
        terminals = {
            command: all_of_them.enter_context(Terminal(where, *command.split(), "--watch"))
            for command in WATCHED
        }
        for command, terminal in terminals.items():
            terminal.until(CLEAR)
            terminal.process.send_signal(signal.SIGINT)
            terminal.until("detached; nothing ends because of it")
            assert terminal.end() == 0, command
    assert running.played.store.control("xsa-1")["wanted"] == Wanted.RUN


def test_an_abort_at_a_terminal_asks_first_and_asks_why(running: Served) -> None:
    where = {"XENROLL_SERVER": running.url, "XENROLL_TOKEN": running.tokens[Role.ON_CALL]}
    with Terminal(where, "rollout", "abort") as asked:
        asked.until("abort rollout xsa-1?")
        asked.type("n\n")
        assert asked.end() == 1 and "nothing was done" in asked.text
    assert running.played.store.control("xsa-1")["wanted"] == Wanted.RUN
    with Terminal(where, "rollout", "abort", "--yes") as asked:
        asked.until("why")
        asked.type("a bad build\n")
        assert asked.end() == 0
    assert running.played.store.control("xsa-1")["reason"] == "a bad build"


@pytest.mark.parametrize("command", ["host list", "rollout moves", "rollout status"])
def test_a_watch_ends_when_nobody_reads_it_although_nothing_changes(
    running: Served, command: str
) -> None:
    """As `xenroll host list --watch | head -1`, which would else never come back."""
    where = {"XENROLL_SERVER": running.url, "XENROLL_TOKEN": running.tokens[Role.VIEWER]}
    watching = subprocess.Popen(
        [sys.executable, "-m", "scheduler", *command.split(), "--watch"],
        cwd=ROOT,
        env={**os.environ, **where},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert watching.stdout is not None
        assert watching.stdout.readline()
        watching.stdout.close()
        watching.wait(timeout=120)
    finally:
        watching.kill()
        watching.wait()
