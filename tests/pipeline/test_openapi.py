"""The published documents, driven by schemathesis: no 500, and no answer that is not documented."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

if TYPE_CHECKING:
    from pipeline.testing import RunningPipeline

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.req("P-03")]

SERVICES = ("orchestrator", "scraper", "chunking", "embedding-api", "search")
_CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)
_UNCALLED = {("PUT", "/lease"), ("PATCH", "/lease"), ("DELETE", "/lease")}
"""The lease of a pipeline that other tests share is left to nobody at random."""


def _drive(running: RunningPipeline, service: str, examples: int) -> int:
    """Call every endpoint with generated requests, right ones and wrong ones; return how many."""
    schema = schemathesis.openapi.from_url(f"{running.url(service)}/openapi.json")
    # Nobody's limit is to be what is found: the services' own key has none.
    key = running.key("service")
    called = 0

    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        if (operation.method.upper(), operation.path) in _UNCALLED:
            continue

        @given(case=operation.as_strategy())
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def call(case: Any) -> None:
            nonlocal called
            called += 1
            answer = case.call(headers=key)
            assert answer.status_code not in {500, 502}, answer.text[:500]
            case.validate_response(answer, checks=_CHECKS)

        call()
    return called


@pytest.mark.parametrize("service", SERVICES)
def test_no_request_makes_an_undocumented_answer(running: RunningPipeline, service: str) -> None:
    """A hundred requests to each endpoint, half of them wrong in some way."""
    assert _drive(running, service, 100) >= 100
