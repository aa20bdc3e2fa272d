"""A sender with one target, made to act by hand, and what it is to tell of."""

from __future__ import annotations

from pathlib import Path

import redis

from scheduler.advisory import Advisory
from scheduler.notify.run import Notifier
from scheduler.notify.targets import load_config
from scheduler.rollout import Happening
from tests.redis_fleet import RedisFleet
from tests.service_kit import begun, small_fleet
from tests.sim import NEW
from tests.webhook_receiver import Receiver

SECRET = b"a secret of more than 16 bytes"


def told_of(client: redis.Redis) -> RedisFleet:
    """A rollout that was started before anybody was to be told."""
    made = RedisFleet(client, small_fleet())
    begun(made, Advisory(id="XSA-1", fixed_builds=(NEW,)))
    return made


def notifier(played: RedisFleet, hooks: Receiver, folder: Path, lines: str = "") -> Notifier:
    """One life of a sender with one target; it is made to act by hand."""
    secret = folder / "secret"
    secret.write_bytes(SECRET)
    secret.chmod(0o600)
    file = folder / "notify.toml"
    file.write_text(
        f'dashboard_url = "https://dash"\n[[target]]\nname = "on-call"\nurl = "{hooks.url}"\n'
        f'secret_file = "{secret}"\n{lines}\n'
    )
    config, targets = load_config(file)
    made = Notifier(played.client, config, targets, played.clock.now, played.log.append)
    assert made.lease.hold() == made.owner
    made.outbox.publish([])
    made.collect(1)
    return made


def say(played: RedisFleet, kind: str, text: str = "because", **about: str) -> None:
    """A line in the event log."""
    line = Happening(at=played.clock.now(), kind=kind, text=text, **about)
    played.client.xadd("xr:rollout:xsa-1:events", {"h": line.model_dump_json()})


def sent(made: Notifier) -> int:
    """Take up what happened, and send what is due; how many requests that were."""
    made.collect(1)
    return sum(1 for _ in iter(made.senders[0].turn, False))


def waiting(made: Notifier) -> int:
    front = made.outbox.front("on-call")
    return 0 if front is None else 1
