"""A rollout on a terminal: what a person can read from the picture and from the line."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from rich.console import Console

from agents.wire import Kind
from scheduler.holds import HeldView
from scheduler.progress import Progress, StepView, WaveView
from scheduler.rollout import (
    GuestRecord,
    Happening,
    Hold,
    HostRecord,
    HostState,
    RolloutState,
    StepState,
)
from scheduler.show import Pictures
from scheduler.show_screen import HOST_LOOK, STATE_STYLE, duration, plain_line, screen

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def flight(guest: str) -> StepView:
    return StepView(
        id=f"g1-{guest}",
        kind=Kind.MOVE,
        state=StepState.RUNNING,
        wave=1,
        guest=guest,
        host="h1",
        destination="h2",
        attempt=1,
        since_s=7.0,
        reason="",
    )


def view(
    hosts: Sequence[HostRecord] = (),
    in_flight: Sequence[StepView] = (),
    hold: Hold | None = None,
    state: RolloutState = RolloutState.RUNNING,
) -> Progress:
    wave = WaveView(
        number=1, hosts=4, fixed=1, rebooting=1, draining=1, blocked=1, moves=30, moves_done=12
    )
    return Progress(
        id="xsa-469",
        advisory="XSA-469",
        state=state,
        hold=hold,
        holds=(HeldView(what="rollout", **hold.model_dump()),) if hold else (),
        generation=1,
        elapsed_s=125.0,
        left_s=61.0,
        hosts=tuple(hosts),
        waves=(wave,),
        in_flight=tuple(in_flight),
        held=(),
        crashed=(GuestRecord(name="old", host="h2", crashed=True),),
        given_up=(),
        down=(),
        moves_done=12,
        moves_planned=30,
        moves_lower_bound=28,
        planned_makespan_s=600.0,
        makespan_lower_bound_s=500.0,
        hosts_fixed=1,
        hosts_to_fix=4,
    )


def drawn(progress: Progress, happenings: Sequence[Happening] = (), width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(screen(progress, happenings))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0, "0:00"), (65.9, "1:05"), (3600, "1:00:00"), (90061, "25:01:01")],
)
def test_a_duration_reads_like_a_clock(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_every_state_of_a_host_has_a_sign_of_its_own() -> None:
    assert set(HOST_LOOK) == set(HostState)
    assert len({sign for sign, _ in HOST_LOOK.values()}) == len(HostState)
    assert set(STATE_STYLE) <= set(RolloutState)


def test_the_picture_shows_waves_hosts_guests_moves_and_time_left() -> None:
    hosts = [HostRecord(name=f"h{n}", pool="p", state=s) for n, s in enumerate(HostState)]
    text = drawn(view(hosts, [flight("db-1")]))
    for words in (
        "XSA-469",
        "2:05 gone, about 1:01 left",
        "1/4 hosts",
        "12/30 moves, 1 draining, 1 rebooting, 1 blocked",
        "1 crashed",
        "1 moves in flight",
        "db-1",
        "h1 → h2",
    ):
        assert words in text
    for number, state in enumerate(HostState):
        assert f"{HOST_LOOK[state][0]} h{number}" in text


def test_what_holds_a_rollout_is_said_in_full() -> None:
    hold = Hold(reason="two copies of db-1", since=NOW, by="xenroll")
    stopped = view(hold=hold, state=RolloutState.STOPPED)
    assert "held by xenroll: two copies of db-1" in drawn(stopped)
    assert "held: two copies of db-1" in plain_line(stopped)


def test_moves_that_do_not_fit_are_counted() -> None:
    text = drawn(view(in_flight=[flight(f"g{n}") for n in range(30)]))
    assert "30 moves in flight" in text
    assert "and 22 more" in text


def test_a_thousand_hosts_are_counted_by_state() -> None:
    hosts = [HostRecord(name=f"h{n}", pool="p", state=HostState.FIXED) for n in range(1000)]
    assert "1000 fixed" in drawn(view(hosts))
    assert "h999" not in drawn(view(hosts))


def test_a_guest_cannot_write_commands_to_the_terminal() -> None:
    nasty = Happening(at=NOW, kind="moved", text="evil\x1b[2J\x07name")
    text = drawn(view(in_flight=[flight("g\x1b]0;x\x07")]), [nasty])
    assert "\x07" not in text
    assert "\x1b[2J" not in text and "\x1b]0" not in text
    assert "evil\\x1b[2J\\x07name" in text


def test_without_a_terminal_there_are_lines_and_the_last_word_is_said() -> None:
    out = io.StringIO()
    with Pictures(Console(file=out, width=80)) as pictures:
        pictures.show(view(), [], now_s=0.0)
        pictures.show(view(hosts=[HostRecord(name="h1", pool="p")]), [], now_s=0.1)
        pictures.show(view(state=RolloutState.DONE), [], now_s=0.2)
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("2:05 running, hosts 1/4 fixed")
    assert lines[1].startswith("2:05 done, hosts 1/4 fixed")
