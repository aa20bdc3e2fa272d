"""`/api/v1/guest-evidence/NAME`: what proves where a guest runs."""

from __future__ import annotations

import threading
from typing import Annotated

from fastapi import APIRouter, Query

from scheduler.evidence import Evidence
from scheduler.evidence_look import NoGuest, Waits, evidence
from scheduler.service.anyname import ANY_NAME
from scheduler.service.api_fleet import Name
from scheduler.service.parts import OnCall, Parts
from scheduler.service.problem import Problem, conflict, short

router = APIRouter(tags=["fleet"])

Apart = Annotated[
    float, Query(ge=0.1, le=60, description="Seconds between the two looks at every host.")
]
_looking = threading.Lock()


@router.get(f"/guest-evidence/{ANY_NAME}")
def guest_evidence(name: Name, who: OnCall, parts: Parts, apart_s: Apart = 3.0) -> Evidence:
    """Every copy of a guest on every host, looked at twice: what it proves, and what may be done.

    Every host is asked to look, so it takes as long as the slowest of them, and one is made at a
    time.
    """
    if not _looking.acquire(blocking=False):
        raise conflict("busy", "the hosts look for somebody else right now: try again in a minute")
    try:
        inventory = parts.views.fleet().inventory
        return evidence(parts.store, inventory, name, Waits(parts.look_wait_s, apart_s))
    except NoGuest:
        said = f"no host shows a guest {short(name)}, and no rollout has moved one"
        raise Problem(404, "not_found", said) from None
    finally:
        _looking.release()
