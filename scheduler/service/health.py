"""`/healthz`: this process answers. `/readyz`: it can reach the fleet's state. No token needed."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from redis.exceptions import RedisError

from scheduler.service.parts import Parts

router = APIRouter()


@router.get("/healthz")
def healthz() -> PlainTextResponse:
    """The process lives."""
    return PlainTextResponse("ok\n")


@router.get("/readyz")
def readyz(parts: Parts) -> PlainTextResponse:
    """The process lives, and the server that keeps the state answers."""
    try:
        parts.store.client.ping()
    except RedisError:
        return PlainTextResponse("the server that keeps the fleet's state does not answer\n", 503)
    return PlainTextResponse("ok\n")
