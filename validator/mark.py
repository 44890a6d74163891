"""What makes one run's job its own: its ids, its corpus, and the headers that mark it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from validator.ports import Mark
from validator.templates import settled
from validator.traces import parent_id_for

SYNTHETIC_BAGGAGE = "traffic=synthetic"
RUN_ID_BAGGAGE = "obs_validator.run_id"

RandomHex = Callable[[int], str]
"""Returns so many random bytes as hex digits."""


def new_mark(
    job: Mapping[str, Any],
    *,
    traceparent: bool = True,
    baggage: bool = True,
    random_hex: RandomHex = secrets.token_hex,
) -> Mark:
    """Return a mark that no other run has.

    `traceparent` follows W3C Trace Context level 1, with the sampled flag set; its parent is a
    span that nobody exports. `baggage` is W3C Baggage.
    """
    run_id = random_hex(8)
    nonce = random_hex(4)
    trace_id = random_hex(16)
    parent_id = parent_id_for(trace_id)
    corpus = f"obs-validator-{run_id}"
    return Mark(
        run_id=run_id,
        nonce=nonce,
        corpus=corpus,
        trace_id=trace_id if traceparent else "",
        parent_id=parent_id if traceparent else "",
        traceparent=f"00-{trace_id}-{parent_id}-01" if traceparent else "",
        baggage=f"{SYNTHETIC_BAGGAGE},{RUN_ID_BAGGAGE}={run_id}" if baggage else "",
        context=settled(
            {
                "run.id": run_id,
                "run.nonce": nonce,
                "run.corpus": corpus,
                "trace.id": trace_id if traceparent else "",
                **{f"job.{name}": value for name, value in job.items()},
            }
        ),
    )
