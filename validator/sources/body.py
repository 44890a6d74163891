"""Bodies of answers: read in bounded pieces, broken off in time, and known to be whole."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import requests

ENCODINGS = ("gzip", "deflate")
"""What is asked for, and known to be whole: of others (br, zstd) nobody says that they were cut."""

_CHUNK = 256 * 1024


@contextlib.contextmanager
def alarm(response: requests.Response, seconds: float, late: threading.Event) -> Iterator[None]:
    """Break the connection off when the time is over, so that a read in progress ends."""

    def ring() -> None:
        late.set()
        break_off(response)

    timer = threading.Timer(seconds, ring)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def break_off(response: requests.Response) -> None:
    """End a read that is in progress in another thread."""
    with contextlib.suppress(Exception):  # it may just have ended, or have no socket
        response.raw.shutdown()


def chunks(response: requests.Response) -> Iterator[bytes]:
    """Yield the body decompressed, in bounded pieces."""
    raw: Any = response.raw
    return iter(lambda: raw.read(_CHUNK, decode_content=True), b"")


def is_known(response: requests.Response) -> bool:
    """Whether a body's encoding is one that can be undone; a server may send what it likes."""
    named = response.headers.get("Content-Encoding", "").lower()
    known = {"", "identity", "x-gzip", *ENCODINGS}
    return all(one.strip() in known for one in named.split(","))


def is_cut(response: requests.Response) -> bool:
    """Whether a compressed body ended before its own end, which urllib3 does not say.

    Its decoders are not public; where they have changed, this sees nothing.
    """
    decoder = getattr(response.raw, "_decoder", None)
    members = getattr(decoder, "_decoders", None) or [decoder]
    first = [getattr(one, "_obj", None) for one in members if _in_first_member(one)]
    return bool(response.raw.tell()) and any(getattr(obj, "eof", True) is False for obj in first)


def _in_first_member(decoder: object) -> bool:
    """Whether a decoder is not beyond the first member of gzip; what follows may be padding."""
    return not getattr(decoder, "_state", 0)
