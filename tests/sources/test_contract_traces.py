"""What sources promise that are asked by trace id, and whose index is apart, held against each.

A span that links to a trace asked for is not found without searching; a trace that is linked to
is read by its id.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
import requests

from tests.sources.conftest import ask
from tests.sources.encode import SECOND, Row
from tests.sources.servers import Canned
from tests.sources.trace_servers import KINDS, LAGS, Store, trace_store
from validator.errors import SourceError, SourceFailure
from validator.model import AttributeValue, SpanKind, TraceRef
from validator.ports import Plantable, Probing, Searching, TraceSource
from validator.sources.trace_store import MOST_TRACES, TraceStore

OURS, OTHER, PRODUCER = "a1" * 16, "00" + "b2" * 15, "c3" * 16
CONTROL = "cc" * 16
JOB = {"job.id": "job-1"}
ROWS = (
    Row(OURS, span="00000000000000a1"),
    Row(OURS, span="00000000000000a2", parent="00000000000000a1"),
    Row(OTHER, span="00000000000000b1", attributes=JOB),
    Row(OTHER, span="00000000000000b2", parent="00000000000000b1"),
    Row("d4" * 16, span="00000000000000d1", attributes={"job.id": "job-2"}),
)
LINKING = Row(OURS, span="00000000000000a3", links=((PRODUCER, "00000000000000c1"),))


@dataclass
class Subject:
    """A source, and the server that it reads."""

    source: TraceStore
    store: Store


@pytest.fixture(params=KINDS)
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """Return each source, with a way in for control records."""
    with trace_store(request.param, control=True) as (source, store):
        yield Subject(source, store)


def ids(subject: Subject, *trace_ids: str, job_id: str = "") -> list[str]:
    """Ask, and return the last two digits of each span's id, sorted."""
    answer = subject.source.traces(ask(*trace_ids, job_id=job_id))
    return sorted(span.span_id[-2:] for span in answer.spans)


@pytest.mark.req("V-12")
def test_it_is_what_it_says(subject: Subject) -> None:
    """It has every seam of a source of traces, and its declared budgets."""
    for seam in (TraceSource, Searching, Plantable, Probing):
        assert isinstance(subject.source, seam)
    assert (subject.source.lag_budget, subject.source.search_lag_budget) == (1.0, 30.0)
    subject.source.close()
    subject.source.close()


@pytest.mark.req("V-12")
def test_traces_asked_for_come_whole(subject: Subject) -> None:
    """A trace asked for comes whole, by one request for each trace and no search."""
    subject.store.rows += ROWS
    answer = subject.source.traces(ask(OURS, OTHER, job_id="job-1"))
    assert sorted(span.span_id[-2:] for span in answer.spans) == ["a1", "a2", "b1", "b2"]
    assert (answer.traces, answer.full, answer.findings, answer.as_of) == ((), True, (), None)
    assert len(subject.store.served.requests) == 2


def test_a_span_says_what_was_sent(subject: Subject) -> None:
    """A span is what its sender sent, and says who answered it."""
    sent: dict[str, AttributeValue] = {
        "job.id": "job-2",
        "n": 7,
        "on": True,
        "ratio": 0.5,
        "raw": b"\x00\xff",
    }
    subject.store.rows.append(replace(ROWS[4], attributes=sent, links=((OURS, "0a" * 8),)))
    (span,) = subject.source.traces(ask("d4" * 16)).spans
    assert (span.name, span.kind, span.service, span.instance) == (
        "work",
        SpanKind.SERVER,
        "scraper",
        "i-1",
    )
    assert (span.start, span.end, span.parent_id) == (ROWS[4].start, ROWS[4].end, "")
    assert span.attributes == sent
    assert [(link.trace_id, link.span_id) for link in span.links] == [(OURS, "0a" * 8)]
    assert span.resource == {"service.name": "scraper", "service.instance.id": "i-1"}
    assert (span.source, span.seen > 0) == (subject.source.name, True)


def test_what_is_not_there_is_an_empty_answer(subject: Subject) -> None:
    """Neither an unknown trace nor an unknown or empty job id is an error, or finds anything."""
    subject.store.rows += (*ROWS, Row("e5" * 16, attributes={"job.id": ""}))
    for question in (ask("99" * 16), ask(job_id="none"), ask(), ask(job_id="job-1", keys=())):
        answer = subject.source.traces(question)
        assert (answer.spans, answer.traces, answer.full) == ((), (), True)


def test_an_answer_grows_with_the_trace_alone(subject: Subject) -> None:
    """The same question has the same answer, and what comes later is added to it."""
    assert ids(subject, OURS) == []
    subject.store.rows += ROWS[:1]
    assert ids(subject, OURS) == ids(subject, OURS) == ["a1"]
    subject.store.rows += ROWS[1:2]
    assert ids(subject, OURS) == ["a1", "a2"]


# -- the index ----------------------------------------------------------------------------------


@pytest.mark.req("V-12")
def test_search_finds_the_traces_of_the_job(subject: Subject) -> None:
    """A search gives each trace of the job's id, its leading zeros put back, and no spans."""
    subject.store.rows += ROWS
    answer = subject.source.search(ask(job_id="job-1", keys=("job.id", "task.job")))
    assert answer.traces == (TraceRef(OTHER, "search"),)
    assert (answer.spans, answer.full) == ((), True)
    assert not subject.store.asked("/api/v")
    subject.store.indexed = False
    assert subject.source.search(ask(job_id="job-1")).traces == ()


def test_a_search_for_no_job_proves_nothing(subject: Subject) -> None:
    """Where the job's id is not known, an empty answer is not full, and says so."""
    answer = subject.source.search(ask(OURS))
    assert (answer.traces, answer.full) == ((), False)
    assert "job's id is not known" in answer.findings[0]


@pytest.mark.parametrize("job_id", ['a"b', "a\\b", "ü €", "a\nb", "x" * 300, '" } || { "'])
def test_any_job_id_can_be_searched_for(subject: Subject, job_id: str) -> None:
    """What is in a job's id is text to the index, whatever it looks like."""
    assert subject.source.search(ask(job_id=job_id)).traces == ()
    asked = subject.store.served.requests[-1]
    assert "\n" not in asked
    assert '"' not in asked


def test_the_index_is_asked_only_where_no_trace_is_known(subject: Subject) -> None:
    """It names the job's traces, is told to have been used, and is asked again until others do."""
    subject.store.rows += ROWS
    answer = subject.source.traces(ask(job_id="job-1"))
    assert sorted(span.span_id[-2:] for span in answer.spans) == ["b1", "b2"]
    assert answer.traces == (TraceRef(OTHER, "search"),)
    assert any("searching the index" in one for one in answer.findings)
    subject.store.rows.append(Row("e5" * 16, span="00000000000000e1", attributes=JOB))
    more = subject.source.traces(ask(OTHER, job_id="job-1"))
    assert more.traces == (TraceRef("e5" * 16, "search"),)
    assert len(more.spans) == 3
    subject.store.served.requests.clear()
    subject.source.traces(ask(OTHER, OURS, job_id="job-1"))
    assert len(subject.store.served.requests) == 2


@pytest.mark.req("V-13")
def test_what_rests_on_the_index_speaks_of_an_earlier_moment(subject: Subject) -> None:
    """The index has not seen the last half minute: an answer by it is as of before that."""
    now = time.time()
    lag = LAGS.search - LAGS.by_id
    nothing = subject.source.traces(ask(job_id="job-1"))
    assert nothing.as_of == pytest.approx(now - lag, abs=20)
    start = int(now * SECOND)
    subject.store.rows.append(replace(ROWS[2], start=start, end=start + 1))
    fresh = subject.source.traces(ask(job_id="job-1"))
    assert fresh.as_of == pytest.approx(now - lag, abs=20)
    old = start - 3600 * SECOND
    subject.store.rows[:] = [replace(ROWS[2], start=old, end=old + 1)]
    assert subject.source.traces(ask(job_id="job-1")).as_of is None
    assert subject.source.traces(ask(OURS, job_id="job-1")).as_of is None


def test_a_search_has_both_its_ends(subject: Subject) -> None:
    """Nobody knows when an existing job began: then a search goes back a week at most."""
    subject.store.rows += ROWS
    question = replace(ask(job_id="job-1"), since=-math.inf, until=time.time())
    subject.source.search(question)
    (asked, *_) = (one for one in subject.store.served.requests if "start=" in one)
    start, end = (int(asked.split(f"{name}=")[1].split("&")[0]) for name in ("start", "end"))
    unit = 1_000_000 if start > 1e12 else 1
    assert (end - start) / unit == 167 * 3600
    assert abs(end / unit - time.time()) < 60


# -- links --------------------------------------------------------------------------------------


@pytest.mark.req("V-12")
def test_a_link_leads_to_the_producers_trace(subject: Subject) -> None:
    """Of an existing job whose consumer's trace is given, the producer's is reached by the link."""
    subject.store.rows += (*ROWS, LINKING, Row(PRODUCER, span="00000000000000c1", attributes=JOB))
    answer = subject.source.traces(ask(OURS, job_id="job-1"))
    assert sorted(span.span_id[-2:] for span in answer.spans) == ["a1", "a2", "a3", "c1"]
    assert answer.traces == (TraceRef(PRODUCER, "job_id"),)
    assert ids(subject, OURS) == ["a1", "a2", "a3"]


def test_a_job_is_named_by_a_number_too(subject: Subject) -> None:
    """An id that was sent as a number is the job's, in traces that are linked to as elsewhere."""
    number = Row(PRODUCER, span="00000000000000c1", attributes={"job.id": 42})
    subject.store.rows += (*ROWS, LINKING, number)
    answer = subject.source.traces(ask(OURS, job_id="42"))
    assert answer.traces == (TraceRef(PRODUCER, "job_id"),)
    (span,) = (span for span in answer.spans if span.trace_id == PRODUCER)
    assert span.attributes["job.id"] == 42


def test_a_link_to_what_is_not_the_jobs_is_left(subject: Subject) -> None:
    """A trace that no span of names the job is not taken, and not read for ever."""
    subject.store.rows += (*ROWS, LINKING, Row(PRODUCER, span="00000000000000c1"))
    for _ in range(6):
        assert ids(subject, OURS, job_id="job-1") == ["a1", "a2", "a3"]
    assert len(subject.store.asked(PRODUCER)) == 3


def test_a_link_between_what_is_at_hand_is_not_followed(subject: Subject) -> None:
    """A consumer that links to several traces, one of which is asked for, costs nothing more."""
    links = ((PRODUCER, "00000000000000c1"), (OTHER, "00000000000000b1"))
    subject.store.rows += (*ROWS, replace(LINKING, links=links))
    ids(subject, OURS, OTHER, job_id="job-1")
    assert len(subject.store.served.requests) == 2


@pytest.mark.req("V-13")
def test_the_number_of_traces_is_bounded(subject: Subject) -> None:
    """More traces than are read make the answer not full, and it is told."""
    links = tuple((f"{n + 1:032x}", "00000000000000c1") for n in range(100))
    subject.store.rows += (*ROWS, replace(LINKING, links=links))
    answer = subject.source.traces(ask(OURS, job_id="job-1"))
    assert not answer.full
    assert "100 further traces are linked to" in answer.findings[0]
    assert len(subject.store.served.requests) == MOST_TRACES
    subject.store.served.requests.clear()
    many = subject.source.traces(ask(*(trace_id for trace_id, _ in links)))
    assert (many.full, len(subject.store.served.requests)) == (False, MOST_TRACES)
    assert "the job has 100 traces" in many.findings[0]


# -- that it works ------------------------------------------------------------------------------


@pytest.mark.req("V-13")
def test_a_control_record_shows_that_the_source_works(subject: Subject) -> None:
    """It is seen by id and in the index, only as itself, and is no evidence of the job."""
    assert not subject.source.traces(ask(OURS, control=CONTROL)).control_seen
    assert not subject.source.search(ask(job_id="job-1", control=CONTROL)).control_seen
    subject.source.plant(CONTROL)
    answer = subject.source.traces(ask(OURS, control=CONTROL))
    assert (answer.control_seen, answer.spans) == (True, ())
    found = subject.source.search(ask(job_id="job-1", control=CONTROL))
    assert (found.control_seen, found.traces) == (True, ())
    assert not subject.source.traces(ask(OURS, control="dd" * 16)).control_seen
    assert not subject.source.search(ask(job_id="job-1", control="dd" * 16)).control_seen


@pytest.mark.req("V-13")
def test_a_control_record_that_was_seen_shows_nothing_of_who_answers_now(subject: Subject) -> None:
    """It is looked for each time that nothing else is visible: a gateway may have changed over."""
    subject.source.plant(CONTROL)
    assert subject.source.traces(ask(OURS, control=CONTROL)).control_seen
    subject.store.rows.clear()
    assert not subject.source.traces(ask(OURS, control=CONTROL)).control_seen


def test_a_control_record_is_not_asked_for_beside_evidence(subject: Subject) -> None:
    """What is visible of the run itself shows enough; that the record was seen is remembered."""
    subject.source.plant(CONTROL)
    subject.source.traces(ask(OURS, control=CONTROL))
    subject.store.rows += ROWS
    subject.store.served.requests.clear()
    assert subject.source.traces(ask(OURS, control=CONTROL)).control_seen
    subject.source.traces(ask(OURS, control="dd" * 16))
    subject.source.search(ask(job_id="job-1", control="dd" * 16))
    assert not subject.store.asked(CONTROL)
    assert not subject.store.asked("dd" * 16)


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_way_in_there_is_no_control_record(kind: str) -> None:
    """Where none is declared, nothing is sent, and nothing is asked for."""
    with trace_store(kind) as (source, store):
        source.plant(CONTROL)
        assert not source.traces(ask(control=CONTROL)).control_seen
        assert store.served.requests == []


def test_a_probe_tells_of_the_server(subject: Subject) -> None:
    """It tells the latency and the clock's offset, and that nothing is there."""
    seen = subject.source.probe()
    assert 0 < seen.latency < 5
    assert seen.clock_offset == pytest.approx(0, abs=3)
    assert len(seen.notes) == 1
    assert "tenant" in seen.notes[0]


@pytest.mark.req("V-13")
def test_a_trace_that_was_not_asked_for_is_nonsense(subject: Subject) -> None:
    """A server that answers with another trace is no store of traces."""
    subject.store.rows += ROWS
    asked = subject.source.traces(ask(OURS))
    assert asked.spans
    path = subject.store.served.requests[0].partition("?")[0]
    subject.store.broken[path] = _wrong(subject, OTHER)
    with pytest.raises(SourceError, match="and gave") as caught:
        subject.source.traces(ask(OURS))
    assert caught.value.failure is SourceFailure.NONSENSE


def _wrong(subject: Subject, trace_id: str) -> Canned:
    """Return the answer for another trace."""
    path = subject.store.served.requests[0].replace(OURS, trace_id)
    reply = requests.get(subject.store.served.url + path, timeout=5)
    return Canned(reply.status_code, reply.content, reply.headers["Content-Type"])
