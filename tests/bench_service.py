"""How the service holds a large fleet: 1,000 hosts, 12,000 guests, 50 dashboards, a rollout.

    python -m tests.bench_service

The service runs as its own process; the fleet is played here, in virtual time, without a rest.
Prints one line for each kind of request, and the time until a pause was acknowledged.
"""

from __future__ import annotations

import asyncio
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
import redis

from agents.keys import keys
from planner.fleet import Fleet
from scheduler.embedded import EmbeddedServer
from tests.make import fleet, guest, host
from tests.redis_fleet import RedisFleet

HOSTS, GUESTS_A_HOST, DASHBOARDS = 1000, 12, 50
REQUESTS, WARM_UP_S = 40, 10
ROUND_S, VIRTUAL_S = 0.5, 2.0  # a controller's tick; reports come every 20 virtual seconds
PATHS = (
    "/api/v1/rollouts/xsa-1",
    "/api/v1/rollouts/xsa-1/progress",
    "/api/v1/rollouts/xsa-1/steps?limit=100&state=done",
    "/api/v1/rollouts/xsa-1/exposure",
    "/api/v1/hosts?limit=100",
    "/api/v1/guests?limit=100",
    "/rollouts/xsa-1/live",
    "/rollouts/xsa-1/grid",
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


def play(played: RedisFleet, ending: threading.Event) -> None:
    """Go on with the rollout until told to end."""
    controller = played.controller()
    while not ending.wait(ROUND_S):
        played.round(controller, VIRTUAL_S)


async def dashboard(client: httpx.AsyncClient, counts: list[int], number: int) -> None:
    """Follow the live feed, and ask for the fragments as often as a page does."""
    last = 0.0
    async with client.stream("GET", "/api/v1/events", timeout=None) as answer:
        async for line in answer.aiter_lines():
            counts[number] += line.startswith("data:")
            if time.monotonic() - last > 5:
                last = time.monotonic()
                await client.get("/rollouts/xsa-1/grid")


async def measure(url: str, token: str) -> None:
    """All figures, while the dashboards follow."""
    counts = [0] * DASHBOARDS
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60) as client:
        await client.post("/login", data={"token": token})
        followers = [asyncio.create_task(dashboard(client, counts, n)) for n in range(DASHBOARDS)]
        await asyncio.sleep(WARM_UP_S)
        for path in PATHS:
            headers = {"Authorization": f"Bearer {token}"} if path == "/metrics" else {}
            took_ms = sorted([await timed(client, path, headers) for _ in range(REQUESTS)])
            p95 = took_ms[int(0.95 * REQUESTS)]
            print(f"{path:55} median {statistics.median(took_ms):7.1f} ms  p95 {p95:7.1f} ms")
        await paused(client, token)
        print(f"events a dashboard: {min(counts)} to {max(counts)}")
        for follower in followers:
            follower.cancel()
        await asyncio.gather(*followers, return_exceptions=True)


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


def command(url: str, *arguments: str) -> subprocess.Popen[str]:
    """`xenroll …` on this server."""
    return subprocess.Popen(
        [sys.executable, "-m", "scheduler", *arguments],
        env={**os.environ, "XENROLL_REDIS_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def main() -> None:
    """Set all of it up, measure, and take it down."""
    with tempfile.TemporaryDirectory() as scratch:
        server = EmbeddedServer(Path(scratch) / "data")
        server.start()
        ending = threading.Event()
        client = redis.Redis.from_url(server.url)
        played = Played(client, large_fleet())
        played.store.apply_inventory(played.sim.inventory.model_dump_json(by_alias=True).encode())
        played.begin()
        player = threading.Thread(target=play, args=(played, ending))
        web = command(server.url, "serve", "--listen", "127.0.0.1:0")
        try:
            assert web.stderr is not None
            found = re.search(r"http://[\d.:]+", web.stderr.readline())
            assert found
            token, _ = command(
                server.url, "token", "create", "bench", "--role", "on-call"
            ).communicate()
            player.start()
            asyncio.run(measure(found[0], token.strip()))
        finally:
            ending.set()
            player.join()
            web.terminate()
            web.communicate()
            server.stop()


if __name__ == "__main__":
    main()
