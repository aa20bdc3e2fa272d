"""The plan as lanes: what happened in each host, and what is still to come. Pure."""

from __future__ import annotations

from datetime import timedelta

import pytest

from scheduler.rollout import Outlook
from scheduler.service.timeline import LABEL, WIDTH, Drawing, drawing
from tests.make import fleet, guest, host
from tests.sim import Sim


def half_way(restarted: int = 4) -> Sim:
    """A rollout of four hosts after a quarter of an hour; so many guests are restarted."""
    guests = [guest(f"g{n}", f"h{n % 4}", gib=2) for n in range(12)]
    guests += [guest(f"p{n}", f"h{n}", gib=1, evacuation="restart") for n in range(restarted)]
    played = Sim(fleet([host(f"h{n}", gib=16) for n in range(4)], guests, canary_hosts=1))
    played.run(900)
    return played


def end_of(drawn: Drawing) -> float:
    return max(bar.x + bar.width for lane in drawn.lanes for bar in lane.bars)


@pytest.mark.parametrize("left_s", [60.0, 600.0, 6000.0])
def test_what_is_to_come_ends_when_the_forecast_does(left_s: float) -> None:
    played = half_way(restarted=0)
    ends_at = played.now + timedelta(seconds=left_s)
    told = Outlook(made_at=played.now, p50_at=ends_at, p90_at=ends_at, deadline=None)
    head = played.book.rollout.model_copy(update={"outlook": told})
    played.book.rollout = head
    drawn = drawing(played.book, None, played.now)
    assert drawn.now_x is not None
    # The whole width is the time from the start to the end.
    gone_s = (played.now - head.created_at).total_seconds()
    assert drawn.now_x - LABEL == pytest.approx(WIDTH * gone_s / (gone_s + left_s), abs=1)
    assert end_of(drawn) == pytest.approx(LABEL + WIDTH, abs=3)


def test_a_host_is_emptied_and_then_rebooted_and_a_start_is_neither() -> None:
    played = half_way()
    lanes = drawing(played.book, None, played.now).lanes
    assert lanes
    for lane in lanes:
        drains = [bar for bar in lane.bars if "drain" in bar.look]
        reboots = [bar for bar in lane.bars if "reboot" in bar.look]
        assert drains and reboots
        assert max(b.x + b.width for b in drains) <= min(b.x for b in reboots) + 3


def test_at_the_end_nothing_is_to_come() -> None:
    played = half_way()
    played.run()
    drawn = drawing(played.book, None, played.now)
    assert drawn.now_x is None
    assert {bar.look for lane in drawn.lanes for bar in lane.bars} == {"drain past", "reboot past"}
