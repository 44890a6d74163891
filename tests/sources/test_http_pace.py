"""How fast a source is asked, and when again."""

from __future__ import annotations

import email.utils
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sources.servers import Canned, always, serving
from validator.errors import SourceError, SourceFailure
from validator.sources.http import Bounds, Call, Http, make_session
from validator.sources.pace import RateLimit, pause, told_to_wait
from validator.testing import FakeClock

NOW = 1_800_000_000.0


def date(seconds: float) -> str:
    """Return an HTTP date so many seconds from now."""
    return email.utils.formatdate(NOW + seconds, usegmt=True)


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, 0.0),
        ({"Retry-After": "3"}, 3.0),
        ({"Retry-After": " 2.5 "}, 2.5),
        ({"Retry-After": "-3"}, 0.0),
        ({"Retry-After": "nan"}, 0.0),
        ({"Retry-After": "inf"}, 0.0),
        ({"Retry-After": "soon"}, 0.0),
        ({"Retry-After": date(30)}, 30.0),
        ({"Retry-After": date(-30)}, 0.0),
        ({"Retry-After": date(330), "Date": date(300)}, 30.0),
        ({"Retry-After": "Sunday, 06-Nov-94 08:49:37 GMT"}, 0.0),
    ],
)
def test_what_a_server_asks_for(headers: dict[str, str], wait: float) -> None:
    """Seconds and dates are taken; a date by the server's own clock, where that is told."""
    assert told_to_wait(headers, NOW) == pytest.approx(wait)


def test_a_date_is_waited_for() -> None:
    """A server that names a moment is asked then, and not before."""
    later = Canned(503, headers={"Retry-After": email.utils.formatdate(time.time() + 400)})
    answers = iter([later, Canned(body=b"good")])
    clock = FakeClock(NOW)
    with serving(lambda _: next(answers)) as served:
        http = Http("s", make_session(), clock, Bounds(timeout=1000.0))
        assert http.call(Call(served.url)).body == b"good"
    http.close()
    assert clock.time - NOW == pytest.approx(400, abs=3)


@pytest.mark.req("V-13")
def test_too_late_is_said() -> None:
    """A server that asks for more than is left is an error at once, which says so."""
    with serving(always(Canned(429, headers={"Retry-After": "60"}))) as served:
        http = Http("s", make_session(), FakeClock(), Bounds(timeout=10))
        with pytest.raises(SourceError, match="after 60 s, more than is left of 10 s") as caught:
            http.call(Call(served.url))
    http.close()
    assert caught.value.failure is SourceFailure.THROTTLED


@given(attempt=st.integers(1, 40), chance=st.floats(0, 1))
def test_pauses_grow_and_differ(attempt: int, chance: float) -> None:
    """A pause doubles up to a bound, and chance takes off up to a half."""
    longest = min(0.2 * 2 ** (attempt - 1), 5.0)
    assert longest / 2 <= pause(attempt, chance) <= longest


@given(
    rate=st.floats(0.1, 50, allow_nan=False),
    gaps=st.lists(st.floats(0, 2, allow_nan=False), max_size=120),
)
def test_the_rate_holds_in_every_window(rate: float, gaps: list[float]) -> None:
    """Whenever requests come, in no window are there more than declared."""
    clock = FakeClock(0.0)
    limit = RateLimit(rate, clock)
    starts = []
    for gap in gaps:
        clock.sleep(gap)
        wait = limit.turn(1e9)
        assert wait is not None
        starts.append(clock.time + wait)
    most = max(1, int(rate))
    for first, last in zip(starts, starts[most:], strict=False):
        assert last - first >= most / rate - 1e-6


def test_a_turn_that_comes_too_late_is_not_taken() -> None:
    """Who is told that it takes too long takes no turn from the others."""
    clock = FakeClock(0.0)
    limit = RateLimit(1.0, clock)
    assert [limit.turn(0.5) for _ in range(3)] == [0.0, None, None]
    clock.sleep(1.0)
    assert limit.turn(0.5) == 0.0


def test_a_backend_gets_no_more_than_declared() -> None:
    """A source that asks in a burst spreads it, and one without room says that it is our limit."""
    clock = FakeClock()
    with serving(always(Canned(body=b"good"))) as served:
        http = Http("s", make_session(), clock, Bounds(timeout=2.0, rate=5.0))
        began = clock.time
        for _ in range(11):
            http.call(Call(served.url))
        assert clock.time - began == pytest.approx(2.0)
        http = Http("s", make_session(), clock, Bounds(timeout=0.5, rate=1.0))
        http.call(Call(served.url))
        with pytest.raises(SourceError, match="our own limit of 1 requests a second") as caught:
            http.call(Call(served.url))
        assert len(served.requests) == 12
    http.close()
    assert caught.value.failure is SourceFailure.THROTTLED


def test_a_question_whose_time_is_over_is_too_slow() -> None:
    """That is no lack of turns: another `rate_limit` would not help, and no turn is taken."""
    clock = FakeClock()
    began = clock.time
    with serving(always(Canned(body=b"good"))) as served:
        http = Http("s", make_session(), clock, Bounds(rate=1.0))
        for late in (0.0, 0.01):
            with pytest.raises(SourceError, match="took the whole `timeout`") as caught:
                http.call(Call(served.url, until=clock.time - late))
            assert caught.value.failure is SourceFailure.TOO_SLOW
        http.call(Call(served.url))
        assert len(served.requests) == 1
    http.close()
    assert clock.time == began


@dataclass
class Counting(FakeClock):
    """A clock of several threads, that counts what they slept."""

    slept: Counter[float] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def sleep(self, seconds: float) -> None:
        """Count, and let the time stand."""
        with self.lock:
            self.slept[round(seconds, 6)] += 1


def test_threads_share_the_limit() -> None:
    """However many threads ask at once, each turn is given once."""
    clock = Counting()
    with serving(always(Canned(body=b"good"))) as served:
        http = Http("s", make_session(), clock, Bounds(timeout=9.0, rate=4.0))
        threads = [threading.Thread(target=http.call, args=(Call(served.url),)) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    http.close()
    assert clock.slept == {1.0: 4, 2.0: 4}


def test_each_server_has_its_own() -> None:
    """Pages of several instances do not wait for each other."""
    clock = FakeClock()
    with serving(always(Canned())) as one, serving(always(Canned())) as other:
        http = Http("s", make_session(), clock, Bounds(rate=1.0))
        began = clock.time
        http.call(Call(one.url))
        http.call(Call(other.url))
    http.close()
    assert clock.time == began


@pytest.mark.parametrize(
    ("headers", "offset"),
    [
        ({}, None),
        ({"Date": "yesterday"}, None),
        ({"Date": date(300)}, 300.0),
        ({"Date": date(-300)}, -300.0),
        ({"Date": date(-300), "Age": "290"}, None),
        ({"Date": date(300), "Age": "0"}, 300.0),
    ],
)
def test_the_clock_of_a_server(headers: dict[str, str], offset: float | None) -> None:
    """A `Date` tells the server's clock to half a second; a cache's answer does not."""

    def script(handler: object) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        handler.wfile.write(  # type: ignore[attr-defined]  # a request handler
            f"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{lines}\r\n".encode()
        )

    with serving(script) as served:
        http = Http("s", make_session(), FakeClock(NOW), Bounds())
        found = http.call(Call(served.url)).clock_offset
    http.close()
    assert found == (None if offset is None else pytest.approx(offset, abs=0.51))
