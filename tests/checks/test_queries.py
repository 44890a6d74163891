"""Queries to paste: they find what the check looked at, whatever type and key the id has."""

from __future__ import annotations

import pytest

from checks._queries import logql, traceql
from tests.checks.build import JOB, TRACE, evidence, job, log, span
from validator.model import AttributeValue


@pytest.mark.parametrize(
    ("ids", "condition"),
    [
        ((), 'span.job.id = "42"'),
        (("42",), 'span.job.id = "42"'),
        ((42,), "span.job.id = 42"),
        ((42, "42"), '(span.job.id = "42" || span.job.id = 42)'),
        ((42, "43", 44), "span.job.id = 42"),
        ((True, 42.0, (42,)), 'span.job.id = "42"'),
    ],
)
def test_a_traces_query_asks_for_the_type_that_the_id_has(
    ids: tuple[AttributeValue, ...], condition: str
) -> None:
    """TraceQL compares types: `"42"` finds no span whose id is the number."""
    spans = [span("scraper", f"s{n}", attributes={"job.id": one}) for n, one in enumerate(ids)]
    case = evidence(spans, job=job(id="42"))
    assert traceql(case) == f"{{ {condition} }}"
    assert traceql(case, "scraper").startswith(f"{{ {condition} && ")


def test_what_an_id_has_of_quotes_stays_within_them() -> None:
    """Each language reads it back as it is."""
    case = evidence(job=job(id='a"b'))
    assert traceql(case) == r'{ span.job.id = "a\"b" }'
    assert logql(case) == r'{service_name=~".+"} | job_id="a\"b"'


def test_a_logs_query_asks_for_the_key_that_the_lines_have() -> None:
    """As Loki has it, with `_` for what is no letter; that of the first key where no line tells."""
    keys = ("request.id", "job.id")
    assert logql(evidence(job_id_keys=keys)).endswith(f'| request_id="{JOB}"')
    assert logql(evidence(logs=[log("scraper", "x")], job_id_keys=("request.id", "job_id"))) == (
        f'{{service_name=~".+"}} | job_id="{JOB}"'
    )


def test_without_an_id_a_query_asks_for_the_trace() -> None:
    """Also where it is not known under which key telemetry would name the job."""
    for case in (evidence(job=job(id="")), evidence(job_id_keys=())):
        assert traceql(case) == f'{{ trace:id = "{TRACE}" }}'
        assert logql(case, "scraper") == f'{{service_name="scraper"}} | trace_id="{TRACE}"'
    assert traceql(evidence(job=job(id="", traces=()))) == "{ }"
    assert logql(evidence(job=job(id="", traces=()))) == '{service_name=~".+"}'
