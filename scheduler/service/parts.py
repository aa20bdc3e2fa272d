"""What a request handler works with, and who may call it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from scheduler.limits import Limits
from scheduler.service.access import Caller, NotLetIn, ProviderAway, Role, Tokens
from scheduler.service.audit import Audit, Entry
from scheduler.service.browser import COOKIE, other_site
from scheduler.service.feed import Feed
from scheduler.service.forecasts import Forecasts
from scheduler.service.fragments import Fragments
from scheduler.service.problem import Problem, short
from scheduler.service.views import Clock, Views
from scheduler.store import Store

if TYPE_CHECKING:
    from scheduler.service.oidc import Oidc

READING = ("GET", "HEAD")
CHALLENGE = 'Bearer realm="xenroll"'
MAX_TOKEN_CHARS = 16_384


@dataclass(frozen=True)
class Service:
    """Everything that a process of the service has; made once, in `app`."""

    store: Store
    clock: Clock
    views: Views
    forecasts: Forecasts
    tokens: Tokens
    audit: Audit
    feed: Feed
    draw: Callable[[int], bytes]  # so many random bytes
    look_wait_s: float
    limits: Limits
    oidc: Oidc | None = None
    two_people: bool = False  # who starts a rollout may not approve it
    local: Caller | None = None  # a command line in this very process: everybody is this one
    fragments: Fragments = field(default_factory=Fragments)

    def new_id(self) -> str:
        """An id that nobody has."""
        return self.draw(12).hex()

    def note(self, request: Request, caller: Caller, action: str, target: str, why: str) -> Entry:
        """Write a change into the audit trail, before it is made."""
        entry = Entry(
            at=self.clock.now(),
            who=caller.name,
            role=str(caller.role),
            action=action,
            target=target,
            reason=why,
            request_id=request.state.request_id,
        )
        self.audit.write(entry)
        return entry


def service(request: Request) -> Service:
    """The service that this request came to."""
    return cast(Service, request.app.state.service)


Parts = Annotated[Service, Depends(service)]
_bearer = HTTPBearer(auto_error=False, description="A token made by `xenroll token create`.")
_Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


def caller(request: Request, said: _Credentials, parts: Parts) -> Caller:
    """Who calls: by bearer token; for reading also by the cookie of a logged-in browser.

    Raises Problem 401. A cookie changes nothing here: the pages have forms of their own.
    """
    found = parts.local
    if found is None and said is not None:
        found = _bearer_of(parts, said.credentials)
    elif found is None and request.method in READING and not other_site(request):
        found = browser_session(request, parts)
    if found is None:
        headers = {"WWW-Authenticate": CHALLENGE}
        raise Problem(401, "unauthenticated", "a token is needed", headers=headers)
    request.state.caller = found
    return found


def still(
    request: Request, said: _Credentials, parts: Parts, who: Annotated[Caller, Depends(caller)]
) -> Callable[[], bool]:
    """Asks whether the caller would be let in now, too: for an answer that outlives its request.

    Raises redis errors.
    """

    def asked() -> bool:
        try:
            return caller(request, said, parts) == who
        except Problem:
            return False

    return asked


Still = Annotated[Callable[[], bool], Depends(still)]


def _bearer_of(parts: Service, text: str) -> Caller:
    """Whose token this is: one of ours, or of the identity provider. Raises Problem 401, 503."""
    now = parts.clock.now()
    why = "this token is unknown, revoked or has ended"
    if parts.oidc is not None and "." in text and len(text) <= MAX_TOKEN_CHARS:
        try:
            return parts.oidc.caller(text, now)
        except NotLetIn as error:
            why = short(str(error))
        except ProviderAway:
            said = "the keys of the identity provider cannot be read just now; tokens of ours work"
            raise Problem(503, "provider_away", said, headers={"Retry-After": "5"}) from None
    elif found := parts.tokens.caller(text[:MAX_TOKEN_CHARS], now):
        return found
    headers = {"WWW-Authenticate": f'{CHALLENGE}, error="invalid_token"'}
    raise Problem(401, "unauthenticated", why, headers=headers)


def browser_session(request: Request, parts: Service) -> Caller | None:
    """Who a browser's cookie stands for."""
    cookie = request.cookies.get(COOKIE)
    return parts.tokens.session(cookie, parts.clock.now()) if cookie else None


def check_role(who: Caller, needed: Role) -> Caller:
    """The caller, who may do this. Raises Problem 403 with the role needed."""
    if not who.role.covers(needed):
        said = f"this needs the role {needed}; {who.name} has the role {who.role}"
        raise Problem(403, "forbidden", said, [("role", str(needed))])
    return who


def _at_least(needed: Role) -> Callable[[Caller], Caller]:
    def check(who: Annotated[Caller, Depends(caller)]) -> Caller:
        return check_role(who, needed)

    return check


Viewer = Annotated[Caller, Depends(_at_least(Role.VIEWER))]
OnCall = Annotated[Caller, Depends(_at_least(Role.ON_CALL))]
Security = Annotated[Caller, Depends(_at_least(Role.SECURITY))]
Admin = Annotated[Caller, Depends(_at_least(Role.ADMIN))]
