"""`make screenshots`: the dashboard's pages, of a rollout of the demo's fleet half way through.

python -m tests.service_screens FOLDER
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import redis

from agents.wire import Kind
from planner.fleet import load_fleet
from scheduler.advisory import Advisory
from scheduler.embedded import EmbeddedServer
from scheduler.notify.event import event_of
from scheduler.notify.outbox import Delivery, Outbox, TargetFacts
from scheduler.rollout import Happening
from scheduler.service.access import Role
from tests.make import fleet, guest, host
from tests.service_browser import DESK, PHONE, Browser, BusyFleet, browser
from tests.service_kit import begun, served
from tests.sim import NEW, START

FLEET = Path(__file__).resolve().parent.parent / "deploy" / "examples" / "demo-fleet.json"
FIXED = 9  # hosts
FRAGILE = "pv linux-3.10 i386"
LARGE, HELD, LARGE_STEP_S = 400, (5, 130), 15.0
ROLLOUT = "/rollouts/xsa-469"
PAGES = {
    "plan": f"{ROLLOUT}/plan",
    "host": "/hosts/north-03",
    "hosts": "/hosts",
    "guest": "/guests/north-web7",
    "rollouts": "/rollouts",
    "report": f"{ROLLOUT}/report",
    "hooks": "/notifications",
}
Shoot = Callable[[Browser], None]


def half_way(client: redis.Redis) -> BusyFleet:
    """The demo's fleet with a third of its hosts done, one guest crashed and one that refuses."""
    demo = load_fleet(FLEET.read_bytes())
    fragile = [one.name for one in demo.guests if one.guest_class == FRAGILE]
    plain = [one.name for one in demo.guests if one.guest_class != FRAGILE]
    faults = {fragile[0]: "crashes", fragile[1]: "crashes", plain[7]: "refuses"}
    played = BusyFleet(client, demo, faults=faults)
    owned = [
        entry.model_copy(update={"owner": f"team-{entry.name.split('-')[0]}"})
        for entry in played.sim.inventory.guests
    ]
    played.sim.inventory = played.sim.inventory.model_copy(update={"guests": tuple(owned)})
    advisory = Advisory(id="XSA-469", fixed_builds=(NEW,), deadline=START + timedelta(hours=2))
    begun(played, advisory)
    return played


def _good_picture(played: BusyFleet, done: int) -> bool:
    """So many hosts are fixed, and several guests are on their way."""
    fixed = sum(one.build == NEW for one in played.sim.hosts.values())
    moving = [s for s in played.store.book(played.head().id).running() if s.kind is Kind.MOVE]
    return fixed >= done and len(moving) >= 3


def told(client: redis.Redis, played: BusyFleet) -> None:
    """Two targets: one that has everything, one whose receiver refused something."""
    outbox, now = Outbox(client, "screens"), played.clock.now()
    chat = TargetFacts(name="chat", kind="slack", where="hooks.chat.example", severity="info")
    page = TargetFacts(name="on-call", kind="json", where="pager.example", severity="critical")
    outbox.publish([chat, page])
    client.set("xr:notifier", "control-1-4711")
    said = Happening(at=now, kind="crashed", text="north-web21 is on neither host", guest="g")
    event = event_of("1-0", "xsa-469", "XSA-469", "", said)
    lost = Delivery(event=event, queued_at=now, tries=1, said="HTTP 404").model_dump_json()
    client.rpush("xr:notify:chat:dead", lost)
    for name, delivered in (("chat", 41), ("on-call", 3)):
        client.hset(f"xr:notify:{name}:stats", "delivered", delivered)
        client.hset(f"xr:notify:{name}:stats", "last_said", "HTTP 200")
        client.hset(f"xr:notify:{name}:stats", "last_ok_at", now.isoformat())
    client.hset("xr:notify:chat:stats", mapping={"dead": 1, "last_said": "HTTP 404"})


def take(page: Browser, folder: Path) -> None:
    """Every page, on a desk and on a phone."""
    for scheme in ("dark", "light"):
        page.scheme(scheme)
        page.size(*DESK)
        overview(page)
        page.shot(folder / f"overview-{scheme}.png")
    page.run("document.querySelector('#h-moving').scrollIntoView()")
    page.shot(folder / "overview-cards.png")
    pausing(page)
    page.shot(folder / "pause.png")
    page.scheme("dark")
    page.size(*PHONE)
    overview(page)
    page.shot(folder / "phone.png")
    pausing(page)
    page.shot(folder / "phone-pause.png")
    page.open(f"{ROLLOUT}/plan")
    page.shot(folder / "phone-plan.png")
    page.size(*DESK)
    for name, path in PAGES.items():
        page.open(path)
        page.shot(folder / f"{name}.png")
    page.driver.delete_all_cookies()
    page.open("/login")
    page.shot(folder / "login.png")


def overview(page: Browser, path: str = ROLLOUT) -> None:
    """The overview with its chart, following live."""
    page.open(path)
    page.live()
    page.wait(lambda: page.all("#burn canvas") and page.text("#burn-words"))


def pausing(page: Browser) -> None:
    """The dialog that asks whether to pause, with what it costs."""
    page.find("#do-pause").click()
    page.wait(lambda: "later" in page.text("#pause-cost"))


def large(client: redis.Redis) -> BusyFleet:
    """Four hundred hosts, a sixth of them done; two are blocked by guests that may not move."""
    hosts = [host(f"par1-{n:03}", gib=64, group=f"rack-{n % 40:02}") for n in range(LARGE)]
    guests = [
        guest(f"vm-{n:03}-{k}", f"par1-{n:03}", gib=6, evacuation="hold" if n in HELD else "move")
        for n in range(LARGE)
        for k in range(3)
    ]
    played = BusyFleet(client, fleet(hosts, guests, wave_hosts=75, max_hosts_away=40))
    begun(played, Advisory(id="XSA-469", fixed_builds=(NEW,), deadline=START + timedelta(hours=2)))
    return played


def taken(
    client: redis.Redis, played: BusyFleet, done: int, shoot: Shoot, step_s: float = 5.0
) -> None:
    """Go on until so many hosts are fixed, and take pictures of that."""
    controller = played.controller()
    while not _good_picture(played, done):
        played.round(controller, step_s)
    told(client, played)
    with (
        tempfile.TemporaryDirectory() as scratch,
        served(client, played) as running,
        browser(running, Path(scratch)) as page,
    ):
        page.log_in(Role.ON_CALL)
        shoot(page)
        print("\n".join([*page.complaints(), *page.other_origins()]))


def fleet_pictures(page: Browser, folder: Path) -> None:
    """The large fleet."""
    page.scheme("dark")
    page.size(*DESK)
    overview(page)
    page.shot(folder / "fleet.png")
    page.size(*PHONE)
    overview(page)
    page.shot(folder / "phone-fleet.png")


def main(folder: Path) -> None:
    """Take them all."""
    with tempfile.TemporaryDirectory() as scratch:
        server = EmbeddedServer(Path(scratch) / "data")
        server.start()
        try:
            with redis.Redis.from_url(server.url) as client:
                taken(client, half_way(client), FIXED, partial(take, folder=folder))
                client.flushdb()
                done = LARGE // 6
                shoot = partial(fleet_pictures, folder=folder)
                taken(client, large(client), done, shoot, LARGE_STEP_S)
        finally:
            server.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
