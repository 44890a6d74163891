"""The text of a page: its main content, paragraphs apart by blank lines.

Also a program, which `reading.py` runs for pages that may be costly. It imports nothing of ours, so
that it starts at once.
"""

from __future__ import annotations

import codecs
import ctypes
import os
import resource
import signal
import sys
from typing import Final

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

_BOMS: Final = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_DEEPER: Final = "<div>" * 3
"""Lists less than three levels below the body are taken for navigation, whatever is in them."""
_PR_SET_PDEATHSIG: Final = 1


def decoded(body: bytes, charset: str, *, html: bool) -> str:
    """Return a body as text, whatever is in it: by BOM, then header, then meta, then guess.

    A label counts as the WHATWG has it, so that none of Python's own codecs can be asked for. NUL
    is left out: it is no text, and PostgreSQL refuses it.
    """
    encoding = (
        next((name for bom, name in _BOMS.items() if body.startswith(bom)), None)
        or map_encoding_to_html5(charset, fallback_utf8=False)
        or detect_encoding(body, from_html_meta=html)
        or "utf-8"
    )
    return body.decode(encoding, "replace").removeprefix("\ufeff").replace("\0", "")


def of_html(html: str) -> str:
    """Return the main content of a page, or all its text where nothing is its main content."""
    return _extract(html, main=True) or _extract(html, main=False)


def _extract(html: str, *, main: bool) -> str:
    found = extract_plain_text(
        f"{_DEEPER}{html}",
        main_content=main,
        list_bullets=False,
        alt_texts=False,
        comments=False,
        skip_elements=["title"],
    )
    return found.replace("\0", "").strip()


def main(seconds: str, memory: str, charset: str) -> int:
    """Read a page from stdin within limits that the kernel keeps; write its text to stdout."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
    resource.setrlimit(resource.RLIMIT_AS, (int(memory), int(memory)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    text = of_html(decoded(sys.stdin.buffer.read(), charset, html=True))
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()
    # Thousands of nodes need not be freed one by one.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
