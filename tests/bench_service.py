"""How the service holds a large fleet: 1,000 hosts, 12,000 guests, 50 dashboards, a rollout.

    python -m tests.bench_service

Four processes: the service; the player, which is the controller and all hosts, in virtual time,
and changes the store without a rest; the dashboards' browsers; and this one, which measures.
Prints one line for each kind of request, and the time until a pause was acknowledged.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import redis

from agents.keys import keys
from planner.fleet import Fleet
from scheduler.embedded import EmbeddedServer
from tests.make import fleet, guest, host
from tests.redis_fleet import RedisFleet

HOSTS, GUESTS_A_HOST, DASHBOARDS = 1000, 12, 50
REQUESTS, WARM_UP_S = 100, 15
REFRESH_S, CHART_S = (1.0, 1.5), 10.0
BEGUN = "begun"
ROUND_S, VIRTUAL_S = 0.5, 2.0  # a controller's tick; reports come every 20 virtual seconds
PATHS = (
    "/api/v1/rollouts/xsa-1",
    "/api/v1/rollouts/xsa-1/progress",
    "/api/v1/rollouts/xsa-1/steps?limit=100&state=done",
    "/api/v1/rollouts/xsa-1/exposure",
    "/api/v1/hosts?limit=100",
    "/api/v1/guests?limit=100",
    "/api/v1/rollouts/xsa-1/forecast",
    "/rollouts/xsa-1",
    "/rollouts/xsa-1/live",
    "/metrics",
)


def large_fleet() -> Fleet:
    """Half-full hosts of 256 GiB, all of which have to reboot."""
    hosts = [host(f"h{n:04}", gib=256, cpus=64, group=f"rack-{n % 40}") for n in range(HOSTS)]
    guests = [
        guest(f"g{n:04}-{k:02}", f"h{n:04}", gib=10)
        for n in range(HOSTS)
        for k in range(GUESTS_A_HOST)
    ]
    return fleet(hosts, guests, wave_hosts=100, max_hosts_away=50)


class Played(RedisFleet):
    """Each host reports every tenth round, and at once when it is asked to look."""

    def publish(self) -> None:
        """What the hosts that are due show."""
        names = list(self.sim.hosts)
        with self.client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.llen(keys.wake(name))
                pipe.delete(keys.wake(name))
            asked = pipe.execute()[::2]
        turn = self._sequence % 10
        self.mute = {
            name
            for number, name in enumerate(names)
            if self._sequence and number % 10 != turn and not asked[number]
        }
        super().publish()
        self.mute = set()


def play(url: str) -> None:
    """Begin a rollout, say so, and go on with it until standard input ends."""
    played = Played(redis.Redis.from_url(url), large_fleet())
    played.store.apply_inventory(played.sim.inventory.model_dump_json(by_alias=True).encode())
    played.begin()
    controller = played.controller()
    print(BEGUN, flush=True)
    while not select.select([sys.stdin], [], [], ROUND_S)[0]:
        played.round(controller, VIRTUAL_S)


async def dashboard(client: httpx.AsyncClient, counts: list[int], number: int) -> None:
    """What `scheduler/service/static/app.js` does: refreshes when something happens, and charts."""
    events, charted = asyncio.Event(), 0.0
    listening = asyncio.create_task(listen(client, counts, number, events))
    while not listening.done():
        await events.wait()
        await asyncio.sleep(random.uniform(*REFRESH_S))
        events.clear()
        await client.get("/rollouts/xsa-1/live")
        if time.monotonic() - charted > CHART_S:
            charted = time.monotonic()
            await client.get("/api/v1/rollouts/xsa-1/exposure")
            await client.get("/api/v1/rollouts/xsa-1/forecast")


async def listen(
    client: httpx.AsyncClient, counts: list[int], number: int, events: asyncio.Event
) -> None:
    """The live feed."""
    async with client.stream("GET", "/api/v1/events", timeout=None) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data:"):
                counts[number] += 1
                events.set()


async def follow(url: str, token: str) -> None:
    """Fifty dashboards, until standard input ends; prints how many events each of them got."""
    counts = [0] * DASHBOARDS
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60) as client:
        await client.post("/login", data={"token": token})
        followers = [asyncio.create_task(dashboard(client, counts, n)) for n in range(DASHBOARDS)]
        await asyncio.to_thread(sys.stdin.read)
        for follower in followers:
            follower.cancel()
        await asyncio.gather(*followers, return_exceptions=True)
    print(f"events a dashboard: {min(counts)} to {max(counts)}")


async def measure(url: str, token: str) -> None:
    """All figures, while the dashboards follow."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        await client.post("/login", data={"token": token})
        await asyncio.sleep(WARM_UP_S)
        for path in PATHS:
            headers = {"Authorization": f"Bearer {token}"} if path == "/metrics" else {}
            took_ms = sorted([await timed(client, path, headers) for _ in range(REQUESTS)])
            p95 = took_ms[int(0.95 * REQUESTS)]
            print(f"{path:55} median {statistics.median(took_ms):7.1f} ms  p95 {p95:7.1f} ms")
        await paused(client, token)


async def timed(client: httpx.AsyncClient, path: str, headers: dict[str, str]) -> float:
    """One request's milliseconds."""
    began = time.perf_counter()
    answer = await client.get(path, headers=headers)
    assert answer.status_code == 200, (path, answer.text[:200])
    took_ms = (time.perf_counter() - began) * 1000
    await asyncio.sleep(0.05)
    return took_ms


async def paused(client: httpx.AsyncClient, token: str) -> None:
    """Pause, and see that it is in force."""
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "bench-pause"}
    path = "/api/v1/rollouts/xsa-1"
    began = time.perf_counter()
    answer = await client.post(
        f"{path}/actions/pause", json={"reason": "the bench"}, headers=headers
    )
    took_ms = (time.perf_counter() - began) * 1000
    assert answer.status_code == 202, answer.text
    assert (await client.get(path)).json()["wanted_now"] == "pause"
    print(f"{'pause acknowledged':55} after  {took_ms:7.1f} ms")


def command(url: str, module: str, *arguments: str) -> subprocess.Popen[str]:
    """`python -m …` on this server."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, "XENROLL_REDIS_URL": url},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def beside(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """A process of ours, ended with the block; what it said last is its own to say."""
    try:
        yield process
        assert process.poll() is None, process.communicate()[1]
        said, _ = process.communicate("")
        print(said, end="")
    finally:
        process.kill()
        process.communicate()


@contextmanager
def player(url: str) -> Iterator[None]:
    """A rollout that goes on beside the measuring."""
    with beside(command(url, "tests.bench_service", "play", url)) as playing:
        assert playing.stdout is not None and playing.stderr is not None
        begun = playing.stdout.readline().strip()
        assert begun == BEGUN, playing.stderr.read()
        yield


@contextmanager
def dashboards(url: str, token: str) -> Iterator[None]:
    """Browsers that follow meanwhile."""
    with beside(command(url, "tests.bench_service", "follow", url, token)):
        yield


@contextmanager
def service(url: str) -> Iterator[str]:
    """The service; yields its address, and says what memory it took."""
    web = command(url, "scheduler", "serve", "--listen", "127.0.0.1:0")
    try:
        assert web.stderr is not None
        found = re.search(r"http://[\d.:]+", web.stderr.readline())
        assert found
        yield found[0]
        taken = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{web.pid}/status").read_text())
        print(f"the service's memory: {int(taken[1]) / 1024 if taken else 0:.0f} MiB")
    finally:
        web.terminate()
        web.communicate()


def main() -> None:
    """Set all of it up, measure, and take it down."""
    with tempfile.TemporaryDirectory() as scratch:
        server = EmbeddedServer(Path(scratch) / "data")
        server.start()
        make_token = ("token", "create", "bench", "--role", "on-call")
        try:
            with player(server.url), service(server.url) as address:
                said, _ = command(server.url, "scheduler", *make_token).communicate()
                with dashboards(address, said.strip()):
                    asyncio.run(measure(address, said.strip()))
        finally:
            server.stop()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["play", url]:
            play(url)
        case ["follow", url, token]:
            asyncio.run(follow(url, token))
        case _:
            main()
