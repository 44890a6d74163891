"""Every way in which a target fails ends in one clear line, within the time, without secrets."""

from __future__ import annotations

import gzip
import socket
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.submit.server import Act, Say, Server, serving
from tests.submit.world import World, mark, world
from validator.errors import SubmitError
from validator.model import JobState

SECRET = "s3cr3t-k3y/with+signs"


def made(folder: Path, url: str, *, timeout: str = "5s") -> World:
    """Return a submitter with a secret header and a `follow`."""
    http = f"""
        url: "{url}/jobs"
        headers: {{X-API-Key: "${{API_KEY}}"}}
        job_id: id
        timeout: {timeout}
        follow:
          {{url: "{url}/jobs/{{{{ job.id }}}}", status: state, done: [done], timeout: {timeout}}}
    """
    return world(folder, http, API_KEY=SECRET)


def failure(folder: Path, *script: Say | Act, timeout: str = "5s") -> str:
    """Return what is said when submission meets this answer."""
    with serving(*script) as server:
        with pytest.raises(SubmitError) as caught:
            made(folder, server.url, timeout=timeout).submitter.submit(mark())
        assert len(server.seen) == 1, "a POST is sent once, whatever becomes of it"
        return str(caught.value).replace(server.url, "URL")


AT = "targets.t.submit.http: POST URL/jobs "


@pytest.mark.parametrize(
    ("say", "message"),
    [
        (
            Say(500, b"boom  \n at line 1"),
            "answered 500 Internal Server Error: boom at line 1",
        ),
        (Say(599, b""), "answered 599"),
        (
            Say(500, f"key {SECRET} is wrong".encode()),
            "answered 500 Internal Server Error: key [redacted] is wrong",
        ),
        (
            Say(401, b""),
            (
                "answered 401: it refuses the credentials; "
                "look at the header X-API-Key (targets.t.submit.http.headers)"
            ),
        ),
        (
            Say(403, b"no"),
            (
                "answered 403: it refuses the credentials; "
                "look at the header X-API-Key (targets.t.submit.http.headers): no"
            ),
        ),
        (
            Say(429, b"", {"Retry-After": "30"}),
            "answered 429: too many requests; retry after 30",
        ),
        (
            Say(307, b"", {"Location": "http://elsewhere.example/jobs"}),
            (
                "answered 307, a redirect to http://elsewhere.example/jobs: not followed, since "
                "the credentials would go there; configure the final address"
            ),
        ),
        (
            Say(202, b'{"job_id": "x", "state": 1}'),
            (
                'answered 202 with no job id: "id" finds nothing in an answer with the keys '
                "job_id, state"
            ),
        ),
        (
            Say(200, b'{"id": {"a": 1}}'),
            (
                'answered 200 with no job id: "id" finds {"a": 1}, which is no id '
                "in an answer with the keys id"
            ),
        ),
        (
            Say(200, b'{"id": true}'),
            (
                'answered 200 with no job id: "id" finds true, which is no id '
                "in an answer with the keys id"
            ),
        ),
        (
            Say(200, b'{"id": " "}'),
            (
                'answered 200 with no job id: "id" finds " ", which is no id '
                "in an answer with the keys id"
            ),
        ),
        (
            Say(200, b"[]"),
            'answered 200 with no job id: "id" finds nothing in an answer that is a list',
        ),
        (
            Say(200, b"<!doctype html><p>Log in", {"Content-Type": "text/html; charset=utf-8"}),
            (
                "answered 200 with a page (text/html) where JSON was expected; is it the address "
                "of the API, or does it ask for a log-in?: <!doctype html><p>Log in"
            ),
        ),
        (Say(200, b""), "answered 200 with an empty body where JSON was expected"),
        (
            Say(200, b'{"id": "j'),
            (
                "answered 200 with broken JSON (Unterminated string starting at: line 1 column 8 "
                '(char 7)): {"id": "j'
            ),
        ),
        (Say(200, b"x" * (1024 * 1024 + 1)), "answered 200 with more than 1048576 bytes"),
        (
            Say(200, gzip.compress(b" " * 50_000_000), {"Content-Encoding": "gzip"}),
            "answered 200 with more than 1048576 bytes",
        ),
    ],
)
def test_a_wrong_answer_is_told_in_a_line(tmp_path: Path, say: Say, message: str) -> None:
    """Where, what, and what to look at; the secret is blanked out; the POST is not repeated."""
    assert failure(tmp_path, say) == AT + message


def test_a_long_body_is_shortened(tmp_path: Path) -> None:
    """An error page does not flood the terminal."""
    message = failure(tmp_path, Say(500, b"word " * 1000))
    assert message.endswith("...")
    assert len(message) < 400


def test_without_credentials_a_401_says_that_none_are_sent(tmp_path: Path) -> None:
    """The line names the place where headers would be configured."""
    with serving(Say(401)) as server:
        bare = world(tmp_path, f'url: "{server.url}"\njob_id: id').submitter
        with pytest.raises(SubmitError, match=r"look at targets.t.submit.http.headers: none is"):
            bare.submit(mark())


def test_a_redirect_takes_no_credentials_along(tmp_path: Path) -> None:
    """The other host hears nothing of us."""
    with serving(Say(200, b'{"id": 1}')) as other:
        failure(tmp_path, Say(302, b"", {"Location": other.url}))
        assert other.seen == []


def hold(server: list[Server]) -> Act:
    """Answer nothing until the test is over."""

    def act(handler: BaseHTTPRequestHandler) -> None:
        """Keep the connection open."""
        handler.close_connection = True
        server[0].over.wait(30)

    return act


def drip(server: list[Server], head: bytes, piece: bytes) -> Act:
    """Answer with a head and then a piece at a time, for ever."""

    def act(handler: BaseHTTPRequestHandler) -> None:
        """Write, wait a moment, write again."""
        handler.close_connection = True
        handler.wfile.write(head)
        while not server[0].over.wait(0.02):
            handler.wfile.write(piece)

    return act


@pytest.mark.parametrize(
    "how",
    [
        pytest.param((None, b""), id="silence"),
        pytest.param((b"HTTP/1.1 200 OK\r\n", b"X-A: 1\r\n"), id="a head that drips"),
        pytest.param((b"HTTP/1.1 200 OK\r\nX-A: ", b"a"), id="a header that drips"),
        pytest.param((b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"a"), id="a body"),
        pytest.param(
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"), id="chunks"
        ),
        pytest.param((b"HTTP/1.1 200 OK\r\n\r\n", b"a"), id="a body without an end"),
        pytest.param((b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", b"a"), id="a redirect"),
    ],
)
def test_who_hangs_or_drips_is_given_up_after_the_timeout(
    tmp_path: Path, how: tuple[bytes | None, bytes]
) -> None:
    """The time-out holds for the whole answer, however it is stretched."""
    head, piece = how
    servers: list[Server] = []
    with serving(hold(servers) if head is None else drip(servers, head, piece)) as server:
        servers.append(server)
        began = time.monotonic()
        with pytest.raises(SubmitError, match=r"did not answer in full within 0.3 s \(timeout\)"):
            made(tmp_path, server.url, timeout="300ms").submitter.submit(mark())
        assert time.monotonic() - began < 10


def test_nobody_there_is_told(tmp_path: Path) -> None:
    """A refused connection asks whether it runs, and whether the address is right."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(SubmitError, match=r"cannot be reached: connection refused; is it run"):
            made(tmp_path, url).submitter.submit(mark())


def test_a_host_that_does_not_exist_is_told(tmp_path: Path) -> None:
    """A name that cannot be resolved is told as that."""
    with pytest.raises(SubmitError, match="host name cannot be resolved"):
        made(tmp_path, "http://no-such-host.invalid").submitter.submit(mark())


def test_a_connection_that_is_closed_is_told_and_not_tried_again(tmp_path: Path) -> None:
    """The job may have been taken: it is not submitted twice."""

    def hang_up(handler: BaseHTTPRequestHandler) -> None:
        """Close without an answer."""
        handler.close_connection = True

    assert failure(tmp_path, hang_up) == AT + "closed the connection without an answer"


def test_an_answer_that_ends_early_is_told(tmp_path: Path) -> None:
    """Less than the announced length is no answer."""

    def half(handler: BaseHTTPRequestHandler) -> None:
        """Announce more than is sent."""
        handler.close_connection = True
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + b'{"id": 1}')

    assert failure(tmp_path, half) == AT + "ended in the middle of its answer"


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "\u20ac"])
def test_what_a_header_cannot_hold_is_not_sent(tmp_path: Path, value: str) -> None:
    """A line break in a job's value cannot add a header."""
    with serving(Say()) as server:
        http = f'url: "{server.url}"\nheaders: {{X-A: "{{{{ job.a }}}}"}}\njob_id: id'
        with pytest.raises(SubmitError, match="cannot be sent"):
            world(tmp_path, http).submitter.submit(mark(**{"job.a": value}))
    assert server.seen == []


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_follow_asks_again_when_the_target_is_busy(tmp_path: Path, status: int) -> None:
    """A GET that fails in passing is repeated, with growing waits."""
    busy = Say(status, b"")
    with serving(busy, busy, Say(200, b'{"state": "done"}')) as server:
        it = made(tmp_path, server.url)
        assert it.submitter.follow(mark(), "j").state is JobState.PASSED
    assert it.clock.slept == [0.1, 0.2]


def test_follow_waits_as_it_is_told(tmp_path: Path) -> None:
    """`Retry-After` is obeyed, in seconds and as a date."""
    later = "Wed, 21 Oct 2015 07:28:00 GMT"
    script = [
        Say(429, b"", {"Retry-After": "2"}),
        Say(429, b"", {"Retry-After": later}),
        Say(200, b'{"state": "done"}'),
    ]
    with serving(*script) as server:
        it = made(tmp_path, server.url)
        assert it.submitter.follow(mark(), "j").state is JobState.PASSED
    assert it.clock.slept == [2.0, 0.0]


def test_follow_that_is_told_to_wait_too_long_leaves_the_job_running(tmp_path: Path) -> None:
    """Being throttled says nothing of the job."""
    with serving(Say(429, b"", {"Retry-After": "60"})) as server:
        it = made(tmp_path, server.url)
        said = it.submitter.follow(mark(), "j")
    assert said.state is JobState.RUNNING
    assert said.detail.endswith("answered 429: too many requests; retry after 60")
    assert it.clock.slept == []


def test_follow_gives_up_on_a_target_that_stays_broken(tmp_path: Path) -> None:
    """After a few tries the failure is told."""
    with serving(Say(503, b"maintenance")) as server:
        it = made(tmp_path, server.url)
        with pytest.raises(SubmitError, match="answered 503 Service Unavailable: maintenance"):
            it.submitter.follow(mark(), "j")
        assert len(server.seen) == 4


def test_follow_connects_again(tmp_path: Path) -> None:
    """A connection that breaks during a GET is made anew."""

    def hang_up(handler: BaseHTTPRequestHandler) -> None:
        """Close without an answer."""
        handler.close_connection = True

    with serving(hang_up, Say(200, b'{"state": "done"}')) as server:
        assert made(tmp_path, server.url).submitter.follow(mark(), "j").state is JobState.PASSED


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{}", 'no status: "state" finds no word in an answer without keys'),
        (b'{"state": ["x"]}', 'no status: "state" finds no word in an answer with the keys state'),
        (b'{"sta', "broken JSON"),
    ],
)
def test_follow_says_when_there_is_no_status(tmp_path: Path, body: bytes, message: str) -> None:
    """The line says where the status was looked for and what was there."""
    with serving(Say(200, body)) as server, pytest.raises(SubmitError, match=message):
        made(tmp_path, server.url).submitter.follow(mark(), "j")


def test_then_and_clean_up_say_which_request_failed(tmp_path: Path) -> None:
    """The place in the configuration begins the line."""
    http = """
        url: "{url}/jobs"
        job_id: id
        then: [{{url: "{url}/a"}}, {{url: "{url}/b", expect: [202]}}]
        clean_up: {{url: "{url}/c", method: DELETE, expect: [204]}}
    """
    with serving(Say(200, b'{"id": 1}')) as server:
        it = world(tmp_path, http.format(url=server.url)).submitter
        progress = it.submit(mark())
        with pytest.raises(SubmitError, match=r"^targets.t.submit.http.then\[1\]: POST .*/b ans"):
            it.finish(mark(), progress)
        with pytest.raises(SubmitError, match=r"^targets.t.submit.http.clean_up: DELETE .*/c a"):
            it.clean_up(mark(), progress.job_id)


def test_cleaning_up_in_a_hurry_is_given_up_sooner(tmp_path: Path) -> None:
    """Whoever interrupts a run does not wait for a target that hangs."""
    http = """
        url: "{url}/jobs"
        job_id: id
        clean_up: {{url: "{url}/c", method: DELETE, timeout: 30s}}
    """
    servers: list[Server] = []
    with serving(hold(servers)) as server:
        servers.append(server)
        it = world(tmp_path, http.format(url=server.url)).submitter
        began = time.monotonic()
        with pytest.raises(SubmitError, match=r"did not answer in full within 0.2 s"):
            it.clean_up(mark(), "1", 0.2)
        assert time.monotonic() - began < 10
