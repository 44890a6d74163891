"""Which rows of docs/requirements.md no passing test proves.

A test names the rows that it proves with `@pytest.mark.req("V-03")`; the last `make test` and
`make test-slow` left their results in .reports. The rows in .ci/proved have been proved before:
one of them without a passing test is an error.
"""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / ".reports"
_ROW = re.compile(r"^\| ([A-Z]-[A-Za-z0-9-]+) \| (.*) \|$", re.MULTILINE)
_BAD = ("failure", "error", "skipped")


def rows() -> dict[str, str]:
    """Return each row's id and what it asks for."""
    text = (ROOT / "docs" / "requirements.md").read_text(encoding="utf-8")
    return {match[1]: match[2] for match in _ROW.finditer(text)}


def proofs() -> dict[str, int]:
    """Return how many passing tests name each row."""
    found: dict[str, int] = defaultdict(int)
    cases = (
        case
        for path in sorted(RESULTS.glob("*.xml"))
        for case in ET.parse(path).iter("testcase")  # noqa: S314 - our own file
    )
    for case in cases:
        if any(case.find(word) is not None for word in _BAD):
            continue
        for one in case.iter("property"):
            if one.get("name") == "req":
                found[str(one.get("value"))] += 1
    return found


def main() -> int:
    """Print the rows without proof; return 1 if one of them had been proved before."""
    if not (RESULTS / "junit.xml").is_file():
        print(".reports/junit.xml is missing: run `make test` first", file=sys.stderr)
        return 2
    asked, proved = rows(), proofs()
    strange = sorted(set(proved) - set(asked))
    for name in strange:
        print(f"a test names {name}, which docs/requirements.md does not have", file=sys.stderr)
    open_rows = [name for name in asked if not proved.get(name)]
    print(f"{len(asked) - len(open_rows)} of {len(asked)} rows are proved; without a passing test:")
    for name in open_rows:
        print(f"  {name:6} {asked[name][:110]}")
    before = (ROOT / ".ci" / "proved").read_text(encoding="utf-8").split()
    lost = [name for name in before if name in open_rows]
    if lost:
        print(f"proved before, and no longer: {', '.join(lost)}", file=sys.stderr)
    return 1 if lost or strange else 0


if __name__ == "__main__":
    sys.exit(main())
