"""robots.txt by RFC 9309: who may go where, what is remembered, and what a hostile one costs."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protego import Protego

from pipeline import robots
from pipeline.fetch_errors import FetchError, PermanentError, TimedOutError, TransientError
from pipeline.robots import LARGEST, Bounds, Robots, for_agent
from tests.pipeline.sites import (
    RESET,
    Reply,
    Site,
    always,
    dripping,
    site,
    soon,
    to,
    visitor,
    whole,
)

pytestmark = pytest.mark.req("P-06")

_AGENT = "obs-validator-pipeline"


def _robots(agent: str = _AGENT) -> Robots:
    return Robots(visitor(), agent)


def _says(text: str) -> dict[str, Reply]:
    return {"/robots.txt": always(whole(text.encode()))}


def _may(known: Robots, there: Site, path: str) -> bool:
    try:
        known.check(f"{there.url}{path}", soon())
    except PermanentError as error:
        if error.code != "robots_denied" or f"{there.url}/robots.txt" not in str(error):
            raise
        return False
    return True


@pytest.mark.parametrize(
    ("text", "allowed", "denied"),
    [
        ("", ["/", "/a"], []),
        ("User-agent: *\nDisallow: /private/\n", ["/", "/private"], ["/private/a"]),
        ("User-agent: *\nDisallow: /\nAllow: /a\n", ["/a", "/ab"], ["/", "/b"]),
        ("User-agent: *\nDisallow: /*.pdf$\n", ["/a.pdf?x"], ["/a.pdf"]),
        ("User-agent: other\nDisallow: /\n", ["/"], []),
        ("User-agent: *\nDisallow: /\n\nUser-agent: other\nAllow: /\n", [], ["/"]),
        ("User-agent: *\nDisallow: /\n\nUser-agent: OBS-validator-pipeline\n", ["/"], []),
        ("User-agent: *\nAllow: /\n\nUser-agent: obs-validator\nDisallow: /", [], ["/"]),
        ("User-agent: validator\nDisallow: /", ["/"], []),
        ("User-agent: x\nUser-agent: *\nDisallow: /a\n", ["/"], ["/a"]),
        ("\ufeffUser-agent: *\nDisallow: /a # why\n", ["/b"], ["/a"]),
        ("useragent *\ndissallow /a", ["/b"], ["/a"]),
        ("<html>not here</html>", ["/"], []),
        ("\0\0\xff", ["/"], []),
    ],
)
def test_rules_are_those_for_us(text: str, allowed: list[str], denied: list[str]) -> None:
    """The longest rule wins, of the group that names us, or else of everybody's."""
    known = _robots()
    with site(_says(text)) as there:
        assert [path for path in (*allowed, *denied) if _may(known, there, path)] == allowed
        assert there.paths() == ["/robots.txt"]


@pytest.mark.parametrize("status", ["401 No", "403 No", "404 No", "410 Gone", "429 Later"])
def test_no_robots_txt_allows_all(status: str) -> None:
    """A site that answers 4xx has none (RFC 9309 §2.3.1.3)."""
    with site({"/robots.txt": always(whole(b"Disallow: /", status=status))}) as there:
        assert _may(_robots(), there, "/a")


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (always(whole(b"", status="500 Error")), TransientError),
        (always(whole(b"", status="503 Later")), TransientError),
        (always(whole(b"", status="304 Not Modified")), TransientError),
        (always(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", RESET), TransientError),
        (always(b"no HTTP\r\n\r\n"), TransientError),
        (always(to("http://169.254.169.254/robots.txt")), TransientError),
        (always(to("file:///etc/passwd")), TransientError),
        (dripping(b"HTTP/1.1 200 OK\r\n\r\n", drop=b"#"), TimedOutError),
    ],
    ids=["500", "503", "304", "reset", "protocol", "metadata", "file", "slow"],
)
def test_one_that_cannot_be_had_denies_all_for_now(reply: Reply, kind: type[FetchError]) -> None:
    """5xx and the like are a no (RFC 9309 §2.3.1.4), asked again the next time."""
    known = _robots()
    begun = time.monotonic()
    with site({"/robots.txt": reply}) as there:
        for _ in range(2):
            with pytest.raises(TransientError, match=f"{there.url}/robots.txt") as failed:
                known.check(f"{there.url}/a", soon(0.3))
            assert (type(failed.value), failed.value.code) == (kind, "robots_unreachable")
        assert len(there.asked) == 2
    assert time.monotonic() - begun < robots.SECONDS


def test_a_site_that_cannot_be_had_is_no_matter_of_its_robots_txt() -> None:
    """An address that is refused, or no connection, is told as what it is."""
    with site({}) as there:
        gone = there.url
    for url, code in (
        ("http://169.254.169.254/", "address_refused"),
        ("http://nosuch.test/", "dns"),
        (f"{gone}/", "unreachable"),
    ):
        with pytest.raises(FetchError) as failed:
            _robots().check(url, soon())
        assert failed.value.code == code


@pytest.mark.parametrize(("hops", "allowed"), [(1, False), (5, False), (6, True)])
def test_five_redirects_are_followed(hops: int, allowed: bool) -> None:
    """A robots.txt behind five redirects counts; behind more there is none."""
    pages = {f"/{n}": always(to(f"/{n + 1}")) for n in range(1, hops)}
    pages["/robots.txt"] = always(to("/1"))
    pages[f"/{hops}"] = always(whole(b"User-agent: *\nDisallow: /"))
    with site(pages) as there:
        assert _may(_robots(), there, "/a") is allowed


def test_half_a_megabyte_counts_and_the_rest_is_not_there() -> None:
    """Of ten megabytes the first 500 KiB are read and understood, and no more is waited for."""
    begin, cut = "User-agent: *\nDisallow: /first\n", "Disallow: /cut"
    filler = "#" * (LARGEST - len(begin) - len(cut) - 1) + "\n"
    text = f"{begin}{filler}{cut}-in-two\n" + "Disallow: /last\n" * 600_000
    assert text[:LARGEST].endswith("\nDisallow: /cut")
    assert len(text) > 10_000_000
    known = _robots()
    endless = dripping(b"HTTP/1.1 200 OK\r\n\r\n", text.encode(), drop=b"#")
    with site({"/robots.txt": endless}) as there:
        assert not _may(known, there, "/first")
        assert _may(known, there, "/cut")
        assert _may(known, there, "/last")
        assert len(there.asked) == 1


def test_an_answer_is_remembered_for_a_while() -> None:
    """An origin is asked once an hour, also when it has none; another origin is another one."""
    now = 0.0
    known = Robots(visitor(), _AGENT, clock=lambda: now)
    with site(_says("User-agent: *\nDisallow: /a")) as there, site({}) as other:
        for _ in range(3):
            assert not _may(known, there, "/a")
            assert _may(known, other, "/a")
        now = Bounds().seconds + 1
        assert not _may(known, there, "/a")
        assert (len(there.asked), len(other.asked)) == (2, 1)


@pytest.mark.parametrize("bounds", [Bounds(origins=2), Bounds(size=1_300)])
def test_what_is_remembered_is_bounded(bounds: Bounds) -> None:
    """The origins asked longest ago are forgotten, by their number and by their size."""
    large = "User-agent: *\nDisallow: /a\n" + "#" * 600
    known = Robots(visitor(), _AGENT, bounds)
    with site(_says(large)) as one, site(_says(large)) as two, site(_says(large)) as three:
        for there in (one, two, one, three, one, two):
            assert not _may(known, there, "/a")
        assert [len(there.asked) for there in (one, two, three)] == [1, 2, 1]


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"User-agent: a{n}\n" for n in range(1_700))
        + "".join(f"Disallow: /{n}\n" for n in range(1_700)),
        "".join(f"User-agent: {_AGENT[:9]}{'*' * n}\n" for n in range(300)) * 2
        + "".join(f"Disallow: /{n}\n" for n in range(1_700)),
    ],
    ids=["agents", "stars"],
)
def test_agents_times_rules_take_no_memory(text: str) -> None:
    """Rules are kept once, however many agents they are for."""
    tracemalloc.start()
    rules = Protego.parse(for_agent(text, _AGENT))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000
    assert rules.can_fetch("http://h/", _AGENT)


_NAMES = ["*", "obs", "OBS-validator", _AGENT, f"{_AGENT}x", "validator", "googlebot", "obs*", ""]
_LINES = st.one_of(
    st.sampled_from(_NAMES).map(lambda name: f"User-Agent: {name}"),
    st.sampled_from(["/", "/a", "/a/b", "/*b", "/a$", ""]).flatmap(
        lambda path: st.sampled_from(
            [f"Disallow: {path}", f"Allow: {path}", f"disallow {path} # x"]
        )
    ),
    st.sampled_from(
        ["", "# agent", "Sitemap: http://h/s", "Crawl-delay: 2", "user-agents: *", "x"]
    ),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(_LINES, max_size=12), st.sampled_from([_AGENT, f"Mozilla/5.0 ({_AGENT}/2; +x)"]))
def test_rules_are_the_same_with_only_two_agents(lines: list[str], agent: str) -> None:
    """What is left out for Protego's sake changes no answer of Protego's."""
    text = "\n".join(lines)
    whole_text, ours = Protego.parse(text), Protego.parse(for_agent(text, agent))
    for path in ("/", "/a", "/a/b", "/ab", "/c"):
        url = f"http://h{path}"
        assert ours.can_fetch(url, agent) == whole_text.can_fetch(url, agent)
