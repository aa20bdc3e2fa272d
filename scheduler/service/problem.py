"""Errors as `application/problem+json` (RFC 9457), each with a code that a program can act on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException

from scheduler.service.browser import wants_page
from scheduler.service.forecasts import ForecasterLost
from scheduler.store import NoRollout
from scheduler.text import plain

CODES = {404: "not_found", 405: "method_not_allowed", 400: "bad_request"}
SHOWN_CHARS = 200
LINE_CHARS = 1000


class Detail(BaseModel):
    """One field, host or guest that an error is about."""

    name: str
    message: str


class ProblemBody(BaseModel):
    """What every error answers."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    request_id: str
    details: list[Detail] = []


class Problem(Exception):
    """Ends a request with an error; `detail` is one sentence for a person."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        details: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.details = details
        self.headers = dict(headers or {})


def no_such(what: str, name: str) -> Problem:
    """404 for a name that is not known."""
    return Problem(404, "not_found", f"there is no {what} {short(name)}")


def conflict(code: str, detail: str, details: Sequence[tuple[str, str]] = ()) -> Problem:
    """409: it makes no sense in this state, which the sentence names."""
    return Problem(409, code, detail, details)


def short(text: str, most: int = SHOWN_CHARS) -> str:
    """A text from outside, printable and with so many characters of it at most."""
    said = plain(text[: most + 1])
    return said if len(text) <= most else f"{said[:most]}…"


def answer(request: Request, problem: Problem) -> Response:
    """The problem as an answer: a page for a browser that asked for one, else JSON."""
    body = ProblemBody(
        title=HTTPStatus(problem.status).phrase,
        status=problem.status,
        code=problem.code,
        detail=problem.detail,
        request_id=getattr(request.state, "request_id", ""),
        details=[Detail(name=name, message=said) for name, said in problem.details],
    )
    if wants_page(request):
        from scheduler.service.render import problem_page

        return problem_page(request, body, problem.headers)
    return JSONResponse(
        body.model_dump(),
        problem.status,
        headers=problem.headers,
        media_type="application/problem+json",
    )


def install(app: FastAPI) -> None:
    """Every error that leaves a handler becomes a problem."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(NoRollout, _no_rollout)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RedisError, _away)
    app.add_exception_handler(ForecasterLost, _no_forecast)
    app.add_exception_handler(Exception, _defect)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return answer(request, error)


async def _no_rollout(request: Request, error: Exception) -> Response:
    return answer(request, no_such("rollout", str(error)))


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    details = [_said(one) for one in error.errors()[:20]]
    said = "; ".join(f"{name}: {message}" for name, message in details[:3])
    return answer(request, Problem(422, "invalid", short(said), details))


NO_OBJECT = "expected a JSON object, sent with Content-Type: application/json"


def _said(error: Mapping[str, Any]) -> tuple[str, str]:
    """The field, and what is wrong with it in words for whoever sent it."""
    if error["type"] == "json_invalid":
        return "body", f"no JSON: {error.get('ctx', {}).get('error', 'it breaks off')}"
    if error["loc"] == ("body",) and error["type"] in ("missing", "model_attributes_type"):
        return "body", NO_OBJECT
    return _field(error), str(error["msg"])


def _field(error: Mapping[str, Any]) -> str:
    """`reason`, `body.fixed_builds.0`: where the bad value was."""
    return short(".".join(str(part) for part in error["loc"]))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 400 and str(error.detail).endswith("parsing the body"):
        malformed = "body: expected JSON in UTF-8"
        return answer(request, Problem(422, "invalid", malformed, [("body", malformed)]))
    code = CODES.get(error.status_code, "http_error")
    # The address is not said again: under embargo a codename in it would tell what is secret.
    said = short(f"{request.method} of this address: {error.detail}")
    headers = error.headers or {}
    return answer(request, Problem(error.status_code, code, said, headers=headers))


async def _away(request: Request, error: Exception) -> Response:
    said = "the server that keeps the fleet's state does not answer; hosts go on with what runs"
    return answer(request, Problem(503, "store_away", said, headers={"Retry-After": "2"}))


async def _no_forecast(request: Request, error: Exception) -> Response:
    said = "no forecast can be made just now; all else is as it was"
    return answer(request, Problem(503, "no_forecast", said, headers={"Retry-After": "15"}))


async def _defect(request: Request, error: Exception) -> Response:
    said = "a defect of xenroll; its log has the request id"
    return answer(request, Problem(500, "internal", said))


__all__ = ["LINE_CHARS", "Problem", "ProblemBody", "conflict", "install", "no_such", "short"]
