"""`python -m bench`: measure, print each figure with how it was measured, and judge it."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from bench import (
    baselines,
    collector_memory,
    commands,
    faults,
    gathering,
    lag,
    lateness,
    scale,
    scraping,
    stack_lag,
)
from bench.figures import Figure, markdown, table

MEASURES: Mapping[str, Callable[[], Iterable[Figure]]] = {
    "help": commands.measure_help,
    "baselines": baselines.measure,
    "lag": lag.measure,
    "stack": stack_lag.measure,
    "scraping": scraping.measure,
    "faults": faults.measure,
    "lateness": lateness.measure,
    "connected": scale.measure_connected,
    "select": scale.measure_select,
    "gathering": gathering.measure,
    "memory": collector_memory.measure_figures,
    "demo": commands.measure_demo,
}
"""Every measurement, in the order in which they are made."""


def main() -> int:
    """Measure what was asked for; return 1 if a bound does not hold."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    names = ", ".join(MEASURES)
    one_of = f"measure only this (may be repeated): {names}"
    parser.add_argument(
        "--only", action="append", choices=list(MEASURES), metavar="NAME", help=one_of
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write them as a table too")
    asked = parser.parse_args()
    began = time.monotonic()
    figures: list[Figure] = []
    print(_machine(), flush=True)
    for name, measure in MEASURES.items():
        if not asked.only or name in asked.only:
            found = list(measure())
            figures += found
            print(f"\n{table(found)}", flush=True)
    broken = [figure for figure in figures if figure.bounded and not figure.holds]
    if asked.json:
        asked.json.write_text(json.dumps([figure.document() for figure in figures], indent=2))
    if asked.markdown:
        asked.markdown.write_text(markdown(figures) + "\n")
    print(f"\n{_end(figures, broken)}, in {time.monotonic() - began:.0f} s; {_machine()}")
    return 1 if broken else 0


def _end(figures: list[Figure], broken: list[Figure]) -> str:
    bounded = sum(figure.bounded for figure in figures)
    if not broken:
        return f"all {bounded} bounds hold"
    names = "\n  ".join(figure.name for figure in broken)
    return f"{len(broken)} of {bounded} bounds do not hold:\n  {names}\n"


def _machine() -> str:
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return f"Python {platform.python_version()}, {os.cpu_count()} cores, load {load}"


if __name__ == "__main__":
    sys.exit(main())
