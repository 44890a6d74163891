"""Addresses of pages: one spelling each, and clear words for what is refused."""

from __future__ import annotations

from urllib.parse import quote, unquote_to_bytes, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.urls import LONGEST, joined, normalised, origin

pytestmark = pytest.mark.req("P-06")


@pytest.mark.parametrize(
    ("given_url", "expected"),
    [
        ("HTTP://EXAMPLE.com:80", "http://example.com/"),
        (" https://example.com:443/ ", "https://example.com/"),
        ("http://example.com:8080", "http://example.com:8080/"),
        ("http://example.com:/", "http://example.com/"),
        ("http://example.com./x", "http://example.com/x"),
        ("http://bücher.example/ä", "http://xn--bcher-kva.example/%C3%A4"),
        ("http://faß.de/", "http://xn--fa-hia.de/"),
        ("http://ex。ample.com/", "http://ex.ample.com/"),
        ("http://☃.net/", "http://xn--n3h.net/"),
        ("http://a_b-.example/", "http://a_b-.example/"),
        ("http://h/a/../b/./c/..", "http://h/b/"),
        ("http://h/../../a", "http://h/a"),
        ("http://h/a/.", "http://h/a/"),
        ("http://h/%2e%2E/a", "http://h/a"),
        ("http://h//a///b//", "http://h//a///b//"),
        ("http://h/http://x.com/y", "http://h/http://x.com/y"),
        ("http://h/%7euser/%c3%a9%2f%zz%", "http://h/~user/%C3%A9%2F%25zz%25"),
        ("http://h/e\u0301", "http://h/e%CC%81"),
        ("http://h/a b\\c", "http://h/a%20b%5Cc"),
        ("http://h/?q=a b&q=%26%3d+%2B&&d#part", "http://h/?q=a%20b&q=%26%3D+%2B&&d"),
        ("http://h/?utm_source=x&gclid=y", "http://h/?utm_source=x&gclid=y"),
        ("http://h/#!page", "http://h/"),
        ("http://h/?", "http://h/"),
        ("http://2130706433/", "http://127.0.0.1/"),
        ("http://0x7f.1/x", "http://127.0.0.1/x"),
        ("http://0177.0.0.1/", "http://127.0.0.1/"),
        ("http://\uff11\uff12\uff17.0.0.1/", "http://127.0.0.1/"),
        ("http://0xg/", "http://0xg/"),
        ("http://[::FFFF:7f00:1]:8080/", "http://[::ffff:7f00:1]:8080/"),
        ("http://[0:0::1]/", "http://[::1]/"),
    ],
)
def test_each_address_has_one_spelling(given_url: str, expected: str) -> None:
    """Case, ports, dots, escapes, IDN and numbers are brought into one form; the rest stays."""
    assert normalised(given_url) == expected


@pytest.mark.parametrize(
    ("given_url", "said"),
    [
        ("", "no scheme"),
        ("example.com/x", "no scheme"),
        ("//example.com/x", "no scheme"),
        ("file:///etc/passwd", "^file: is not fetched: http:// and https:// are$"),
        ("gopher://example.com/", "^gopher: is not fetched"),
        ("ftp://example.com/", "^ftp: is not fetched"),
        ("javascript:alert(1)", "^javascript: is not fetched"),
        ("localhost:8080/", "^localhost: is not fetched"),
        ("http:///x", "no host"),
        ("http:x", "no host"),
        ("http://?q", "no host"),
        ("http://user:secret@h/", "credentials"),
        ("http://secret@h/", "credentials"),
        ("http://@h/", "credentials"),
        ("http://a\\@secret/", "credentials"),
        ("http://h:0/", "ports go from 1 to 65535"),
        ("http://h:65536/", "ports go from 1 to 65535"),
        ("http://h:http/", "ports go from 1 to 65535"),
        ("http://a\x00b/", r"control character \(U\+0000\) at 8"),
        ("http://h/\n", r"control character \(U\+000A\) at 9"),
        ("http://h/\x7f", r"control character \(U\+007F\) at 9"),
        ("http://h/\ud800", r"half a surrogate pair \(U\+D800\) at 9"),
        ("http://[::1", "brackets"),
        ("http://[v1.x:y]/", "no IPv6 address|brackets"),
        ("http://[::1%25eth0]/", "no IPv6 address"),
        ("http://secret b/", "no name"),
        ("http://a<b/", "no name"),
        ("http://*/", "no name"),
        ("http://ex%61mple.com/", "no name"),
        ("http://a..b/", "empty label"),
        ("http://.a/", "empty label"),
        (f"http://{'a' * 64}.com/", "no name"),
        (f"http://{'.'.join(['a' * 60] * 5)}/", "no name"),
        ("http://1.2.3.4.5/", "ends in a number"),
        ("http://256.0.0.1/", "ends in a number"),
        (f"http://h/{'a' * LONGEST}", "has 2057 characters: at most 2048"),
        (f"http://h/{'é' * 1_000}", "has 6009 characters once escaped: at most 2048"),
    ],
)
def test_what_is_no_page_is_refused_with_its_reason(given_url: str, said: str) -> None:
    """The message says what is wrong, and repeats no secret that is in the address."""
    with pytest.raises(ValueError, match=said) as refused:
        normalised(given_url)
    assert "secret" not in str(refused.value)


def test_a_page_leads_to_others() -> None:
    """References are joined to the page that has them, and judged like any address."""
    assert joined("http://h/a/b?q", "../c#x") == "http://h/c"
    assert joined("http://h/a", "//other:80/") == "http://other/"
    assert origin(joined("http://h:81/a", "/b")) == "http://h:81"
    for reference in ("file:///etc/passwd", "//[x", "http://u:p@h/"):
        with pytest.raises(ValueError, match=r"URL|file"):
            joined("http://h/", reference)


_HOSTS = st.sampled_from(["example.com", "a.b-c.example", "127.0.0.1", "[::1]", "xn--n3h.net"])
_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
_PORTS = st.sampled_from(["", ":80", ":443", ":8080"])


@st.composite
def _spelled(draw: st.DrawFn, text: st.SearchStrategy[str], raw: str) -> tuple[bytes, str]:
    """Return some bytes, and one of the ways to spell them in an address."""
    data = draw(text).encode()
    escaped = [
        quote(bytes([byte]), safe=raw)
        if draw(st.booleans())
        else f"%{byte:02{draw(st.sampled_from('xX'))}}"
        for byte in data
    ]
    return data, "".join(escaped)


_SEGMENT = _spelled(_TEXT.filter(lambda text: text not in {".", ".."}), ":@!$&'()*+,;=")
_SEGMENTS = st.lists(_SEGMENT, max_size=4)
_PART = _spelled(_TEXT, ":@!$'()*+,;/?")
_PAIRS = st.lists(st.tuples(_PART, _PART), max_size=3)


@settings(max_examples=60, deadline=None)
@given(_HOSTS, _PORTS, _SEGMENTS, _PAIRS)
def test_host_and_meaning_stay_and_once_is_enough(
    host: str,
    port: str,
    segments: list[tuple[bytes, str]],
    pairs: list[tuple[tuple[bytes, str], tuple[bytes, str]]],
) -> None:
    """The same host and port, segments, names and values come out, byte by byte, in order."""
    query = "&".join(f"{name}={value}" for (_, name), (_, value) in pairs)
    path = "".join(f"/{escaped}" for _, escaped in segments) or "/"
    found = normalised(f"HTTP://{host.upper()}{port}{path}?{query}")
    parts = urlsplit(found)
    assert parts.netloc == host + ("" if port == ":80" else port)
    wanted = [data for data, _ in segments] or [b""]
    assert [unquote_to_bytes(part) for part in parts.path.split("/")[1:]] == wanted
    named = [list(map(unquote_to_bytes, pair.split("="))) for pair in parts.query.split("&")]
    assert named == ([[name, value] for (name, _), (value, _) in pairs] or [[b""]])
    assert normalised(found) == found


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60), st.sampled_from(["", "http://", "https://h/", "http://h:8/a?"]))
def test_any_text_is_normalised_once_or_refused(text: str, before: str) -> None:
    """Whatever comes, there is a fixed point in ASCII or a ValueError, and nothing else."""
    try:
        found = normalised(before + text)
    except ValueError:
        return
    assert found.isascii()
    assert normalised(found) == found
