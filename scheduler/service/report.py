"""The report on a rollout, at its end or at a change of shift: as a page, and through the API."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, PlainTextResponse, Response

from scheduler.rollout import Happening
from scheduler.service.api_rollouts import Id
from scheduler.service.login import PageCaller
from scheduler.service.parts import Parts, Service, Viewer
from scheduler.service.report_text import POLICY, in_html, in_markdown
from scheduler.service.shift import Report, report
from scheduler.store import Store

router = APIRouter()
api = APIRouter(tags=["rollouts"])

NEWEST, MOST_SINCE = 5_000, 50_000
"""Lines of the event log that are looked through, without and with a beginning."""

SinceTime = Annotated[
    datetime | None, Query(description="Only what happened from then on: a change of shift.")
]


class ReportFormat(StrEnum):
    """What a report is made as."""

    JSON = "json"
    MD = "md"
    HTML = "html"


def log_lines(store: Store, rollout_id: str, since: datetime | None) -> list[Happening]:
    """The end of the event log, oldest first."""
    return store.happenings(rollout_id, NEWEST if since is None else MOST_SINCE)


def in_utc(since: datetime | None) -> datetime | None:
    """A time without a zone is taken for one in UTC."""
    return since.replace(tzinfo=UTC) if since is not None and since.tzinfo is None else since


def _answer(
    parts: Service, rollout_id: str, since: datetime | None, form: ReportFormat
) -> Report | Response:
    view = parts.views.rollout(rollout_id)
    lines = log_lines(parts.store, rollout_id, since)
    said = report(view, parts.views.fleet(), lines, in_utc(since), parts.clock.now())
    if form is ReportFormat.HTML:
        headers = {"Content-Security-Policy": POLICY}
        return HTMLResponse(in_html(said, view), headers=headers)
    if form is ReportFormat.MD:
        text = in_markdown(said, view)
        return PlainTextResponse(text, media_type="text/markdown; charset=utf-8")
    return said


@router.get("/rollouts/{rollout_id}/report", response_model=None)
def html_report(
    rollout_id: Id, who: PageCaller, parts: Parts, since: SinceTime = None
) -> Report | Response:
    """The report as one HTML file."""
    return _answer(parts, rollout_id, since, ReportFormat.HTML)


@router.get("/rollouts/{rollout_id}/report.md", response_model=None)
def markdown_report(
    rollout_id: Id, who: PageCaller, parts: Parts, since: SinceTime = None
) -> Report | Response:
    """The report as Markdown, for a ticket or a chat."""
    return _answer(parts, rollout_id, since, ReportFormat.MD)


@api.get(
    "/rollouts/{rollout_id}/report",
    response_model=Report,
    responses={200: {"content": {"text/markdown": {}, "text/html": {}}}},
)
def api_report(
    rollout_id: Id,
    who: Viewer,
    parts: Parts,
    since: SinceTime = None,
    format: ReportFormat = ReportFormat.JSON,
) -> Report | Response:
    """What it came to so far: since a moment, under way, held, decided, next."""
    return _answer(parts, rollout_id, since, format)
