"""Whether an answer is one of xenroll's service, and what it refuses.

An address may lead to another program: a proxy whose service is away, a page that wants a login, an
older one. Nothing of what those say may pass for an answer, least of all for a pause that holds.
"""

from __future__ import annotations

from typing import Any

import httpx
from pydantic import BaseModel, ValidationError

from scheduler.cli_exit import Exit

PROBLEM = "application/problem+json"
BY_CODE = {
    "blocked": Exit.BLOCKED,
    "fleet_doubt": Exit.NO_PLAN,
    "no_inventory": Exit.BAD_INPUT,
    "store_away": Exit.AWAY,
}
BY_STATUS = {
    401: Exit.NO_ACCESS,
    403: Exit.NO_ACCESS,
    404: Exit.NOT_FOUND,
    409: Exit.REFUSED,
    413: Exit.BAD_INPUT,
    422: Exit.BAD_INPUT,
    503: Exit.AWAY,
}


class Refused(Exception):
    """The command cannot be done: the exit code, and the lines that say why."""

    def __init__(self, code: Exit, *lines: str) -> None:
        super().__init__("; ".join(lines))
        self.code = code
        self.lines = lines


class _Detail(BaseModel):
    name: str
    message: str


class _Problem(BaseModel):
    """As much of `scheduler.service.problem.ProblemBody` as is used here."""

    status: int
    code: str
    detail: str
    request_id: str
    details: list[_Detail] = []


def checked(answer: httpx.Response, where: str) -> httpx.Response:
    """The answer, if it is one of xenroll's that grants what was asked. Raises Refused."""
    if answer.status_code >= 300:
        raise _refused(answer, where)
    if "x-request-id" not in answer.headers:  # every answer of the service has it
        raise _stranger(answer, where)
    return answer


def parsed(answer: httpx.Response, where: str) -> Any:
    """What it says. Raises Refused where that is no JSON."""
    try:
        return answer.json()
    except ValueError:
        raise _stranger(answer, where) from None


def _stranger(answer: httpx.Response, where: str) -> Refused:
    said = f"{where} answered {answer.status_code}, but not as xenroll does: is it the address?"
    return Refused(Exit.AWAY, said)


def _refused(answer: httpx.Response, where: str) -> Refused:
    if answer.headers.get("content-type", "").partition(";")[0].strip() != PROBLEM:
        return _stranger(answer, where)
    try:
        said = _Problem.model_validate_json(answer.content)
    except ValidationError:
        return _stranger(answer, where)
    code = BY_CODE.get(said.code) or BY_STATUS.get(said.status, Exit.INTERNAL)
    lines = [f"{said.detail} {said.request_id}" if said.code == "internal" else said.detail]
    more = [f"{one.name}: {one.message}" for one in said.details if one.message not in said.detail]
    return Refused(code, *lines, *more)
