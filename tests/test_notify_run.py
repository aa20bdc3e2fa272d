"""`xenroll notify` as a program: restarts in between, a second one, the commands of people."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from scheduler.notify.outbox import Outbox
from scheduler.rollout import Happening
from tests.redis_fleet import RedisFleet
from tests.service_kit import begun, small_fleet
from tests.sim import START
from tests.waiting import until
from tests.webhook_receiver import Receiver, receiver

WAIT_S = 120.0


class Programs:
    """Starts `xenroll …` on one server, and ends what is left of it."""

    def __init__(self, url: str, file: Path) -> None:
        self.file = file
        self.environment = {
            **os.environ,
            "XENROLL_REDIS_URL": url,
            "XENROLL_NOTIFY_FILE": str(file),
        }
        self.running: list[subprocess.Popen[str]] = []

    def start(self, *words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "scheduler", "notify", *words],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.running.append(process)
        return process

    def say(self, *words: str) -> tuple[int, str]:
        process = self.start(*words)
        out, err = process.communicate(timeout=120)
        return process.returncode, out + err

    def end(self) -> None:
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.communicate()


@pytest.fixture
def hooks() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture
def programs(
    redis_url: str, redis_client: redis.Redis, hooks: Receiver, tmp_path: Path
) -> Iterator[Programs]:
    begun(RedisFleet(redis_client, small_fleet()))
    file = tmp_path / "notify.toml"
    file.write_text(f'[[target]]\nname = "on-call"\nurl = "{hooks.url}"\n')
    made = Programs(redis_url, file)
    yield made
    hooks.let_go.set()
    made.end()


def say(client: redis.Redis, kind: str) -> None:
    line = Happening(at=START, kind=kind, text="because")
    client.xadd("xr:rollout:xsa-1:events", {"h": line.model_dump_json()})


def leads(client: redis.Redis, process: subprocess.Popen[str]) -> bool:
    begun = client.hexists("xr:notify:places", "")
    return f"-{process.pid}-" in Outbox(client, "test").leader() and bool(begun)


def test_events_are_told_once_each_over_kills_and_restarts(
    programs: Programs, hooks: Receiver, redis_client: redis.Redis
) -> None:
    first = programs.start("run")
    until(lambda: leads(redis_client, first), "the first one leads")
    say(redis_client, "stopped")
    until(lambda: len(hooks.got) == 1, "the first event is told")
    say(redis_client, "crashed")
    first.kill()
    first.wait()
    say(redis_client, "both")
    second = programs.start("run")
    until(lambda: len({*hooks.ids()}) == 3, "all three are told")
    second.send_signal(signal.SIGTERM)
    second.wait(timeout=WAIT_S)
    assert second.returncode == 0
    third = programs.start("run")
    until(lambda: leads(redis_client, third), "the third one leads")
    say(redis_client, "unknown")
    until(lambda: len({*hooks.ids()}) == 4, "the fourth is told")
    kinds = {one.headers["webhook-id"]: json.loads(one.body)["type"] for one in hooks.got}
    names = ("stopped", "crashed", "both", "unknown")
    assert list(kinds.values()) == [f"xenroll.{name}" for name in names]
    # Only a kill between a message and its answer may repeat one, under the id it had.
    assert len(hooks.got) <= 5


def test_an_orderly_end_waits_for_the_answer_and_repeats_nothing(
    programs: Programs, hooks: Receiver, redis_client: redis.Redis
) -> None:
    hooks.answers = ["hang"]
    first = programs.start("run")
    until(lambda: leads(redis_client, first), "it leads")
    say(redis_client, "stopped")
    assert hooks.held.wait(WAIT_S)
    first.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    hooks.let_go.set()
    assert first.wait(timeout=WAIT_S) == 0
    second = programs.start("run")
    until(lambda: leads(redis_client, second), "the second one leads")
    say(redis_client, "crashed")
    until(lambda: len(hooks.got) == 2, "the next event is told")
    assert [json.loads(one.body)["type"] for one in hooks.got] == [
        "xenroll.stopped",
        "xenroll.crashed",
    ]


def test_a_second_sender_waits_until_the_first_is_gone(
    programs: Programs, hooks: Receiver, redis_client: redis.Redis
) -> None:
    first = programs.start("run")
    until(lambda: leads(redis_client, first), "the first one leads")
    second = programs.start("run")
    say(redis_client, "stopped")
    until(lambda: len(hooks.got) == 1, "the first one tells it")
    outbox = Outbox(redis_client, "test")
    until(lambda: [one.delivered for one in outbox.status()] == [1], "the answer is written down")
    first.kill()
    until(lambda: leads(redis_client, second), "the second one leads")
    say(redis_client, "crashed")
    until(lambda: len(hooks.got) == 2, "the second one tells it")
    assert len({*hooks.ids()}) == 2


def test_people_can_look_test_and_send_again(
    programs: Programs, hooks: Receiver, redis_client: redis.Redis
) -> None:
    assert programs.say("list") == (0, "nothing is sent: no sender runs\n")
    code, said = programs.say("test", "on-call")
    assert code == 8 and "no target on-call; the sender knows none" in said
    sender = programs.start("run")
    until(lambda: leads(redis_client, sender), "it leads")
    code, said = programs.say("test", "on-call")
    assert code == 0 and said.startswith("target on-call has it: HTTP 204")
    hooks.answers = [418, 400]
    code, said = programs.say("test", "on-call")
    assert code == 1 and "target on-call: HTTP 418" in said
    say(redis_client, "stopped")
    outbox = Outbox(redis_client, "test")
    until(lambda: outbox.dead("on-call", 1), "it is given up")
    code, said = programs.say("list")
    assert code == 0 and "given up by on-call" in said and "HTTP 400" in said
    row = next(line for line in said.splitlines() if line.startswith("on-call"))
    assert row.split() == ["on-call", "json", "127.0.0.1", "0", "0", "1", "HTTP", "400"]
    assert "127.0.0.1" in said and "/hook" not in said
    assert programs.say("retry", "on-call")[1] == "1 notifications for on-call are sent again\n"
    until(lambda: not outbox.dead("on-call", 1) and len(hooks.got) == 4, "it is sent again")
    found = json.loads(programs.say("list", "--json")[1])
    assert found["targets"][0]["name"] == "on-call"
    assert programs.say("retry", "nobody")[0] == 8


def test_what_cannot_be_run_is_refused_in_one_line(programs: Programs, tmp_path: Path) -> None:
    programs.file.write_text('[[target]]\nname = "x"\nurl = "http://elsewhere.example/"\n')
    code, said = programs.say("run")
    assert (code, said.count("\n")) == (2, 1) and "http:// on another machine" in said
    code, said = programs.say("run", "--file", str(tmp_path / "none.toml"))
    assert code == 2 and "none.toml: cannot be read" in said
    del programs.environment["XENROLL_NOTIFY_FILE"]
    code, said = programs.say("run")
    assert code == 2 and "set XENROLL_NOTIFY_FILE" in said
