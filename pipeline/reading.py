"""Reading a page: here when it is cheap for certain, else in a process that can be ended.

The time that HTML takes grows with the square of its depth and worse: 64 KB of nested `<div>` take
seven seconds, and a megabyte does not end. No count that is quick to make tells such a page apart.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import Final

from pipeline import extract
from pipeline.fetch_errors import PermanentError


@dataclass(frozen=True, slots=True)
class Limits:
    """What a page may cost; nine megabytes of prose take half a second and 130 MB."""

    seconds: int = 10
    memory: int = 2**30


LIMITS: Final = Limits()
_SMALL: Final = 65_536
_FEW_TAGS: Final = 2_000


def plain(body: bytes, charset: str) -> str:
    """Return a plain text as it is; nothing when it is white only."""
    text = extract.decoded(body, charset, html=False)
    return text if text.strip() else ""


def html(body: bytes, charset: str, limits: Limits = LIMITS) -> str:
    """Return the text of a page of HTML, which may be empty."""
    if len(body) <= _SMALL and body.count(b"<") <= _FEW_TAGS:
        return extract.of_html(extract.decoded(body, charset, html=True))
    return _apart(body, charset, limits)


def _apart(body: bytes, charset: str, limits: Limits) -> str:
    """Read a page in a process of its own, which ends with this one or when its limits are met."""
    given = [str(limits.seconds), str(limits.memory), charset]
    program = [sys.executable, "-P", extract.__file__, *given]
    try:
        # Twice the time: its limit is of processor time, and the machine may be busy.
        longest = 2 * limits.seconds
        done = subprocess.run(
            program, input=body, capture_output=True, timeout=longest, check=False
        )
    except subprocess.TimeoutExpired:
        raise _unreadable(limits, f"ended after {longest} s") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise _unreadable(limits, f"exit code {done.returncode} {said[:200]}".strip())
    return done.stdout.decode()


def _unreadable(limits: Limits, why: str) -> PermanentError:
    return PermanentError(
        "unreadable",
        f"the page's HTML cannot be read with {limits.seconds} s of one processor and"
        f" {limits.memory >> 20} MiB ({why})",
    )
