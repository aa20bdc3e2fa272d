"""The service as the settings of a control node make it, for a process or for a command line."""

from __future__ import annotations

import os
from typing import Any

from fastapi import FastAPI

from scheduler.link import quick
from scheduler.serve import SystemClock, log
from scheduler.service.access import Caller, Role
from scheduler.service.app import make_app, make_service
from scheduler.service.parts import Service
from scheduler.settings import Settings
from scheduler.store import Store


def local_app(settings: Settings, person: str) -> FastAPI:
    """The application on the Redis of the settings. Raises Away.

    Whoever reaches that Redis can write anything into it: the role says no more than that.
    """
    caller = Caller(person, Role.ADMIN, f"login-{person}")
    return make_app(service_of(settings, "cli", max_age_s=0.0, local=caller))


def service_of(settings: Settings, writer: str, **more: Any) -> Service:
    """The service on the Redis of the settings; `writer`: how its writes are told. Raises Away."""
    return make_service(
        Store(quick(settings.redis_url), f"{writer}-{os.getpid()}"),
        SystemClock(),
        os.urandom,
        log,
        look_wait_s=settings.look_wait_s,
        limits=settings.limits,
        two_people=settings.two_people,
        **more,
    )
