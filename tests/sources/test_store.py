"""The collector's memory keeps its bounds and says what it no longer has."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

import pytest

from tests.sources import encode
from tests.sources.conftest import ask
from tests.sources.encode import Row
from validator.model import Signal
from validator.sources.collector.ingest import Ingest, Stores
from validator.sources.collector.limits import Limits
from validator.sources.collector.metrics import MetricStore
from validator.sources.collector.store import Found, Store
from validator.testing import FakeClock


class Memory:
    """A store on a clock that stands still."""

    def __init__(self, limits: Limits) -> None:
        """Make an empty store."""
        self.clock = FakeClock()
        self.store = Store(limits, ["job.id"], self.clock)
        self._ingest = Ingest(Stores(self.store, MetricStore(limits, self.clock), self.clock))

    def spans(self, *rows: Row) -> None:
        """Take spans in."""
        body = encode.traces(rows).SerializeToString()
        self._ingest.take(Signal.TRACES, body, as_json=False)

    def lines(self, *rows: Row) -> None:
        """Take log records in."""
        body = encode.logs(rows).SerializeToString()
        self._ingest.take(Signal.LOGS, body, as_json=False)

    def ask(self, *traces: str, **question: object) -> Found:
        """Ask for spans."""
        return self.store.ask(Signal.TRACES, ask(*traces, **question))  # type: ignore[arg-type]

    def resident(self) -> int:
        """Return how many spans are held."""
        return self.store.figures()[Signal.TRACES].resident


def trace(number: int) -> str:
    """Return a trace id."""
    return f"{number + 1:032x}"


def rows(numbers: Iterable[int]) -> list[Row]:
    """Return a span in a trace of its own for each number, with a job of that number."""
    return [Row(trace(n), attributes={"job.id": f"job-{n}"}) for n in numbers]


def test_count_is_bounded_oldest_first() -> None:
    """Beyond the count the oldest spans go, and whoever asks for them is told."""
    memory = Memory(Limits(items=10))
    memory.spans(*rows(range(25)))
    figures = memory.store.figures()[Signal.TRACES]
    assert (figures.resident, figures.received, figures.evicted) == (10, 25, 15)
    assert memory.ask(trace(14)).lost
    assert memory.ask(job_id="job-14").lost == ("spans of job.id=job-14 were evicted: 1",)
    assert not memory.ask(trace(15), job_id="job-15").lost
    assert len(memory.ask(trace(15)).items) == 1


def test_bytes_are_bounded() -> None:
    """Beyond the bytes the oldest go, whichever signal they are of."""
    memory = Memory(Limits(size=100_000))
    memory.lines(Row(trace(0), attributes={"text": "x" * 60_000}))
    memory.clock.sleep(1)
    memory.spans(Row(trace(0), attributes={"text": "x" * 60_000}))
    figures = memory.store.figures()
    assert (figures[Signal.LOGS].resident, figures[Signal.TRACES].resident) == (0, 1)
    assert memory.store.size < 100_000


def test_age_is_bounded() -> None:
    """What is older than the age goes, also when nothing new comes."""
    memory = Memory(Limits(age=60))
    memory.spans(*rows([0]))
    memory.clock.sleep(59)
    assert memory.resident() == 1
    memory.clock.sleep(2)
    assert memory.resident() == 0
    assert memory.ask(trace(0)).lost


def test_losses_before_the_job_do_not_count() -> None:
    """What was evicted of an earlier job of the same id takes nothing from a later one."""
    memory = Memory(Limits(age=60))
    memory.spans(*rows([0]))
    memory.clock.sleep(61)
    assert memory.ask(job_id="job-0", since=0).lost
    assert not memory.ask(job_id="job-0", since=memory.clock.now() - 30).lost


def test_earlier_jobs_of_the_same_id_are_not_answered() -> None:
    """A trace of which nothing came since the job began is of another job of that id."""
    memory = Memory(Limits())
    memory.spans(*rows([0]))
    memory.clock.sleep(60)
    begun = memory.clock.now()
    assert memory.ask(job_id="job-0", since=begun).items == []
    memory.spans(Row(trace(5), attributes={"job.id": "job-0"}))
    found = memory.ask(job_id="job-0", since=begun)
    assert [reference.trace_id for reference in found.traces] == [trace(5)]


@pytest.mark.req("V-13")
def test_a_trace_that_only_a_lost_span_linked_is_missed_aloud() -> None:
    """Whoever asks about a trace is told that spans with a link to it went, evicted or refused."""
    links = ((trace(0), "00000000000000aa"),)
    memory = Memory(Limits(items=3))
    begun = memory.clock.now()
    memory.spans(Row(trace(1), links=links), Row(trace(1), span="00000000000000ff"))
    memory.spans(Row(trace(0)))
    whole = memory.ask(trace(0), since=begun)
    assert [reference.trace_id for reference in whole.traces] == [trace(1)]
    assert whole.lost == ()
    memory.spans(Row(trace(2)))
    found = memory.ask(trace(0), since=begun)
    assert found.traces == ()
    assert found.lost == (f"spans that link to trace {trace(0)} were evicted: 1",)
    memory.spans(Row(trace(3), span="ab", links=links))
    assert memory.ask(trace(0), since=begun).lost[-1].endswith("were refused: 2")
    assert memory.store.ask(Signal.LOGS, ask(trace(0), since=begun)).lost == ()
    assert memory.ask(trace(9), since=begun).lost == ()
    memory.clock.sleep(1)
    assert memory.ask(trace(0), since=memory.clock.now()).lost == ()


def test_a_span_with_many_links_stays_within_the_bounds() -> None:
    """Of the traces that a lost span linked to no more are remembered than of others."""
    memory = Memory(Limits(items=1, losses=4))
    links = tuple((trace(number), "00000000000000aa") for number in range(50))
    memory.spans(Row(trace(60), links=links), Row(trace(61)))
    assert len(memory.store._losses._known) == 4
    assert any("no longer known whose" in line for line in memory.ask(trace(0)).lost)


def test_forgotten_losses_make_every_answer_doubtful() -> None:
    """When it is no longer known whose spans went, an answer about that time is not full."""
    memory = Memory(Limits(items=1, losses=4))
    memory.spans(*rows(range(50)))
    assert any("no longer known whose" in line for line in memory.ask(trace(99)).lost)
    memory.clock.sleep(1)
    assert not memory.ask(trace(99), since=memory.clock.now()).lost


def test_endless_repeats_stay_within_the_bounds() -> None:
    """One span delivered without end takes no more than the bound."""
    memory = Memory(Limits(items=100))
    for _ in range(50):
        memory.spans(*rows([0]) * 20)
    assert memory.resident() == 100
    assert len(memory.ask(trace(0)).items) == 100


def test_indexes_forget_with_the_items() -> None:
    """Nothing of an evicted item stays in the indexes."""
    memory = Memory(Limits(age=60))
    links = ((trace(7), "00000000000000aa"),)
    memory.spans(Row(trace(0), attributes={"job.id": "j"}, links=links))
    memory.lines(Row("", attributes={"job.id": "j"}))
    assert len(memory.ask(trace(7)).items) == 1
    memory.clock.sleep(61)
    assert memory.resident() == 0
    index = memory.store._index
    assert (index._traces, index._jobs, index._links) == ({}, {}, {})


def test_unindexed_keys_are_scanned() -> None:
    """A question with another key than the indexed ones is answered too, whole traces and all."""
    memory = Memory(Limits())
    memory.spans(Row(trace(0), attributes={"order": "o-1"}), Row(trace(0), span="00000000000000ff"))
    memory.lines(Row("", attributes={"order": "o-1"}), Row(trace(3), attributes={"order": "o-1"}))
    found = memory.ask(job_id="o-1", keys=("order",))
    assert len(found.items) == 2
    assert [reference.trace_id for reference in found.traces] == [trace(0), trace(3)]
    lines = memory.store.ask(Signal.LOGS, ask(job_id="o-1", keys=("order",)))
    assert len(lines.items) == 2


def test_resource_attributes_name_the_job_too() -> None:
    """A batch job that carries its id in the resource is found."""
    memory = Memory(Limits())
    request = encode.traces([Row(trace(0))])
    request.resource_spans[0].resource.attributes.extend(encode.pairs({"job.id": "j"}))
    memory._ingest.take(Signal.TRACES, request.SerializeToString(), as_json=False)
    assert len(memory.ask(job_id="j").items) == 1


@pytest.mark.untraced
def test_a_trace_is_evicted_in_linear_time() -> None:
    """Four times the spans of one trace take about four times as long to come and to go."""

    def seconds(count: int) -> float:
        memory = Memory(Limits(age=60))
        spans = [Row(trace(0), span=f"{n + 1:016x}") for n in range(200)]
        began = time.perf_counter()
        for _ in range(count // 200):
            memory.spans(*spans)
        memory.clock.sleep(61)
        assert memory.resident() == 0
        return time.perf_counter() - began

    small, large = min(seconds(2_000) for _ in range(3)), min(seconds(8_000) for _ in range(2))
    assert large < small * 4 * 3


def test_versions_differ_after_a_change_and_a_restart() -> None:
    """The version changes with what is held, and a restarted collector begins elsewhere."""
    memory = Memory(Limits())
    before = memory.store.version
    memory.spans(*rows([0]))
    assert memory.store.version != before
    memory.clock.sleep(5)
    assert Store(Limits(), [], memory.clock).version > memory.store.version


@pytest.mark.parametrize("limits", [Limits(items=500)])
def test_threads_may_ask_while_others_send(limits: Limits) -> None:
    """Asking from one thread while another sends and evicts gives answers, not errors."""
    memory = Memory(limits)
    done = threading.Event()
    answers: list[int] = []

    def reader() -> None:
        while not done.is_set():
            answers.append(len(memory.ask(trace(0), job_id="job-0").items))

    thread = threading.Thread(target=reader)
    thread.start()
    for _ in range(40):
        memory.spans(*rows(range(100)))
    done.set()
    thread.join()
    assert answers
    assert max(answers) <= 6
