"""What the collector is willing to hold and to take."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the collector's memory and of one request.

    `items` spans, and as many log records, of together at most `size` bytes, none older than
    `age` seconds; `series` metric series; `losses` traces and jobs, and as many metrics, of which
    it is remembered that something was lost. `body` bytes of a request as sent, `inflated` once
    decompressed, `json` when it is JSON (which takes many times its size to read), `in_flight` of
    all requests at once.
    """

    items: int = 200_000
    size: int = 512 * MIB
    age: float = 900.0
    series: int = 50_000
    losses: int = 20_000
    body: int = 20 * MIB
    inflated: int = 32 * MIB
    json: int = 16 * MIB
    in_flight: int = 256 * MIB
