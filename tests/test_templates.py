"""Templates: what they render to, what they refuse, and what they cannot be made to do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.util import parse_url

from checks import CheckKind
from tests.config.kinds import KINDS, SpansOf
from validator.errors import ConfigError
from validator.model import Job, JobState, TraceRef
from validator.suite import CheckSpec
from validator.templates import (
    TemplateError,
    UnboundTemplate,
    bind,
    context,
    names,
    render,
    render_text,
    render_url,
    settled,
)

NAMES = context(
    {
        "job.id": "7f3c.9-\"'",
        "job.n": 3,
        "job.tags": ["a", "b"],
        "error_code": "E1",
        "run.id": "r1",
        "run.nonce": "n",
        "run.corpus": "c",
        "trace.id": "t",
    }
)


def job(job_id: str = "j-1", /, **fields: Any) -> Job:
    """Return a job."""
    return Job(
        id=job_id,
        run_id="r1",
        target="t",
        state=JobState.PASSED,
        status="done",
        detail="",
        fields=fields,
        traces=(TraceRef("ab" * 16, "sent"),),
        sent_parent="",
        existing=False,
        submitted=1.0,
        ended=2.0,
    )


def spec(**params: Any) -> CheckSpec:
    """Return a check with these parameters."""
    return CheckSpec("spans_of", "one", {"service": "s", **params}, "c", "required", "f.yaml:3")


KIND: CheckKind = KINDS["spans_of"]


@pytest.mark.parametrize(
    ("value", "rendered"),
    [
        ("plain", "plain"),
        ("{{ job.id }}", "7f3c.9-\"'"),
        ("a {{ run.id }} b{{run.nonce}}", "a r1 bn"),
        ("{{ job.n }}", 3),
        (" {{ job.n }} ", 3),
        ("{{ job.n }} pages", "3 pages"),
        ("{{ job.tags }}", ["a", "b"]),
        ("{{ job['id'] }}", "7f3c.9-\"'"),
        ("{{ job.error_code }}", "E1"),
        ("{{ job.id | upper }}", "7F3C.9-\"'"),
        ("^{{ 'a.b' | regex }}$", r"^a\.b$"),
        ("{{ '{{' }} kept {% if %} {# too #}", "{{ kept {% if %} {# too #}"),
        (
            {"{{ key }}": ["{{ trace.id }}", {"x": "{{ run.corpus }}"}]},
            {"{{ key }}": ["t", {"x": "c"}]},
        ),
        (7, 7),
        (None, None),
        ("ends with a line\n{{ run.id }}\n", "ends with a line\nr1\n"),
    ],
)
def test_values_are_rendered_wherever_they_are(value: Any, rendered: Any) -> None:
    """Texts, lists, mappings; a template alone keeps its type; keys are left alone."""
    assert render(value, NAMES) == rendered


def test_text_stays_text() -> None:
    """Where text is needed (a header, a form), a template alone gives text."""
    assert render_text("{{ job.n }}", NAMES) == "3"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{{ job.idd }}", "job.idd"),
        ("a{{ job.idd }}", "job.idd"),
        ("{{ jbo.id }}", "jbo.id"),
        ("{{ job['x'].y }}", "job.x.y"),
    ],
)
def test_what_is_not_known_is_named(text: str, name: str) -> None:
    """Nothing is rendered as an empty text."""
    with pytest.raises(UnboundTemplate) as caught:
        render(text, NAMES)
    assert caught.value.name == name


@pytest.mark.parametrize("value", ["", None])
def test_an_empty_value_is_not_known(value: str | None) -> None:
    """A job without an id must not be looked for by an empty one."""
    with pytest.raises(UnboundTemplate):
        render("{{ job.id }}", context({"job.id": value}))


@pytest.mark.parametrize("text", ["{{ job.id", "{{ }}", "{{ 1 +* 2 }} x", "{{ job.id | nope }}"])
def test_what_is_no_template_is_refused(text: str) -> None:
    """A broken template is a mistake in the file, not an unknown value."""
    with pytest.raises(TemplateError):
        render(text, NAMES)
    with pytest.raises(TemplateError):
        names(text)


@pytest.mark.parametrize(
    "text",
    [
        "{{ job.id.__class__.__mro__ }}",
        "{{ job.__class__ }}",
        "{{ ''.__class__ }} x",
        "{{ range(3) }}",
        "{{ job.tags.append('c') }}",
        "{{ self.__init__ }} x",
    ],
)
def test_templates_cannot_reach_beyond_their_names(text: str) -> None:
    """The sandbox holds, also for a suite that someone else wrote."""
    with pytest.raises((UnboundTemplate, TemplateError)):
        render(text, NAMES)


def test_values_are_not_rendered_again() -> None:
    """A target that answers a template as an id gets no template rendered."""
    hostile = context({"job.id": "{{ run.id }}", "run.id": "r1"})
    assert render(["{{ job.id }}", "x{{ job.id }}"], hostile) == ["{{ run.id }}", "x{{ run.id }}"]


def test_a_new_runs_job_is_rendered_with_its_run() -> None:
    """The suite's own values may name the run's nonce; they are rendered once."""
    found = settled({"run.nonce": "n", "job.url": "http://s/{{ run.nonce }}", "job.n": 1})
    assert found == {"run.nonce": "n", "job.url": "http://s/n", "job.n": 1}
    assert settled(found) == found


@given(st.text(min_size=1))
def test_no_job_id_changes_the_path_of_an_address(job_id: str) -> None:
    """Whatever the id is: it stays within its segment, or the address is refused."""
    url = "http://host:1/jobs/{{ job.id }}/state?x={{ job.id }}"
    try:
        rendered = render_url(url, context({"job.id": job_id}))
    except ConfigError:
        assert job_id in (".", "..")
        return
    parsed = parse_url(rendered)
    assert (parsed.scheme, parsed.host, parsed.port, parsed.fragment) == ("http", "host", 1, None)
    path = (parsed.path or "").split("/")
    assert (path[:2], path[3:]) == (["", "jobs"], ["state"])


def test_names_are_listed_in_order_and_once() -> None:
    """What a value's templates use can be asked without rendering."""
    value = {"a": "{{ job.id }} {{ run.id }}", "b": ["{{ job['x'] }}", "{{ job.id | upper }}", 3]}
    assert names(value) == ("job.id", "run.id", "job.x")
    assert names("none") == ()


def test_bind_gives_the_kinds_parameters() -> None:
    """The job's id, run, trace and fields (plain and dotted) are what checks may name."""
    params = bind(
        spec(
            service="{{ job.stage }}-{{ run.corpus }}",
            count="{{ job.n }}",
            equals={"job.id": "{{ job.id }}", "t": "{{ trace.id }}", "r": "{{ run.id }}"},
        ),
        job(**{"stage": "scrape", "run.corpus": "c", "job.n": 4}),
        KIND,
    )
    assert params == SpansOf(
        service="scrape-c", count=4, equals={"job.id": "j-1", "t": "ab" * 16, "r": "r1"}
    )


def test_the_jobs_own_id_outranks_its_fields() -> None:
    """A target cannot answer itself another id through a field."""
    assert bind(spec(service="{{ job.id }}"), job(**{"id": "x", "run.id": "y"}), KIND) == SpansOf(
        service="j-1"
    )


def test_bind_says_what_is_not_known() -> None:
    """A job that was never taken has no id to look for."""
    with pytest.raises(UnboundTemplate, match=r"job.id is not known"):
        bind(spec(equals={"job.id": "{{ job.id }}"}), job(""), KIND)


def test_bind_says_where_rendered_parameters_do_not_fit() -> None:
    """File and line of the check, and the parameter."""
    with pytest.raises(
        ConfigError, match=r"^f.yaml:3: one: count: .*after templates were rendered"
    ):
        bind(spec(count="{{ job.id }}"), job(), KIND)
