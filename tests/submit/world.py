"""What the tests of submission share: a clock, a mark, and submitters from real YAML."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

from validator.config import Settings, load_settings
from validator.ports import Mark
from validator.submit.http import HttpSubmitter
from validator.submit.sender import Means
from validator.submit.session import make_session

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT_ID = "b7ad6b7169203331"


@dataclass
class HastyClock:
    """The machine's clock, except that sleeping only makes it later."""

    slept: list[float] = field(default_factory=list)

    def now(self) -> float:
        """Return the Unix time, with what was slept."""
        return time.time() + sum(self.slept)

    def monotonic(self) -> float:
        """Return the monotonic time, with what was slept."""
        return time.monotonic() + sum(self.slept)

    def sleep(self, seconds: float) -> None:
        """Be later."""
        self.slept.append(seconds)


def mark(**context: Any) -> Mark:
    """Return a run's mark."""
    return Mark(
        run_id="run1",
        nonce="n0nce",
        corpus="obs-validator-run1",
        trace_id=TRACE_ID,
        parent_id=PARENT_ID,
        traceparent=f"00-{TRACE_ID}-{PARENT_ID}-01",
        baggage="traffic=synthetic,obs_validator.run_id=run1",
        context={
            "run.id": "run1",
            "run.nonce": "n0nce",
            "run.corpus": "obs-validator-run1",
            "trace.id": TRACE_ID,
            **context,
        },
    )


@dataclass
class World:
    """A submitter with what it was made of."""

    settings: Settings
    clock: HastyClock
    submitter: HttpSubmitter


def world(folder: Path, http: str, *, target: str = "", **environ: str) -> World:
    """Return a submitter for a target with this `http:` section (and keys of the target)."""
    path = folder / "obs-validator.yaml"
    path.write_text(
        "targets:\n  t:\n"
        + indent(dedent(target), "    ")
        + "    submit:\n      http:\n"
        + indent(dedent(http).strip(), "        ")
        + "\nsources: {c: {type: collector}}\n"
    )
    settings = load_settings(path, environ)
    clock = HastyClock()
    means = Means(make_session(), clock, settings.redact)
    return World(settings, clock, HttpSubmitter("t", settings.targets["t"], means))
