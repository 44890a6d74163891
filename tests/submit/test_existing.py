"""A job that is there already: nothing is done to it."""

from __future__ import annotations

from pathlib import Path

from tests.submit.server import Say, serving
from tests.submit.world import TRACE_ID, mark, world
from validator.model import JobState
from validator.ports import Submitter
from validator.submit.existing import ExistingJob

HTTP = """
    url: "{url}/jobs"
    job_id: id
    follow: {{url: "{url}/jobs/{{{{ job.id }}}}", status: state, done: [done]}}
    then: [{{url: "{url}/search"}}]
    clean_up: {{url: "{url}/x", method: DELETE}}
"""


def test_its_state_is_asked_of_a_target_that_can_be_asked(tmp_path: Path) -> None:
    """With an id and `follow`, the target's word counts; `then` and `clean_up` are left out."""
    with serving(Say(200, b'{"state": "done"}')) as server:
        existing: Submitter = ExistingJob(
            "j-1", "", world(tmp_path, HTTP.format(url=server.url)).submitter
        )
        said = existing.submit(mark())
        existing.finish(mark(), said)
        existing.clean_up(mark(), "j-1")
        existing.close()
    assert (said.job_id, said.state, said.trace_id) == ("j-1", JobState.PASSED, "")
    assert [(seen.method, seen.path) for seen in server.seen] == [("GET", "/jobs/j-1")]
    assert existing.poll_interval == 0.1


def test_a_target_that_cannot_be_asked_leaves_it_unknown(tmp_path: Path) -> None:
    """Without `follow`, nothing is sent and the state is UNKNOWN."""
    with serving(Say()) as server:
        http = world(tmp_path, f'url: "{server.url}"\njob_id: id').submitter
        said = ExistingJob("j-1", "", http).submit(mark())
    assert (said.job_id, said.state) == ("j-1", JobState.UNKNOWN)
    assert said.detail == "the target cannot be asked"
    assert server.seen == []


def test_a_trace_id_alone_leaves_it_unknown() -> None:
    """The trace id is passed on; there is no job to ask for."""
    existing = ExistingJob("", TRACE_ID, None)
    said = existing.submit(mark())
    existing.close()
    assert (said.job_id, said.state, said.trace_id) == ("", JobState.UNKNOWN, TRACE_ID)
    assert said.detail == "only its trace id is known"
    assert existing.poll_interval == 1.0
