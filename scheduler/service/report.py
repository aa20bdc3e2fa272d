"""The report on a rollout, at its end or at a change of shift: Markdown, or one HTML file.

The HTML needs nothing beside itself, so that it can be mailed and kept.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import PlainTextResponse, Response

from scheduler.account import Account, account
from scheduler.rollout import ENDED, Happening
from scheduler.service import present
from scheduler.service.api_rollouts import Id
from scheduler.service.exposure import Curve, Point
from scheduler.service.guard import CONTENT_SECURITY_POLICY
from scheduler.service.login import PageCaller
from scheduler.service.parts import Parts, Service
from scheduler.service.problem import short
from scheduler.service.render import HERE, page
from scheduler.service.veil import markdown
from scheduler.service.views import RolloutView

router = APIRouter()

WIDTH, HEIGHT = 860, 220
QUIET = frozenset({"started", "moved", "ordered", "draining", "held", "notice"})
NEWEST = 5000
LISTED = 300
STYLE = (HERE / "pages" / "report.css").read_text()
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = CONTENT_SECURITY_POLICY.replace("style-src 'self'", f"style-src 'sha256-{STYLE_HASH}'")

Since = Annotated[
    datetime | None, Query(description="Only what happened from then on: a change of shift.")
]


@router.get("/rollouts/{rollout_id}/report")
def html_report(
    request: Request, rollout_id: Id, who: PageCaller, parts: Parts, since: Since = None
) -> Response:
    """The report as one HTML file."""
    view = parts.views.rollout(rollout_id)
    said = account(view.book, parts.clock.now())
    values = {
        "head": view.book.rollout,
        "said": said,
        "facts": figures(said, view),
        "crashes": present.crash_classes(view),
        "held": present.held(view, parts.views.fleet())[:LISTED],
        "lines": happened(parts, rollout_id, since),
        "since": since,
        "at": parts.clock.now(),
        "style": STYLE,
        "plots": plots(view.curve),
        "size": (WIDTH, HEIGHT),
    }
    headers = {"Content-Security-Policy": POLICY}
    return page(request, "report.html", who, 200, headers, **values)


@router.get("/rollouts/{rollout_id}/report.md")
def markdown_report(
    rollout_id: Id, who: PageCaller, parts: Parts, since: Since = None
) -> PlainTextResponse:
    """The report as Markdown, for a ticket or a chat."""
    view = parts.views.rollout(rollout_id)
    text = in_markdown(view, parts, happened(parts, rollout_id, since))
    return PlainTextResponse(text, media_type="text/markdown; charset=utf-8")


def happened(parts: Service, rollout_id: str, since: datetime | None) -> list[Happening]:
    """What a person may want to read of the event log, oldest first: no plain start and arrival."""
    lines = parts.store.happenings(rollout_id, NEWEST)
    if since is not None and since.tzinfo is None:
        since = since.replace(tzinfo=UTC)
    told = [x for x in lines if x.kind not in QUIET and (since is None or x.at >= since)]
    return told[-LISTED:]


def in_markdown(view: RolloutView, parts: Service, lines: Sequence[Happening]) -> str:
    """The report in Markdown; names in it cannot become markup."""
    said = account(view.book, parts.clock.now())
    rows = [
        f"# {_md(said.advisory)}: rollout {_md(said.id)}, {said.state}",
        "",
        *(f"- {_md(name)}: {_md(value)}" for name, value in figures(said, view)),
        "",
    ]
    held = present.held(view, parts.views.fleet())[:LISTED]
    rows += _section(
        "Held and blocked",
        (f"{one.host} {one.guest} (owner {one.owner or 'unknown'}): {one.reason}" for one in held),
    )
    rows += _section(
        "Crashed",
        (
            f"{name} on {host} ({one.name}): {why}"
            for one in present.crash_classes(view)
            for name, host, why in one.guests
        ),
    )
    rows += _section("What happened", (f"{x.at:%H:%M:%S} {x.kind}: {x.text}" for x in lines))
    return "\n".join(rows) + "\n"


def figures(said: Account, view: RolloutView) -> list[tuple[str, str]]:
    """The figures that a report begins with."""
    left = "" if said.state in ENDED else present.duration(view.curve.left_p50_s)
    hosts = ", ".join(f"{count} {state}" for state, count in sorted(said.hosts.items()))
    often = ", ".join(f"{count} guests {n}x" for n, count in said.moves_of_guests.items())
    found = [
        ("hosts", hosts),
        ("took so far" if left else "took", present.duration(said.took_s)),
        ("time left", left),
        ("moves", f"{said.moves} (no plan can have fewer than {said.moves_lower_bound})"),
        ("moved how often", often),
        ("attempts that left a guest where it was", str(said.stayed)),
        ("restarted with their hosts", str(len(said.restarted))),
        ("crashed", str(len(said.crashed))),
        ("could not be moved", str(len(said.given_up))),
        ("still shut down", ", ".join(said.down)),
        ("plans", str(said.plans)),
    ]
    return [(name, value) for name, value in found if value]


def _section(title: str, lines: Iterable[str]) -> list[str]:
    found = [f"- {_md(line)}" for line in lines]
    return [f"## {title}", "", *found, ""] if found else []


def _md(text: str) -> str:
    return markdown(short(text))


def plots(curve: Curve) -> list[tuple[str, str, int]]:
    """(what, points of a polyline, highest) for the burn-down of hosts, and of guests."""
    found = [("hosts", *_line(curve.points, [point.hosts for point in curve.points]))]
    if curve.knows_guests:
        found.append(("guests", *_line(curve.points, [point.guests for point in curve.points])))
    return found


def _line(points: Sequence[Point], counts: Sequence[int]) -> tuple[str, int]:
    start_s, end_s = points[0].at_s, max(points[-1].at_s, points[0].at_s + 1)
    highest = max(1, *counts)
    spots: list[str] = []
    before = counts[0]
    for point, count in zip(points, counts, strict=True):
        x = round(WIDTH * (point.at_s - start_s) / (end_s - start_s), 1)
        spots += [f"{x},{_y(before, highest)}", f"{x},{_y(count, highest)}"]
        before = count
    return " ".join(spots), highest


def _y(count: int, highest: int) -> float:
    return round(HEIGHT * (1 - count / highest), 1)
