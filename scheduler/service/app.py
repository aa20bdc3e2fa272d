"""The application: every route, and what all of them pass through."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from redis.exceptions import RedisError

from scheduler.advisory import Advisory
from scheduler.limits import Limits
from scheduler.oidc_settings import OidcSettings
from scheduler.service import (
    api_act,
    api_advisories,
    api_change,
    api_crashes,
    api_events,
    api_evidence,
    api_fleet,
    api_livepatch,
    api_notify,
    api_rollouts,
    api_wishes,
    health,
    login,
    metrics,
    page_act,
    page_notify,
    page_parts,
    page_pause,
    pages,
    problem,
    report,
)
from scheduler.service.access import Caller, Tokens
from scheduler.service.audit import Audit
from scheduler.service.feed import Feed
from scheduler.service.forecaster import Forecaster
from scheduler.service.forecasts import Forecasts, Foretells
from scheduler.service.fresh import Fresh
from scheduler.service.guard import Guard
from scheduler.service.parts import Service
from scheduler.service.problem import ProblemBody
from scheduler.service.veil import VeilLayer
from scheduler.service.views import Clock, Views
from scheduler.store import Store
from scheduler.veil import VeiledLog, hidden

if TYPE_CHECKING:
    from scheduler.service.oidc import Oidc

PARTS = (
    *(api_advisories, api_change, api_crashes, api_fleet, api_rollouts),
    *(api_wishes, api_act, api_events, api_evidence, api_notify, api_livepatch),
)
FORECAST_EVERY_S = 15.0
PAGES = (health, metrics, login, report, pages, page_act, page_notify, page_parts, page_pause)
STATIC = Path(__file__).parent / "static"
API = "/api/v1"
PROBLEMS: dict[int | str, dict[str, Any]] = {
    number: {"model": ProblemBody, "description": said}
    for number, said in {
        401: "no token, or one that does not work",
        403: "the role is not enough; `details` names the one needed",
        404: "there is no such thing",
        409: "it makes no sense in this state, which `details` names",
        413: "the body is too long",
        422: "the field in `details` is malformed",
        503: "the server that keeps the fleet's state does not answer",
    }.items()
}


def make_service(
    store: Store,
    clock: Clock,
    draw: Callable[[int], bytes],
    log: Callable[[str], None],
    *,
    look_wait_s: float = 20.0,
    max_age_s: float = 1.0,
    foretells: Foretells | None = None,
    limits: Limits | None = None,
    local: Caller | None = None,
    oidc: OidcSettings | None = None,
    two_people: bool = False,
) -> Service:
    """The parts of one process. `draw` gives that many random bytes.

    `foretells`: who makes forecasts; None: this very process.
    """
    log = VeiledLog(log, store, clock.now)
    foretells = foretells or Forecaster(store, clock, log, waits=not max_age_s)
    often_s = FORECAST_EVERY_S if max_age_s else 0.0
    return Service(
        store=store,
        clock=clock,
        views=Views(store, clock, max_age_s),
        forecasts=Forecasts(foretells, clock.monotonic, often_s, log),
        tokens=Tokens(store.client, draw),
        audit=Audit(store.client),
        feed=Feed(store, log),
        draw=draw,
        look_wait_s=look_wait_s,
        limits=limits or Limits(),
        local=local,
        two_people=two_people,
        oidc=_provider(oidc, clock, log) if oidc else None,
    )


def _provider(settings: OidcSettings, clock: Clock, log: Callable[[str], None]) -> Oidc:
    """Loads cryptography only where somebody needs it."""
    from scheduler.service.oidc import Oidc

    return Oidc(settings, clock.monotonic, log)


def make_app(service: Service) -> FastAPI:
    """The application; its live feed runs while it is served."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.feed.start()
        yield
        service.feed.stop()
        service.forecasts.stop()

    app = FastAPI(
        title="xenroll",
        summary="Rolling live migration of a Xen fleet",
        version=version("xenroll"),
        lifespan=lifespan,
        openapi_url=f"{API}/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    problem.install(app)
    for part in PARTS:
        app.include_router(part.router, prefix=API, responses=PROBLEMS)
    app.include_router(report.api, prefix=API, responses=PROBLEMS)
    for part in PAGES:
        app.include_router(part.router, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=STATIC))
    _describe_problems(app)
    app.add_middleware(VeilLayer, secret=_secret(service))
    app.add_middleware(Guard, new_id=service.new_id)
    return app


def _secret(service: Service) -> Callable[[], Sequence[Advisory]]:
    """What is under embargo, read once a second at most."""

    def read(before: tuple[Advisory, ...] | None) -> tuple[Advisory, ...]:
        return tuple(service.store.advisories().values())

    known = Fresh(read, service.clock.monotonic, service.views.max_age_s)

    def secret() -> Sequence[Advisory]:
        try:
            return hidden(known.get(), service.clock.now())
        except RedisError:
            return known.last or ()

    return secret


def _describe_problems(app: FastAPI) -> None:
    """Give errors their own media type in the API's description; FastAPI knows only one."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        document = described()
        for methods in document["paths"].values():
            for operation in methods.values():
                for code, response in operation["responses"].items():
                    content = response.get("content", {})
                    for media_type in ("application/json", "text/event-stream"):
                        if code >= "400" and media_type in content:
                            content["application/problem+json"] = content.pop(media_type)
        return document

    app.openapi = openapi  # type: ignore[method-assign]
