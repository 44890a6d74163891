"""Texts without secrets: in every form, in part at an end, and of all that was sent of late."""

from __future__ import annotations

import base64
import json

import pytest

from validator.sources.redaction import Sent, of_header, of_url, without


@pytest.mark.req("V-13")
@pytest.mark.parametrize(
    "repeated",
    [
        'p<ss"wörd/1',
        "p%3Css%22w%C3%B6rd%2F1",
        json.dumps('p<ss"wörd/1')[1:-1],
        'p<ss\\"wörd/1',
        'p\\u003css\\"wörd/1',
    ],
    ids=["plain", "in a URL", "in ASCII's JSON", "in JSON", "in Go's JSON"],
)
def test_every_form_is_blanked_out(repeated: str) -> None:
    """Whoever repeats a secret may have escaped it."""
    assert without({'p<ss"wörd/1'}, f"it was {repeated}!") == "it was [redacted]!"


@pytest.mark.req("V-13")
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("bad token hunter2-se", "bad token [redacted]"),
        ("bad token hunt", "bad token [redacted]"),
        ("bad token hun", "bad token hun"),
        ("the hunter, hunter2-secret", "the hunter, [redacted]"),
        ("hunter2-secret, hunter2", "[redacted], [redacted]"),
        ("", ""),
    ],
)
def test_what_is_left_of_a_secret_at_an_end_is_blanked_out(text: str, told: str) -> None:
    """Where a text ends, it may have been cut; four characters are more than chance."""
    assert without({"hunter2-secret", "hun"}, text) == told


def test_a_header_is_read_as_it_is_sent() -> None:
    """A name and password are found in it; what is no base64 is a secret as it is."""
    sent = base64.b64encode(b"me:p\xe4ss").decode()
    assert {"me:päss", "päss", sent} <= set(of_header(f"Basic {sent}"))
    assert set(of_header("Basic ?")) == {"Basic ?", "?"}
    assert set(of_header("Bearer token")) == {"Bearer token", "token"}


def test_an_address_that_cannot_be_read_is_a_secret_as_a_whole() -> None:
    """So that its password is not told."""
    assert list(of_url("http://me:pass@[bad")) == ["http://me:pass@[bad"]


def test_what_was_sent_is_remembered_within_a_bound() -> None:
    """A server that redirects without end to ever new secrets drives out none that is in use."""
    sent = Sent()
    for number in range(1000):
        sent.remember(["in use"])
        sent.remember([f"new {number}"])
    assert "in use" in sent.known()
    assert "new 999" in sent.known()
    assert len(sent.known()) < 300
