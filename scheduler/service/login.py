"""Letting a browser in with a token, and out again.

A login link is `/login#TOKEN`: what follows `#` stays in the browser, so no log and no referrer
ever has it; the page's script puts it into the form.
"""

from __future__ import annotations

import hmac
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from scheduler.service.access import SESSION_S, Caller
from scheduler.service.browser import COOKIE, other_site
from scheduler.service.links import open_link
from scheduler.service.parts import Parts, browser_session
from scheduler.service.problem import Problem
from scheduler.service.render import page

router = APIRouter()


def page_caller(request: Request, parts: Parts) -> Caller:
    """Who looks at a page. Raises Problem 401, which leads to the login page."""
    found = browser_session(request, parts)
    if found is None:
        raise Problem(401, "unauthenticated", "log in first")
    request.state.caller = found
    return found


PageCaller = Annotated[Caller, Depends(page_caller)]


def own_form(request: Request) -> None:
    """Raises Problem 403 where another site made the browser send this."""
    if other_site(request):
        raise Problem(403, "other_site", "this form was sent from another site")


def check_csrf(who: Caller, csrf: str) -> None:
    """Raises Problem 403 where a form was made for another session."""
    if not hmac.compare_digest(csrf.encode(), who.csrf.encode()):
        raise Problem(403, "stale_form", "this form is of an older login: open the page again")


@router.get("/login")
def show(request: Request, next: str = "/") -> Response:
    """The form; a script sends it at once where the address carries a token."""
    return page(request, "login.html", None, next=_inside(next), failed=False)


@router.post("/login", dependencies=[Depends(own_form)])
def let_in(
    request: Request,
    parts: Parts,
    token: Annotated[str, Form(max_length=200)],
    next: Annotated[str, Form(max_length=2000)] = "/",
) -> Response:
    """Open a session for a token that works."""
    text, now = token.strip(), parts.clock.now()
    who = parts.tokens.caller(text, now) or open_link(parts.store.client, parts.tokens, text, now)
    if who is None:
        return page(request, "login.html", None, 401, next=_inside(next), failed=True)
    answer = RedirectResponse(_inside(next), 303)
    answer.set_cookie(
        COOKIE,
        parts.tokens.open_session(who),
        max_age=SESSION_S,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return answer


@router.get("/session")
def session(request: Request, parts: Parts) -> dict[str, bool]:
    """For the login page: whether this browser is let in already."""
    return {"open": browser_session(request, parts) is not None}


@router.post("/logout", dependencies=[Depends(own_form)])
def let_out(request: Request, parts: Parts) -> Response:
    """End the session."""
    cookie = request.cookies.get(COOKIE)
    if cookie:
        parts.tokens.close_session(cookie)
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


def _inside(path: str) -> str:
    """A path of this service; anything that a browser could take for another site is not."""
    inside = path.startswith("/") and not path.startswith("//") and "\\" not in path
    return path if inside and path.isprintable() else "/"
