"""Templates to answers: escaping is on for everything, and names are made printable besides."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from scheduler.service.access import Caller, Role
from scheduler.service.present import DASH, duration, size
from scheduler.service.problem import LINE_CHARS, ProblemBody, short

HERE = Path(__file__).parent


def _digest(names: tuple[str, ...]) -> str:
    """Changes whenever one of these files does, so that browsers may keep them for ever."""
    read = hashlib.sha256()
    for name in names:
        read.update((HERE / "static" / name).read_bytes())
    return read.hexdigest()[:12]


def _when(at: datetime | float | None) -> str:
    if at is None:
        return DASH
    moment = at if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC)
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _clock(at: float, now: datetime) -> str:
    """The hour alone on the day of `now`, with the date on another."""
    moment = datetime.fromtimestamp(at, UTC)
    same_day = moment.date() == now.astimezone(UTC).date()
    return moment.strftime("%H:%M UTC") if same_day else _when(moment)


def _segment(name: str) -> str:
    """A name as one part of a path."""
    return quote(name, safe="")


def environment() -> Environment:
    """The templates of `pages/`."""
    made = Environment(
        loader=FileSystemLoader(HERE / "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "name": lambda text: short(str(text)),
        "line": lambda text: short(str(text), LINE_CHARS),
        "duration": duration,
        "size": size,
        "when": _when,
        "clock": _clock,
        "segment": _segment,
        "many": lambda number: f"{number:,}".replace(",", "\u202f"),
    }
    made.globals["static_version"] = _digest(("app.css", "app.js"))
    made.globals["on_call"] = Role.ON_CALL
    made.globals["admin"] = Role.ADMIN
    return made


ENVIRONMENT = environment()


def page(
    request: Request,
    template: str,
    who: Caller | None,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **values: Any,
) -> HTMLResponse:
    """One of the templates with these values."""
    text = ENVIRONMENT.get_template(template).render(path=request.url.path, me=who, **values)
    return HTMLResponse(text, status, headers=dict(headers or {}))


def to_login(request: Request) -> Response:
    """Send a browser that nobody is logged in with to the login page, and back afterwards."""
    if request.headers.get("hx-request"):
        return Response(status_code=401, headers={"HX-Refresh": "true"})
    path = request.url.path
    if request.url.query:
        path += f"?{request.url.query}"
    return RedirectResponse(f"/login?next={quote(path)}", 303)


def problem_page(request: Request, body: ProblemBody, headers: Mapping[str, str]) -> Response:
    """An error as a page; not being logged in leads to the login page instead."""
    if body.status == 401 and request.method == "GET" and body.code == "unauthenticated":
        return to_login(request)
    who = getattr(request.state, "caller", None)
    return page(request, "problem.html", who, body.status, headers, problem=body)
