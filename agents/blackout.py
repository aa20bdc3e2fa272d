"""How long a guest stood still while it was moved: bounds, by the source's clock alone. Pure.

Nobody in dom0 sees the moment at which a guest's vCPUs stop, nor the one at which they go on, and
the clocks of two hosts differ. What the source does see are moments before and after each:

| moment of the source's clock | what it shows |
|---|---|
| `ran_s`: `xl list` was asked, and showed the guest running | it stopped later |
| `stood_s`: `xl list` had shown it suspended, or xl had said that all of it had arrived | earlier |
| `waited_s`: xl's messages were read, and it had not given permission to start | it ran later |
| `began_s`: a message had come that says that it runs at the destination | it ran earlier |

So it stood still for at least `waited_s - stood_s` and at most `began_s - ran_s`. What a guest does
inside before it suspends (freezing its tasks) and until its network is heard again is not in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from pydantic import Field

from agents.wire_base import Wire

ARRIVED = (
    "xc: info: Restore successful",
    "migration target: Transfer complete",
    "migration sender: Target has acknowledged transfer.",
)
"""Said when everything that a suspended guest leaves has been sent: it had stopped before."""

PERMISSION = "migration sender: Giving target permission to start."
"""Said right before the message without which the destination does not let the guest run."""

RUNS_THERE = (
    "migration target: Domain started successsfully.",  # xl's spelling
    "migration sender: Target reports successful startup.",
    "Migration successful.",
)

UNWATCHED_S = 10.0
"""Between two looks by which a bound may be set: what nobody watched has no honest figure."""


class Blackout(Wire):
    """How long a guest stood still in a move, in seconds."""

    at_least_s: float = Field(ge=0)
    at_most_s: float = Field(ge=0)


@dataclass(frozen=True)
class Watch:
    """Moments of one move, by a clock of the source that only grows; None: not seen."""

    ran_s: float | None = None
    stood_s: float | None = None
    waited_s: float | None = None
    began_s: float | None = None
    looked_s: float | None = None  # the newest look of any kind


def taken_up(watch: Watch, now_s: float) -> Watch:
    """By another process: what went on while nobody watched is not known."""
    gap = watch.looked_s is None or now_s - watch.looked_s > UNWATCHED_S
    return Watch(stood_s=watch.stood_s, looked_s=now_s) if gap else watch


def heard(watch: Watch, said: str, from_s: float, to_s: float) -> Watch:
    """xl's messages so far, read between two moments."""
    seen = replace(watch, looked_s=to_s)
    if PERMISSION not in said and not any(one in said for one in RUNS_THERE):
        seen = replace(seen, waited_s=from_s)
    if watch.stood_s is None and any(one in said for one in ARRIVED):
        seen = replace(seen, stood_s=to_s)
    if watch.began_s is None and any(one in said for one in RUNS_THERE):
        seen = replace(seen, began_s=to_s)
    return seen


def shown(watch: Watch, suspended: bool, from_s: float, to_s: float) -> Watch:
    """What `xl list` showed of the guest at the source, asked between two moments."""
    if suspended:
        stood_s = to_s if watch.stood_s is None else watch.stood_s
        return replace(watch, stood_s=stood_s, looked_s=to_s)
    if watch.stood_s is not None:  # it was resumed there: this move comes to nothing
        return replace(watch, looked_s=to_s)
    return replace(watch, ran_s=from_s, looked_s=to_s)


def blackout(watch: Watch) -> Blackout | None:
    """The bounds; None where the guest's end here or its beginning there was not watched."""
    if watch.began_s is None or watch.ran_s is None:
        return None
    least_s = 0.0
    if watch.waited_s is not None and watch.stood_s is not None:
        least_s = max(0.0, watch.waited_s - watch.stood_s)
    most_s = watch.began_s - watch.ran_s
    return Blackout(
        at_least_s=math.floor(least_s * 1000) / 1000, at_most_s=math.ceil(most_s * 1000) / 1000
    )
