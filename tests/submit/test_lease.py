"""Taking turns: a lease over HTTP, taken, kept, lost, given back."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from textwrap import dedent, indent

import pytest

from pipeline.testing import poll_until
from tests.submit.server import Server
from tests.submit.world import HastyClock, mark
from validator.config import load_settings
from validator.submit.lease import Lease, NotOurTurnError, StoppedError, Waiting
from validator.submit.sender import Means
from validator.submit.session import make_session

pytestmark = pytest.mark.req("V-11")


@dataclass
class Store:
    """A server that keeps one lease, by its own time; `broken` is a status that it answers."""

    holder: str = ""
    expires: float = 0.0
    broken: int = 0
    seen: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer a request."""
        with self.lock:
            status, body = self._answer(handler)
        data = json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def _answer(self, handler: BaseHTTPRequestHandler) -> tuple[int, dict[str, str]]:
        _, verb, holder, ttl = handler.path.split("/")
        self.seen.append(f"{verb} {holder}")
        assert handler.headers["baggage"].startswith("traffic=synthetic")
        assert handler.headers["traceparent"] is None
        if self.broken:
            return self.broken, {}
        now = time.monotonic()
        free = self.expires <= now or self.holder == holder
        ours = self.expires > now and self.holder == holder
        if not {"take": free, "renew": ours, "release": ours}[verb]:
            return 409, {"who": self.holder}
        self.holder, self.expires = holder, now + float(ttl)
        if verb == "release":
            self.holder, self.expires = "", 0.0
        return 200, {"who": holder}


@pytest.fixture
def store() -> Iterator[tuple[Store, str]]:
    """Have a store, and its address."""
    found = Store()
    server = Server([found])
    try:
        yield found, server.url
    finally:
        server.close()


def lease_of(folder: Path, url: str, *, holder: str = "me", more: str = "ttl: 30s") -> Lease:
    """Return a lease of a target that is configured so."""
    text = dedent(f"""\
        acquire: {{url: "{url}/take/{{{{ lease.holder }}}}/{{{{ lease.ttl }}}}"}}
        renew: {{url: "{url}/renew/{{{{ lease.holder }}}}/{{{{ lease.ttl }}}}"}}
        release: {{url: "{url}/release/{{{{ lease.holder }}}}/0"}}
        holder: who
        """)
    path = folder / "obs-validator.yaml"
    path.write_text(
        "targets:\n  t:\n    lease:\n"
        + indent(text + dedent(more), "      ")
        + "\nsources: {c: {type: collector}}\n"
    )
    settings = load_settings(path, {})
    means = Means(make_session(), HastyClock(), settings.redact)
    return Lease("t", settings.targets["t"], means, holder)


@dataclass
class Wait:
    """Waits a little, and remembers what it was told."""

    told: list[str] = field(default_factory=list)
    stop_after: int = 10**9
    paused: int = 0

    def waiting(self) -> Waiting:
        """Return how to wait."""
        return Waiting(self._pause, self.told.append)

    def _pause(self, seconds: float) -> bool:
        self.paused += 1
        threading.Event().wait(min(seconds, 0.01))
        return self.paused > self.stop_after


def nothing() -> None:
    """Be told of a loss, and do nothing."""


def nothing_either() -> None:
    """Be another run that is told of a loss."""


def test_it_is_taken_and_given_back(store: tuple[Store, str], tmp_path: Path) -> None:
    """The store names its holder meanwhile, and nobody afterwards."""
    kept, url = store
    lease = lease_of(tmp_path, url)
    tenure = lease.take(mark(), nothing, Wait().waiting())
    assert kept.holder == "me"
    assert lease.leave(tenure, nothing) == ""
    assert (kept.holder, tenure.lost) == ("", "")
    assert kept.seen == ["take me", "release me"]


def test_who_comes_second_waits_and_says_for_whom(store: tuple[Store, str], tmp_path: Path) -> None:
    """It goes on as soon as the first has given it back."""
    kept, url = store
    first, second = lease_of(tmp_path, url), lease_of(tmp_path, url, holder="other")
    tenure = first.take(mark(), nothing, Wait().waiting())
    wait = Wait()
    taken: list[object] = []
    thread = threading.Thread(
        target=lambda: taken.append(second.take(mark(), nothing, wait.waiting()))
    )
    thread.start()
    poll_until(lambda: wait.paused >= 2, "some waiting")
    assert not taken
    assert wait.told == ["for the lease of `t`, which me has"]
    first.leave(tenure, nothing)
    thread.join(10)
    assert len(taken) == 1
    assert kept.holder == "other"


def test_who_waited_long_enough_says_who_had_it(store: tuple[Store, str], tmp_path: Path) -> None:
    """No longer than `wait`; nothing was taken."""
    kept, url = store
    kept.holder, kept.expires = "val-b", time.monotonic() + 60
    lease = lease_of(tmp_path, url, more="wait: 100ms\nevery: 10ms")
    late = r"val-b has the lease of `t`, after [01] s of waiting"
    with pytest.raises(NotOurTurnError, match=late):
        lease.take(mark(), nothing, Wait().waiting())
    assert kept.holder == "val-b"


def test_a_stop_ends_the_waiting(store: tuple[Store, str], tmp_path: Path) -> None:
    """At the next pause, with nothing taken."""
    kept, url = store
    kept.holder, kept.expires = "val-b", time.monotonic() + 60
    lease = lease_of(tmp_path, url)
    with pytest.raises(StoppedError):
        lease.take(mark(), nothing, Wait(stop_after=3).waiting())


@pytest.mark.parametrize("status", [401, 404, 500, 503])
def test_a_store_that_fails_is_no_turn(
    store: tuple[Store, str], tmp_path: Path, status: int
) -> None:
    """After the third time the reason is said, and nothing is sent."""
    kept, url = store
    kept.broken = status
    lease = lease_of(tmp_path, url)
    with pytest.raises(NotOurTurnError, match=f"could not be had.*answered {status}"):
        lease.take(mark(), nothing, Wait().waiting())
    assert kept.seen == ["take me"] * 3


def test_a_store_that_fails_once_is_asked_again(store: tuple[Store, str], tmp_path: Path) -> None:
    """A blip is no reason."""
    kept, url = store
    kept.broken = 503
    lease = lease_of(tmp_path, url)
    wait = Wait()

    def mend(_seconds: float) -> bool:
        kept.broken = 0
        return False

    lease.take(mark(), nothing, Waiting(mend, wait.told.append))
    assert kept.holder == "me"


def test_it_is_kept_for_as_long_as_it_is_used(store: tuple[Store, str], tmp_path: Path) -> None:
    """Well beyond its time, and nobody else gets it."""
    kept, url = store
    lease = lease_of(tmp_path, url, more="ttl: 2s")
    tenure = lease.take(mark(), nothing, Wait().waiting())
    until = tenure.until
    poll_until(lambda: tenure.until > until + 2, "renewals beyond its time")
    assert (kept.holder, tenure.lost) == ("me", "")
    lease.leave(tenure, nothing)
    assert tenure.lost == ""
    assert kept.seen[-1] == "release me"


def test_runs_of_one_process_share_it(store: tuple[Store, str], tmp_path: Path) -> None:
    """It is taken once, and given back by the last."""
    kept, url = store
    lease = lease_of(tmp_path, url)
    first = lease.take(mark(), nothing, Wait().waiting())
    second = lease.take(mark(), nothing_either, Wait().waiting())
    assert first is second
    assert lease.leave(first, nothing) == ""
    assert kept.holder == "me"
    lease.leave(second, nothing_either)
    assert kept.holder == ""
    assert kept.seen == ["take me", "renew me", "release me"]


def test_somebody_else_who_has_it_ends_the_run(store: tuple[Store, str], tmp_path: Path) -> None:
    """Who is told of the loss may end; the lease is not given back for the other."""
    kept, url = store
    lease = lease_of(tmp_path, url, more="ttl: 3s")
    lost = threading.Event()
    tenure = lease.take(mark(), lost.set, Wait().waiting())
    with kept.lock:
        kept.holder, kept.expires = "thief", time.monotonic() + 60
    assert lost.wait(5)
    assert tenure.lost == "thief has the lease of `t` in mid-run"
    assert lease.leave(tenure, lost.set) == ""
    assert kept.holder == "thief"
    assert "release me" not in kept.seen


def test_a_store_that_is_away_for_too_long_loses_it(
    store: tuple[Store, str], tmp_path: Path
) -> None:
    """By our own clock: whether somebody had it meanwhile cannot be known."""
    kept, url = store
    lease = lease_of(tmp_path, url, more="ttl: 600ms")
    lost = threading.Event()
    tenure = lease.take(mark(), lost.set, Wait().waiting())
    kept.broken = 503
    assert lost.wait(5)
    assert "ran out in mid-run" in tenure.lost
    assert "answered 503" in tenure.lost


def test_a_store_that_is_away_for_a_while_does_not(
    store: tuple[Store, str], tmp_path: Path
) -> None:
    """It is asked again while there is time."""
    kept, url = store
    lease = lease_of(tmp_path, url, more="ttl: 3s")
    tenure = lease.take(mark(), nothing, Wait().waiting())
    kept.broken = 503
    poll_until(lambda: "renew me" in kept.seen, "a renewal that fails")
    kept.broken = 0
    before = tenure.until
    poll_until(lambda: tenure.until > before, "a renewal that does not")
    lease.leave(tenure, nothing)
    assert tenure.lost == ""


def test_that_it_was_not_ours_at_the_end_is_a_loss(
    store: tuple[Store, str], tmp_path: Path
) -> None:
    """Giving it back tells what nobody had seen."""
    kept, url = store
    lease = lease_of(tmp_path, url)
    tenure = lease.take(mark(), nothing, Wait().waiting())
    kept.holder = "thief"
    assert lease.leave(tenure, nothing) == ""
    assert tenure.lost == "the lease of `t` was not ours any more at the end"


def test_that_it_cannot_be_given_back_is_told(store: tuple[Store, str], tmp_path: Path) -> None:
    """It runs out; the run was made under it all the same."""
    kept, url = store
    lease = lease_of(tmp_path, url)
    tenure = lease.take(mark(), nothing, Wait().waiting())
    kept.broken = 500
    assert "it runs out by itself within 30 s" in lease.leave(tenure, nothing)
    assert tenure.lost == ""


def test_after_a_loss_it_is_taken_anew(store: tuple[Store, str], tmp_path: Path) -> None:
    """The next run has a tenure of its own."""
    kept, url = store
    lease = lease_of(tmp_path, url, more="ttl: 600ms")
    lost = threading.Event()
    old = lease.take(mark(), lost.set, Wait().waiting())
    with kept.lock:
        kept.holder, kept.expires = "thief", time.monotonic() + 0.1
    assert lost.wait(5)
    new = lease.take(mark(), nothing, Wait().waiting())
    assert new is not old
    assert not new.lost
    lease.leave(new, nothing)
    assert kept.holder == ""
