"""Dead letters: what a worker cannot use is kept with the reason, and the worker goes on."""

from __future__ import annotations

import base64
import json
import signal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from pipeline import dead_letters, payloads
from pipeline.celery_app import SCRAPE_TASK
from pipeline.cli import pipeline
from pipeline.dead_letters import DeadLetterError, Kept, Letters, Reason
from pipeline.host import database, embedded, health
from pipeline.host.ports import hold
from pipeline.host.processes import end
from pipeline.testing import poll_until
from pipeline.transport import MOST_REDELIVERIES
from tests.pipeline import servers
from tests.pipeline.worker import VISIBILITY, Worker, worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from redis import Redis

    from pipeline.host.processes import Process

pytestmark = [pytest.mark.process, pytest.mark.req("P-09", "P-12")]


@pytest.fixture(scope="module")
def shared(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """Return a worker that every test may give something to do."""
    home = tmp_path_factory.mktemp("worker")
    database_of_its_own = redis_url.replace("/0", "/1")
    with (
        servers.redis(home / "cache") as cache,
        worker(
            database_of_its_own, home, PIPELINE_CACHE_URL=cache, OTEL_LOGS_EXPORTER="console"
        ) as found,
    ):
        yield found


@pytest.fixture
def at_work(shared: Worker) -> Iterator[Worker]:
    """Return the worker, with nothing to do and no dead letters."""
    shared.wait_until_idle()
    shared.redis.delete(*dead_letters.LISTS.values())
    shared.cache.flushdb()
    yield shared
    assert shared.process.poll() is None, shared.log.read_text()


def message(body: object = None, **changes: Any) -> dict[str, Any]:
    """Return a message of the task `test.runs` as Celery sends it, but for the changes."""
    told = [[], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
    text = json.dumps(told if body is None else body)
    headers = {"lang": "py", "task": "test.runs", "id": str(uuid4()), "retries": 0}
    found = {
        "body": base64.b64encode(text.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": {
            "correlation_id": headers["id"],
            "delivery_info": {"exchange": "", "routing_key": "scrape"},
            "body_encoding": "base64",
            "delivery_tag": str(uuid4()),
        },
    }
    return {**found, **changes}


def headed(**changes: Any) -> dict[str, Any]:
    """Return such a message with other headers."""
    whole = message()
    kept = {**whole["headers"], **changes}
    whole["headers"] = {key: value for key, value in kept.items() if value is not None}
    return whole


def letters(found: Worker) -> list[Kept]:
    """Return the dead letters."""
    return list(Letters(found.redis).all())


def one_letter(found: Worker) -> Kept:
    """Wait for a dead letter and return it; nothing else must be left anywhere."""
    kept = poll_until(lambda: letters(found), "a dead letter")
    found.wait_until_idle()
    assert len(kept) == 1
    return kept[0]


def goes_on(found: Worker) -> None:
    """Have the worker run a task: what came before has not ended it."""
    before = found.runs()
    found.redis.lpush("scrape", json.dumps(message()))
    poll_until(lambda: found.runs() == before + 1, "the next task run")


BAD: dict[str, tuple[bytes | dict[str, Any], Reason]] = {
    "no JSON": (b"\xff garbage", Reason.UNPARSABLE),
    "JSON of another sort": (b"[1]", Reason.UNPARSABLE),
    "a number": (b"5", Reason.UNPARSABLE),
    "nothing": (b"null", Reason.UNPARSABLE),
    "no envelope": (b"{}", Reason.UNPARSABLE),
    "a body that is not encoded": ({**message(), "body": "?"}, Reason.INVALID),
    "a body that is no text": ({**message(), "body": "/w=="}, Reason.UNPARSABLE),
    "no properties": (message(properties=None), Reason.UNPARSABLE),
    "no task": (headed(task=None), Reason.UNKNOWN_MESSAGE),
    "no id": (headed(id=None), Reason.INVALID),
    "headers that are a list": (message(headers=[1]), Reason.UNPARSABLE),
    "an unknown task": (headed(task="test.unknown"), Reason.UNKNOWN_TASK),
    "a pickle": (
        message(**{"content-type": "application/x-python-serialize"}),
        Reason.CONTENT_TYPE,
    ),
    "what nobody knows": (message(**{"content-type": "text/x-odd"}), Reason.CONTENT_TYPE),
    "a body of another shape": (message(5), Reason.INVALID),
    "a date that is none": (headed(eta="tomorrow"), Reason.INVALID),
    "no body": (message() | {"body": None}, Reason.INVALID),
    "no payload": (headed(task=SCRAPE_TASK), Reason.PAYLOAD),
    "a payload by place": (
        {**headed(task=SCRAPE_TASK), "body": message([["x"], {}, {}])["body"]},
        Reason.PAYLOAD,
    ),
    "a bug": (headed(task="test.raises"), Reason.EXCEPTION),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_used_becomes_a_dead_letter(at_work: Worker, name: str) -> None:
    """It is taken out of the queue, kept as it was with the reason, and the worker goes on."""
    bad, reason = BAD[name]
    raw = bad if isinstance(bad, bytes) else json.dumps(bad).encode()
    at_work.redis.lpush("scrape", raw)
    kept = one_letter(at_work)
    assert (kept.letter.queue, kept.letter.reason) == ("scrape", reason)
    assert kept.letter.at
    assert kept.letter.detail
    if isinstance(bad, bytes):
        assert kept.letter.message.encode(errors="surrogateescape") == raw
    else:
        assert json.loads(kept.letter.message)["body"] == bad["body"]
    goes_on(at_work)


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    raw=st.one_of(
        st.binary(min_size=1, max_size=80),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["body", "headers", "properties", "content-type", "task", "id"]
                    ),
                    inner,
                    max_size=5,
                )
            ),
            max_leaves=10,
        ).map(lambda value: json.dumps(value).encode()),
        st.dictionaries(
            st.sampled_from(["id", "task", "eta", "expires", "timelimit", "retries", "lang"]),
            st.none() | st.integers() | st.text(max_size=8) | st.lists(st.integers(), max_size=2),
            max_size=5,
        ).map(lambda some: json.dumps(message(headers=some)).encode()),
    )
)
def test_whatever_is_put_into_the_queue_ends_no_worker(at_work: Worker, raw: bytes) -> None:
    """Anything at all is either run or kept, never both and never lost."""
    at_work.redis.delete(*dead_letters.LISTS.values())
    at_work.redis.lpush("scrape", raw)
    at_work.wait_until_idle()
    assert len(letters(at_work)) == 1
    goes_on(at_work)


def test_a_letter_says_what_is_known_of_its_task(at_work: Worker) -> None:
    """The task, its id and its job stand on it, whatever is wrong with the payload."""
    job_id = str(uuid4())
    task_id = at_work.send(SCRAPE_TASK, job_id=job_id, url=5, depth=1)
    letter = one_letter(at_work).letter
    assert (letter.task, letter.task_id, letter.job_id) == (SCRAPE_TASK, task_id, job_id)
    assert "url: Input should be a valid string" in letter.detail
    assert "depth: Extra inputs are not permitted" in letter.detail


def test_a_new_letter_is_counted_and_logged(at_work: Worker) -> None:
    """The worker's page counts it by queue, reason and traffic; its log has the ids."""
    labels = {"queue": "scrape", "reason": "unknown_task", "traffic": "synthetic"}
    before = counted(at_work, labels)
    raw = headed(task="test.unknown", mark_traffic="synthetic")
    at_work.redis.lpush("scrape", json.dumps(raw))
    one_letter(at_work)
    assert counted(at_work, labels) == before + 1
    text = at_work.log.read_text().splitlines()
    lines = [json.loads(line) for line in text if line.startswith("{")]
    (said,) = [line for line in lines if line.get("task_id") == raw["headers"]["id"]]
    assert (said["event"], said["reason"]) == ("dead_letter", "unknown_task")


@pytest.mark.req("P-10")
def test_a_new_letter_is_exported_with_its_trace(at_work: Worker) -> None:
    """The parent writes the line, in the trace of the message, and says of which stage it is."""
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    raw = headed(task=SCRAPE_TASK, traceparent=f"00-{trace_id}-b7ad6b7169203331-01")
    at_work.redis.lpush("scrape", json.dumps(raw))
    one_letter(at_work)

    def records() -> list[dict[str, Any]]:
        lines = at_work.log.read_text().splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [
            one
            for one in found
            if one.get("body") == "dead_letter"
            and one["attributes"].get("task_id") == raw["headers"]["id"]
        ]

    (said,) = poll_until(records, "the record")
    assert said["trace_id"] == f"0x{trace_id}"
    told = [said["attributes"][name] for name in ("trace_id", "failed_stage", "error_code")]
    assert told == [trace_id, "scraping", "payload"]


def counted(found: Worker, labels: dict[str, str]) -> float:
    """Return the count of dead letters with these labels."""
    page = httpx.get(found.metrics_url, trust_env=False).text
    return sum(
        sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == "dlq_messages_total" and sample.labels == labels
    )


def test_a_full_broker_can_be_drained(at_work: Worker) -> None:
    """A server that takes nothing more gives what it has, to the queue's worker and to the dead."""
    with at_work.redis.pipeline() as together:  # nothing is taken before it is full
        for raw in (message(), message(), headed(task="test.unknown"), message()):
            together.lpush("scrape", json.dumps(raw))
        together.config_set("maxmemory", 1)
        together.execute()
    try:
        at_work.wait_until_idle()
        assert at_work.runs() == 3
        assert one_letter(at_work).letter.reason == Reason.UNKNOWN_TASK
    finally:
        at_work.redis.config_set("maxmemory", 0)
    goes_on(at_work)


@pytest.mark.slow
def test_a_task_that_ends_its_worker_is_given_up(at_work: Worker) -> None:
    """A task that takes its process with it is run again, but not for ever."""
    at_work.send("test.dies")
    poll_until(lambda: letters(at_work), "a dead letter", 60)
    assert one_letter(at_work).letter.reason == Reason.REDELIVERED
    assert int(at_work.cache.get("deaths") or 0) == MOST_REDELIVERIES + 1
    goes_on(at_work)


def test_a_worker_takes_no_more_than_it_runs(at_work: Worker) -> None:
    """What waits is anybody's: a worker that is killed has one task in hand, and not four."""
    for _ in range(4):
        at_work.send("test.lingers", seconds=0.4)
    seen: set[int] = set()

    def all_run() -> bool:
        seen.add(at_work.redis.hlen("unacked"))
        return at_work.redis.llen("scrape") == 0

    poll_until(all_run, "all tasks taken")
    at_work.wait_until_idle()
    assert max(seen) == 1


@pytest.mark.slow
def test_a_task_that_takes_too_long_is_given_up(at_work: Worker) -> None:
    """It is ended before another worker would take it, and not run again."""
    at_work.send("test.lingers", seconds=60)
    poll_until(lambda: letters(at_work), "a dead letter", 20)
    assert one_letter(at_work).letter.reason == Reason.TIME_LIMIT
    goes_on(at_work)


@pytest.mark.slow
def test_a_worker_outlives_its_broker(tmp_path: Path) -> None:
    """Killed with a task in hand that ends meanwhile: it is run once more, and others after it."""
    port, data = hold("broker", None), tmp_path / "data"
    data.mkdir()

    def started() -> Process:
        found = embedded.start_redis("broker", port, tmp_path / "broker.log", data)
        health.wait_for({"broker": found}, database.ServersUp("", {"broker": port}))
        return found

    broker = started()
    with (
        servers.redis(tmp_path / "cache") as cache,
        worker(
            f"redis://127.0.0.1:{port.number}/0", tmp_path / "worker", PIPELINE_CACHE_URL=cache
        ) as found,
    ):
        found.send("test.lingers", seconds=0.5)
        poll_until(lambda: found.redis.exists("unacked"), "the task in hand")
        end([broker], signal.SIGKILL, 5)
        poll_until(lambda: "Couldn't ack" in found.log.read_text(), "an ack in vain")
        broker = started()
        goes_on(found)
        found.wait_until_idle(VISIBILITY + 5)
    end([broker], signal.SIGKILL, 5)
    port.held.close()


def test_a_dead_letter_error_survives_the_way_to_the_parent() -> None:
    """It is made anew from its arguments, as a pickle does."""
    error = DeadLetterError(Reason.REFUSED, "refused 11 times")
    again = DeadLetterError(*error.args)
    assert (again.reason, again.detail) == (Reason.REFUSED, "refused 11 times")


def command(redis_url: str, *arguments: str) -> Any:
    """Run `dlq` with the broker's variable set; nothing else is known of a pipeline."""
    env = {
        "PIPELINE_BROKER_URL": redis_url,
        "PIPELINE_ORCHESTRATOR_URL": "http://127.0.0.1:9",
        "PIPELINE_SERVICE_KEY": "service",
    }
    return CliRunner().invoke(pipeline, ["dlq", *arguments], env=env)


def buried(redis: Redis, raw: bytes, reason: Reason = Reason.EXCEPTION) -> Kept:
    """Put a dead letter on its list."""
    letter = dead_letters.made("scrape", reason, "said [red]so[/red]", raw)
    redis.lpush(dead_letters.LISTS["scrape"], letter.to_item())
    (kept,) = Letters(redis).all()
    return kept


def good() -> bytes:
    """Return a message that its worker would take."""
    told = [[], {"job_id": str(uuid4()), "url": "http://site.test/a"}, {}]
    return json.dumps({**headed(task=SCRAPE_TASK), "body": message(told)["body"]}).encode()


def test_list_shows_letters_and_what_others_put_there(redis: Redis, redis_url: str) -> None:
    """A table, or JSON with the original message; also of what nobody knows."""
    assert command(redis_url, "list").output == "none\n"
    kept = buried(redis, good())
    redis.lpush("dead", b"\xffpushed by hand")
    table = command(redis_url, "list").output
    assert kept.id in table
    assert "said [red]so[/red]" in table
    found = json.loads(command(redis_url, "list", "--json").output)
    assert [one["reason"] for one in found] == ["exception", "foreign"]
    assert json.loads(found[0]["message"])["headers"]["task"] == SCRAPE_TASK
    assert found[1]["queue"] == "dead"


def test_replay_puts_the_original_back(redis: Redis, redis_url: str) -> None:
    """Byte for byte, and the letter is gone; asked once more there is no such letter."""
    raw = good()
    kept = buried(redis, raw)
    result = command(redis_url, "replay", kept.id)
    assert (result.exit_code, result.output) == (0, f"{kept.id} replayed to scrape\n")
    assert redis.lrange("scrape", 0, -1) == [raw]
    assert list(Letters(redis).all()) == []
    again = command(redis_url, "replay", kept.id)
    assert again.exit_code == 1
    assert f"there is no dead letter {kept.id}" in again.output


def test_replay_refuses_what_would_come_back(redis: Redis, redis_url: str) -> None:
    """A payload that does not fit stays, with what is wrong; --force puts it back all the same."""
    raw = json.dumps(headed(task=SCRAPE_TASK)).encode()
    kept = buried(redis, raw, Reason.PAYLOAD)
    refused = command(redis_url, "replay", "--all")
    assert refused.exit_code == 1
    assert "job_id: Field required" in refused.output
    assert redis.llen("scrape") == 0
    assert command(redis_url, "replay", "--all", "--force").exit_code == 0
    assert redis.lrange("scrape", 0, -1) == [raw]
    assert kept.letter.message.encode() == raw


def test_replaying_and_discarding_move_a_letter_once(redis: Redis) -> None:
    """Of several that act on one letter, one does: neither lost nor doubled."""
    kept, client = buried(redis, good()), Letters(redis)
    assert [client.put_back(kept, "scrape") for _ in range(3)] == [True, False, False]
    assert client.discard(kept) is False
    assert redis.llen("scrape") == 1


def test_a_task_that_was_sent_to_no_queue_is_replayed_to_its_own(
    redis: Redis, redis_url: str
) -> None:
    """What Celery had no queue for goes where its task belongs."""
    raw = good()
    redis.lpush("dead", raw)
    assert command(redis_url, "replay", "--all").exit_code == 0
    assert redis.lrange("scrape", 0, -1) == [raw]
    redis.lpush("dead", b"garbage")
    forced = command(redis_url, "replay", "--all", "--force")
    assert forced.exit_code == 1
    assert redis.llen("dead") == 1


def test_a_letter_whose_job_cannot_be_told_is_kept(redis: Redis, redis_url: str) -> None:
    """Its job would wait for ever: it is discarded once the orchestrator knows."""
    kept = buried(redis, good())
    result = command(redis_url, "discard", kept.id)
    assert result.exit_code == 1
    assert f"{kept.id} is kept" in result.output
    assert len(list(Letters(redis).all())) == 1


def test_garbage_is_discarded_without_asking(redis: Redis, redis_url: str) -> None:
    """It is of no job; several that are alike go all."""
    for _ in range(3):
        redis.lpush("dead:scrape", b"garbage")
    result = command(redis_url, "discard", "--all")
    assert result.exit_code == 0
    assert result.output.count("discarded") == 3
    assert list(Letters(redis).all()) == []


@pytest.mark.parametrize("arguments", [("replay",), ("discard", "x", "--all"), ("replay", "x")])
def test_what_is_not_there_is_said(redis: Redis, redis_url: str, arguments: tuple[str]) -> None:
    """Neither ids nor --all, both of them, or an id that there is not: nothing is done."""
    redis.lpush("dead:scrape", b"garbage")
    result = command(redis_url, *arguments)
    assert result.exit_code in {1, 2}
    assert redis.llen("dead:scrape") == 1


def test_a_broker_that_is_away_is_said(tmp_path: Any) -> None:
    """So is a state directory without a pipeline."""
    away = command("redis://127.0.0.1:9/0", "list")
    assert away.exit_code == 1
    assert "the broker cannot be asked" in away.output
    result = CliRunner().invoke(pipeline, ["dlq", "list", "--state-dir", str(tmp_path)])
    assert result.exit_code == 1
    assert f"no pipeline is running in {tmp_path}" in result.output


def test_both_sides_have_the_same_schema() -> None:
    """What is published is checked by the model that the worker reads it with."""
    told = {"job_id": str(uuid4()), "url": "http://site.test/a"}
    assert payloads.checked(SCRAPE_TASK, told) == {**told, "sink": "orchestrator"}
    with pytest.raises(payloads.PayloadError, match="no task is called x"):
        payloads.checked("x", {})
