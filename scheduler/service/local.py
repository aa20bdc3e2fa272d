"""The application for a command line on a control node: in its process, for its login user."""

from __future__ import annotations

import os

from fastapi import FastAPI

from scheduler.link import quick
from scheduler.serve import SystemClock, log
from scheduler.service.access import Caller, Role
from scheduler.service.app import make_app, make_service
from scheduler.settings import Settings
from scheduler.store import Store


def local_app(settings: Settings, person: str) -> FastAPI:
    """The application on the Redis of the settings. Raises Away.

    Whoever reaches that Redis can write anything into it: the role says no more than that.
    """
    store = Store(quick(settings.redis_url), f"cli-{os.getpid()}")
    service = make_service(
        store,
        SystemClock(),
        os.urandom,
        log,
        look_wait_s=settings.look_wait_s,
        max_age_s=0.0,
        limits=settings.limits,
        two_people=settings.two_people,
        local=Caller(person, Role.ADMIN, f"login-{person}"),
    )
    return make_app(service)
