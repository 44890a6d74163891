"""A job handed over and followed over HTTP: what is sent, and what the answers mean."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.submit.server import Say, serving
from tests.submit.world import TRACE_ID, World, mark, world
from validator.errors import ConfigError, SubmitError
from validator.model import JobState
from validator.ports import Progress, Submitter
from validator.submit.http import HttpSubmitter
from validator.submit.sender import Means
from validator.submit.session import make_session

FOLLOW = """
    url: "{url}/jobs"
    job_id: job.id
    follow:
      url: "{url}/jobs/{{{{ job.id }}}}"
      status: state
      done: [done]
      failed: [failed, dead]
      running: [queued]
      every: 250ms
      fields: {{failed_stage: failed_stage, code: error.code, tags: tags}}
"""

TAKEN = Say(202, b'{"job": {"id": "j-1"}}')


def following(folder: Path, url: str, *, target: str = "") -> World:
    """Return a submitter that follows its jobs."""
    return world(folder, FOLLOW.format(url=url), target=target)


def as_port(submitter: HttpSubmitter) -> Submitter:
    """Hold the class against the Protocol: mypy is the test."""
    return submitter


def test_submit_sends_the_rendered_body_the_headers_and_the_mark(tmp_path: Path) -> None:
    """The request has the body with its types, the user's headers, traceparent and baggage."""
    http = """
        url: "{url}/jobs?corpus={{{{ run.corpus }}}}"
        headers: {{X-API-Key: "${{KEY}}", X-Run: "run {{{{ run.id }}}}"}}
        body:
          url: "{{{{ job.url }}}}"
          n: "{{{{ job.n }}}}"
          list: ["{{{{ run.nonce }}}}"]
          flag: true
        job_id: id
    """
    with serving(Say(201, b'{"id": 7}')) as server:
        made = world(tmp_path, http.format(url=server.url), KEY="s3cr3t{{key")
        job = {"job.url": "http://site/{{ run.nonce }}", "job.n": 3}
        progress = made.submitter.submit(mark(**job))
    seen = server.seen[0]
    assert (seen.method, seen.path) == ("POST", "/jobs?corpus=obs-validator-run1")
    assert json.loads(seen.body) == {
        "url": "http://site/n0nce",
        "n": 3,
        "list": ["n0nce"],
        "flag": True,
    }
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["x-api-key"] == "s3cr3t{{key"
    assert seen.headers["x-run"] == "run run1"
    assert seen.headers["traceparent"] == f"00-{TRACE_ID}-b7ad6b7169203331-01"
    assert seen.headers["baggage"] == "traffic=synthetic,obs_validator.run_id=run1"
    assert progress == Progress("7", "201", JobState.PASSED, "", {}, "")


@pytest.mark.parametrize(
    ("target", "present"),
    [
        ("trace_context: adopt\n", {"traceparent", "baggage"}),
        ("trace_context: new\n", {"traceparent", "baggage"}),
        ("trace_context: none\n", {"baggage"}),
        ("baggage: false\n", {"traceparent"}),
        ("trace_context: none\nbaggage: false\n", set()),
    ],
)
def test_the_mark_is_sent_as_the_target_declares(
    tmp_path: Path, target: str, present: set[str]
) -> None:
    """`trace_context: none` sends no traceparent and `baggage: false` no baggage, anywhere."""
    http = """
        url: "{url}/jobs"
        job_id: job.id
        then: [{{url: "{url}/search"}}]
        clean_up: {{url: "{url}/runs/{{{{ run.id }}}}", method: DELETE}}
    """
    with serving(TAKEN) as server:
        made = world(tmp_path, http.format(url=server.url), target=target)
        progress = made.submitter.submit(mark())
        made.submitter.finish(mark(), progress)
        made.submitter.clean_up(mark(), progress.job_id)
    assert [(seen.method, seen.path) for seen in server.seen] == [
        ("POST", "/jobs"),
        ("POST", "/search"),
        ("DELETE", "/runs/run1"),
    ]
    for seen in server.seen:
        assert {"traceparent", "baggage"} & set(seen.headers) == present


def test_follow_is_marked_but_is_no_part_of_the_trace(tmp_path: Path) -> None:
    """Polling says that it is synthetic; its spans must not come into the job's trace."""
    with serving(Say(200, b'{"state": "queued"}')) as server:
        made = following(tmp_path, server.url)
        made.submitter.follow(mark(), "j-1")
    assert "traceparent" not in server.seen[0].headers
    assert server.seen[0].headers["baggage"].startswith("traffic=synthetic")


@pytest.mark.parametrize(
    ("body", "state", "status", "detail"),
    [
        ('{"state": "done"}', JobState.PASSED, "done", ""),
        ('{"state": "queued"}', JobState.RUNNING, "queued", ""),
        ('{"state": "dead"}', JobState.FAILED, "dead", 'the target says "dead"'),
        (
            '{"state": "archived"}',
            JobState.RUNNING,
            "archived",
            'the target says "archived"; known words: done, failed, dead, queued',
        ),
    ],
)
def test_the_targets_words_become_states(
    tmp_path: Path, body: str, state: JobState, status: str, detail: str
) -> None:
    """Each configured word has its meaning; one that is not known is RUNNING, and told."""
    with serving(Say(200, body.encode())) as server:
        said = following(tmp_path, server.url).submitter.follow(mark(), "j-1")
    assert (said.state, said.status, said.detail) == (state, status, detail)


def test_fields_of_the_answer_are_kept_and_what_is_not_there_is_left_out(tmp_path: Path) -> None:
    """Named fields become values of the model; an absent one is no field."""
    body = b'{"state": "failed", "failed_stage": "scrape", "tags": ["a", {"b": [1]}]}'
    with serving(Say(200, body)) as server:
        said = following(tmp_path, server.url).submitter.follow(mark(), "j-1")
    assert said.fields == {"failed_stage": "scrape", "tags": ("a", {"b": (1,)})}


def test_following_submission_is_running_and_polls_as_configured(tmp_path: Path) -> None:
    """With `follow` a taken job is RUNNING, and `every` is the time between two questions."""
    with serving(TAKEN) as server:
        made = following(tmp_path, server.url)
        said = as_port(made.submitter).submit(mark())
    assert (said.job_id, said.state, said.status) == ("j-1", JobState.RUNNING, "submitted")
    assert made.submitter.poll_interval == 0.25


def test_booleans_and_numbers_can_be_words(tmp_path: Path) -> None:
    """A target whose state is `finished: true` can be followed."""
    http = """
        url: "{url}/jobs"
        job_id: job.id
        follow: {{url: "{url}/j", status: finished, done: [true], failed: [3]}}
    """
    with serving(Say(200, b'{"finished": true}'), Say(200, b'{"finished": 3}')) as server:
        made = world(tmp_path, http.format(url=server.url))
        states = [made.submitter.follow(mark(), "j").state for _ in range(2)]
    assert states == [JobState.PASSED, JobState.FAILED]


def test_then_may_use_what_the_job_answered(tmp_path: Path) -> None:
    """The requests of `then` know the job's id and fields, and go out in order."""
    http = """
        url: "{url}/jobs"
        job_id: job.id
        fields: {{corpus: job.corpus}}
        then:
          - {{url: "{url}/a", method: PUT, form: {{c: "{{{{ job.corpus }}}} &"}}}}
          - {{url: "{url}/b", text: "job {{{{ job.id }}}}"}}
    """
    with serving(Say(200, b'{"job": {"id": "j 1", "corpus": "c1"}}')) as server:
        made = world(tmp_path, http.format(url=server.url))
        progress = made.submitter.submit(mark())
        made.submitter.finish(mark(), progress)
    assert server.seen[1].body == b"c=c1+%26"
    assert server.seen[1].headers["content-type"] == "application/x-www-form-urlencoded"
    assert server.seen[2].body == b"job j 1"
    assert server.seen[2].headers["content-type"] == "text/plain; charset=utf-8"


def test_the_job_id_may_be_in_a_header(tmp_path: Path) -> None:
    """`header` and `pattern` find the id where an API answers only an address."""
    http = """
        url: "{url}/jobs"
        job_id: {{header: Location, pattern: "/jobs/([^/?]+)"}}
    """
    with serving(Say(201, b"", {"Location": "/v1/jobs/j-9?x=1"}), Say(201, b"", {})) as server:
        made = world(tmp_path, http.format(url=server.url))
        assert made.submitter.submit(mark()).job_id == "j-9"
        with pytest.raises(SubmitError, match=r'no job id: the header Location is ""'):
            made.submitter.submit(mark())


def test_the_job_id_may_be_chosen_before(tmp_path: Path) -> None:
    """An API without ids of its own takes ours: `job_id` may be a template."""
    with serving(Say(204, b"")) as server:
        made = world(tmp_path, f'url: "{server.url}/x"\njob_id: "{{{{ run.id }}}}"')
        assert made.submitter.submit(mark()).job_id == "run1"


@pytest.mark.parametrize(
    ("value", "found", "detail"),
    [
        (TRACE_ID.upper(), TRACE_ID, ""),
        (f"00-{TRACE_ID}-b7ad6b7169203331-01", TRACE_ID, ""),
        ("0" * 32, "", f'the header X-Trace holds no trace id: "{"0" * 32}"'),
        (None, "", "the answer has no header X-Trace, which should tell the trace id"),
    ],
)
def test_the_target_may_tell_its_trace_id(
    tmp_path: Path, value: str | None, found: str, detail: str
) -> None:
    """The header's trace id is taken from either notation; its absence is told."""
    headers = {} if value is None else {"X-Trace": value}
    with serving(Say(202, b'{"job": {"id": "j"}}', headers)) as server:
        said = following(tmp_path, server.url, target="trace_id_header: X-Trace\n").submitter
        progress = said.submit(mark())
    assert (progress.trace_id, progress.detail) == (found, detail)


@pytest.mark.parametrize(
    ("job_id", "path"),
    [
        ("../../admin?x=", "/jobs/..%2F..%2Fadmin%3Fx%3D"),
        ("a b'\"#;&{{ run.id }}", "/jobs/a%20b%27%22%23%3B%26%7B%7B%20run.id%20%7D%7D"),
        ("7f3c.9/1", "/jobs/7f3c.9%2F1"),
    ],
)
def test_a_hostile_job_id_cannot_choose_the_path(tmp_path: Path, job_id: str, path: str) -> None:
    """What a target answers as an id is percent-encoded and never rendered as a template."""
    with serving(Say(200, b'{"state": "done"}')) as server:
        following(tmp_path, server.url).submitter.follow(mark(), job_id)
    assert server.seen[0].path == path


@pytest.mark.parametrize("job_id", [".", ".."])
def test_a_job_id_of_dots_is_refused(tmp_path: Path, job_id: str) -> None:
    """HTTP libraries resolve dots, encoded or not: nothing is sent."""
    with serving(Say()) as server:
        made = following(tmp_path, server.url)
        with pytest.raises(SubmitError, match="path of dots"):
            made.submitter.follow(mark(), job_id)
    assert server.seen == []


def test_nothing_is_deleted_for_a_job_without_an_id(tmp_path: Path) -> None:
    """An unknown id must not turn `DELETE /jobs/{id}` into `DELETE /jobs/`."""
    http = """
        url: "{url}/jobs"
        job_id: id
        clean_up: {{url: "{url}/jobs/{{{{ job.id }}}}", method: DELETE}}
    """
    with serving(Say()) as server:
        made = world(tmp_path, http.format(url=server.url))
        with pytest.raises(SubmitError, match=r"clean_up: cannot be sent: job.id is not known"):
            made.submitter.clean_up(mark(), "")
    assert server.seen == []


def test_a_job_id_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A template for the id may name what the suite's job does not have."""
    with serving(Say(204, b"")) as server:
        made = world(tmp_path, f'url: "{server.url}/x"\njob_id: "{{{{ job.key }}}}"')
        with pytest.raises(SubmitError, match=r"answered 204 with no job id: job.key is not known"):
            made.submitter.submit(mark())


def test_a_job_that_cannot_be_followed_is_unknown(tmp_path: Path) -> None:
    """Without `follow`, whoever asks all the same learns that nobody can be asked."""
    made = world(tmp_path, 'url: "http://127.0.0.1:1"\njob_id: id')
    assert made.submitter.follow(mark(), "j").state is JobState.UNKNOWN
    assert made.submitter.poll_interval == 0.1
    made.submitter.clean_up(mark(), "j")
    made.submitter.close()


def test_a_path_that_does_not_fit_the_answer_finds_nothing(tmp_path: Path) -> None:
    """A JMESPath function that meets another type is no stack trace."""
    with serving(Say(200, b'{"id": 7}')) as server:
        made = world(tmp_path, f'url: "{server.url}"\njob_id: "join(id, id)"')
        with pytest.raises(SubmitError, match="finds nothing in an answer with the keys id"):
            made.submitter.submit(mark())


def test_a_target_without_submit_cannot_submit(tmp_path: Path) -> None:
    """The message says what such a target is good for."""
    path = tmp_path / "c.yaml"
    path.write_text("targets: {t: {}}\nsources: {c: {type: collector}}\n")
    made = following(tmp_path, "http://127.0.0.1:1")
    bare = made.settings.targets["t"].model_copy(update={"submit": None})
    with pytest.raises(ConfigError, match=r"targets.t: has no `submit`; only existing jobs"):
        HttpSubmitter("t", bare, Means(make_session(), made.clock, str))


def test_proxies_of_the_environment_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is configured is what is asked: the environment is read in one place alone."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    with serving(TAKEN) as server:
        assert following(tmp_path, server.url).submitter.submit(mark()).job_id == "j-1"
