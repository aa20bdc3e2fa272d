"""What a control node is told by its environment; the only place that reads it.

Every name begins with `XENROLL_`: `XENROLL_REDIS_URL`, `XENROLL_TICK_S`,
`XENROLL_LIMITS__STALE_AFTER_S` and so on. A name that begins so and is none is refused: with a slip
in `XENROLL_TWO_PEOPLE` one person would do, and nobody would know.
"""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from scheduler.limits import Limits
from scheduler.oidc_settings import OidcSettings


class Settings(BaseSettings):
    """A control node's settings, with their defaults."""

    model_config = SettingsConfigDict(
        env_prefix="XENROLL_", env_nested_delimiter="__", extra="ignore", frozen=True
    )

    redis_url: str = "redis://127.0.0.1:6379/0"
    tick_s: float = Field(default=0.5, gt=0, le=60)
    look_wait_s: float = Field(default=20.0, gt=0)  # for fresh looks when a rollout is started
    limits: Limits = Limits()
    notify_file: Path | None = None  # who is told what happens; see scheduler/notify/targets.py
    oidc: OidcSettings | None = None  # an identity provider whose tokens the service takes, too
    two_people: bool = False  # who starts a rollout may not approve it: somebody else has to
    server: str | None = None  # the service that commands ask; none: Redis itself
    token: SecretStr | None = None  # what the service knows us by
    token_file: Path | None = None  # the same, from a file that nobody else may read


PREFIX = "XENROLL_"
OF_OTHERS = ("XENROLL_LAB_", "XENROLL_HOOK_")
"""Of the lab, and what a hook is told: no settings, but commands may run beside them."""


def not_settings() -> list[str]:
    """A line for each variable of the environment that looks like a setting and is none."""
    known = [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    parts = {name.upper(): name.upper().partition("__")[0] for name in os.environ}
    wrong = [
        name
        for name, part in sorted(parts.items())
        if name.startswith(PREFIX) and not name.startswith(OF_OTHERS) and part not in known
    ]
    return [_unknown(name, known) for name in wrong]


def _unknown(name: str, known: list[str]) -> str:
    limits = [f"{PREFIX}LIMITS__{field.upper()}" for field in Limits.model_fields]
    close = get_close_matches(name, [*known, *limits], n=1, cutoff=0.8)
    meant = f"; {close[0]} is one" if close else ""
    return f"{name}: there is no such setting{meant}"
