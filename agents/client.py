"""Redis clients: a patient one for workers and jobs, an impatient one for the report loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import redis
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.retry import Retry

from agents.settings import Settings, SettingsError

PATIENT_TRIES = 600
"""With up to 3 s between two tries: half an hour without Redis costs a worker nothing but time."""

KEEPALIVE_S = 15


def patient(settings: Settings) -> redis.Redis:
    """For workers: goes on trying, so that what a job did is still told after an outage."""
    backoff = ExponentialWithJitterBackoff(base=0.2, cap=3)
    return _client(settings, Retry(backoff, PATIENT_TRIES))


def impatient(settings: Settings) -> redis.Redis:
    """For the report loop, which comes again by itself: one try, short limits."""
    limits = {"socket_timeout": settings.report_interval_s + 5, "socket_connect_timeout": 5}
    return _client(settings, Retry(NoBackoff(), 0), **limits)


def _client(settings: Settings, retry: Retry, **limits: Any) -> redis.Redis:
    options: dict[str, Any] = {
        "retry": retry,
        "retry_on_error": [redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError],
        "health_check_interval": KEEPALIVE_S,
        "protocol": 2,
        **limits,
    }
    if settings.redis_password_file is not None:
        options["password"] = _password(Path(settings.redis_password_file))
    try:
        return redis.Redis.from_url(settings.redis_url, **options)
    except ValueError as error:
        raise SettingsError(f"redis_url: {error}") from None


def _password(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"redis_password_file: {path} cannot be read: {error}") from None
