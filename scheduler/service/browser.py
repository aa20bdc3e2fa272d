"""Telling a person's browser from a program, and its own forms from another site's."""

from __future__ import annotations

from fastapi import Request

COOKIE = "xenroll_session"


def wants_page(request: Request) -> bool:
    """Whether this request comes from somebody who looks at pages."""
    is_api = request.url.path.startswith(("/api/", "/metrics", "/healthz", "/readyz"))
    return not is_api and "text/html" in request.headers.get("accept", "")


def other_site(request: Request) -> bool:
    """Whether a browser says that another site makes this request.

    `Sec-Fetch-Site` is sent by every browser of these years and cannot be set by a page; an older
    one sends `Origin` with each POST. Neither: not a browser, or one so old that the CSRF token of
    the form has to do alone.
    """
    fetched = request.headers.get("sec-fetch-site")
    if fetched is not None:
        return fetched not in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is not None and origin != f"{request.url.scheme}://{request.url.netloc}"
