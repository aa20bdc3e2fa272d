"""The way to Redis: patient for the controller, quick to give up for a person's command."""

from __future__ import annotations

import redis
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry


class Away(Exception):
    """Redis does not answer; the message names its address and what went wrong."""


def patient(url: str) -> redis.Redis:
    """A client that tries again for seconds: a server that restarts loses us nothing.

    Not for longer: whoever uses it comes again by itself, and is to say meanwhile that Redis is
    away, and to end when it is told to.
    """
    retry = Retry(ExponentialWithJitterBackoff(base=0.1, cap=2.0), retries=8)
    return _client(url, retry)


def quick(url: str) -> redis.Redis:
    """A client whose answer, or failure, comes at once. Raises Away."""
    client = _client(url, Retry(NoBackoff(), retries=1))
    try:
        client.ping()
    except RedisError as error:
        raise Away(f"Redis at {_shown(url)} does not answer: {error}") from None
    return client


def _client(url: str, retry: Retry) -> redis.Redis:
    try:
        return redis.Redis.from_url(url, retry=retry, socket_connect_timeout=3, socket_timeout=20)
    except ValueError as error:
        raise Away(f"XENROLL_REDIS_URL is {_shown(url)!r}: {error}") from None


def _shown(url: str) -> str:
    """The address without a password."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
