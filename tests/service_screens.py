"""`make screenshots`: the dashboard's pages, of a rollout of the demo's fleet half way through.

python -m tests.service_screens FOLDER
"""

from __future__ import annotations

import sys
import tempfile
from datetime import timedelta
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
from tests.service_browser import DESK, PHONE, Browser, BusyFleet, browser
from tests.service_kit import begun, served
from tests.sim import NEW, START

FLEET = Path(__file__).resolve().parent.parent / "deploy" / "examples" / "demo-fleet.json"
FIXED = 9  # hosts
FRAGILE = "pv linux-3.10 i386"


def half_way(client: redis.Redis) -> BusyFleet:
    """The demo's fleet with a third of its hosts done, one guest crashed and one that refuses."""
    fleet = load_fleet(FLEET.read_bytes())
    fragile = [guest.name for guest in fleet.guests if guest.guest_class == FRAGILE]
    plain = [guest.name for guest in fleet.guests if guest.guest_class != FRAGILE]
    faults = {fragile[0]: "crashes", fragile[1]: "crashes", plain[7]: "refuses"}
    played = BusyFleet(client, fleet, faults=faults)
    owned = [
        entry.model_copy(update={"owner": f"team-{entry.name.split('-')[0]}"})
        for entry in played.sim.inventory.guests
    ]
    played.sim.inventory = played.sim.inventory.model_copy(update={"guests": tuple(owned)})
    advisory = Advisory(id="XSA-469", fixed_builds=(NEW,), deadline=START + timedelta(hours=2))
    begun(played, advisory)
    return played


def _good_picture(played: BusyFleet) -> bool:
    """Some hosts are fixed, and several guests are on their way."""
    fixed = sum(one.build == NEW for one in played.sim.hosts.values())
    moving = [s for s in played.store.book(played.head().id).running() if s.kind is Kind.MOVE]
    return fixed >= FIXED and len(moving) >= 3


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
        page.open("/rollouts/xsa-469")
        page.live()
        page.wait(lambda: page.all("#burn canvas"))
        page.shot(folder / f"overview-{scheme}.png")
    page.run("document.querySelector('#h-moving').scrollIntoView()")
    page.shot(folder / "overview-cards.png")
    page.scheme("dark")
    page.size(*PHONE)
    page.open("/rollouts/xsa-469")
    page.live()
    page.shot(folder / "phone.png")
    page.find("#do-pause").click()
    page.shot(folder / "phone-pause.png")
    page.size(*DESK)
    for name, path in (
        ("plan", "/rollouts/xsa-469/plan"),
        ("host", "/hosts/north-03"),
        ("report", "/rollouts/xsa-469/report"),
        ("hooks", "/notifications"),
        ("login", "/login"),
    ):
        if name == "login":
            page.driver.delete_all_cookies()
        page.open(path)
        page.shot(folder / f"{name}.png")


def main(folder: Path) -> None:
    """Take them all."""
    with tempfile.TemporaryDirectory() as scratch:
        server = EmbeddedServer(Path(scratch) / "data")
        server.start()
        try:
            with redis.Redis.from_url(server.url) as client:
                played = half_way(client)
                controller = played.controller()
                while not _good_picture(played):
                    played.round(controller)
                told(client, played)
                with served(client, played) as running, browser(running, Path(scratch)) as page:
                    page.log_in(Role.ON_CALL)
                    take(page, folder)
                    print("\n".join([*page.complaints(), *page.other_origins()]))
        finally:
            server.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
