"""The API's description as it is checked in: `python -m scheduler.service.openapi > FILE`.

Clients are made from the file, so a change of it is a change that reviewers see.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import redis

from scheduler.serve import SystemClock, log
from scheduler.service.app import make_app, make_service
from scheduler.store import Store

FILE = Path(__file__).parent / "openapi.json"


def document() -> dict[str, Any]:
    """The OpenAPI document; no server is asked for anything."""
    store = Store(redis.Redis(), "openapi")
    return make_app(make_service(store, SystemClock(), os.urandom, log)).openapi()


def text() -> str:
    """The document as it stands in the file."""
    return json.dumps(document(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    print(text(), end="")
