"""The API's description: checked in, true, and held against thousands of made-up requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import redis
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from scheduler.service.access import Role
from scheduler.service.openapi import FILE, document, text
from tests.redis_fleet import RedisFleet
from tests.service_kit import Served, begun, served, small_fleet

EXAMPLES = 10
KNOWN = {"rollout_id": "xsa-1", "step_id": "g1-1", "generation": 1}
STREAM = "/api/v1/events"
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)
"""Never 5xx, only documented codes and types, and answers that are what the description says."""


@pytest.fixture(scope="module")
def operations() -> list[str]:
    """Every path and method of the API, but the stream, which never ends."""
    return sorted(
        f"{method.upper()} {path}"
        for path, methods in document()["paths"].items()
        for method in methods
        if path != STREAM
    )


@pytest.fixture
def running(redis_client: redis.Redis) -> Iterator[Served]:
    """A service in front of a small fleet, with a rollout under way."""
    played = RedisFleet(redis_client, small_fleet())
    begun(played)
    controller = played.controller()
    for _ in range(10):
        played.round(controller)
    with served(redis_client, played) as made:
        yield made


def test_the_file_is_what_the_program_serves(running: Served) -> None:
    assert FILE.read_text() == text(), "python -m scheduler.service.openapi > " + FILE.name
    assert running.get("/openapi.json").json() == document()


def test_every_operation_has_help_and_says_what_its_errors_look_like() -> None:
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            assert operation.get("description"), f"{method} {path}"
            problem = operation["responses"]["401"]["content"]
            assert list(problem) == ["application/problem+json"], f"{method} {path}"


def name_what_is_there(case: schemathesis.Case[Any]) -> None:
    """Ask for what exists, as far as this request names anything."""
    case.path_parameters.update(
        {key: name for key, name in KNOWN.items() if key in case.path_parameters}
    )


def test_made_up_requests_never_break_it_and_its_answers_are_as_described(
    running: Served, operations: list[str]
) -> None:
    schema = schemathesis.openapi.from_dict(document())
    schema.config.base_url = running.url
    headers = {"Authorization": f"Bearer {running.tokens[Role.ADMIN]}"}
    tried: list[str] = []
    answers: Counter[int] = Counter()
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()
        name = f"{operation.method.upper()} {operation.path}"
        if operation.path == STREAM:
            continue
        tried.append(name)
        strategy = st.one_of(
            operation.as_strategy(), operation.as_strategy(schemathesis.GenerationMode.NEGATIVE)
        )

        @given(case=strategy)
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def hold(case: schemathesis.Case[Any]) -> None:
            if sum(answers.values()) % 2:  # else a made-up name, which nothing has
                name_what_is_there(case)
            answer = case.call(headers=headers)
            case.validate_response(answer, checks=list(CHECKS))
            answers[answer.status_code] += 1

        hold()
    assert sorted(tried) == operations
    print(dict(answers))
    assert {200, 404, 422} <= set(answers)
