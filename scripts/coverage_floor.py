"""`python -m scripts.coverage_floor SHARE --include=PATTERNS`: no file below SHARE % of its lines.

`coverage report --fail-under` looks at the sum of all files, where a large one hides a small one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> int:
    """Print the files that are below the floor; return 1 if there are any."""
    parser = argparse.ArgumentParser(prog="python -m scripts.coverage_floor", description=__doc__)
    parser.add_argument("share", type=float, help="per cent of each file's lines")
    parser.add_argument("--include", required=True, help="patterns of files, with commas between")
    parser.add_argument("--omit", default="", help="patterns of files that do not count")
    asked = parser.parse_args()
    found = _files(asked.include, asked.omit)
    if not found:
        print(f"no file was measured that is like {asked.include}", file=sys.stderr)
        return 1
    below = {name: share for name, share in found.items() if share < asked.share}
    for name, share in sorted(below.items()):
        print(f"{name}: {share:.1f} % of its lines, not {asked.share:g} %", file=sys.stderr)
    if not below:
        print(f"{len(found)} files, each with at least {asked.share:g} % of its lines covered")
    return 1 if below else 0


def _files(include: str, omit: str) -> dict[str, float]:
    """Return the share of lines, of statements alone, that was run in each file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "coverage.json"
        command = [sys.executable, "-m", "coverage", "json", "--quiet", "-o", str(path)]
        options = [f"--include={include}", *([f"--omit={omit}"] if omit else [])]
        done = subprocess.run([*command, *options, "--fail-under=0"], check=False)
        files = json.loads(path.read_text())["files"] if done.returncode == 0 else {}
    return {
        name: 100.0 * one["summary"]["covered_lines"] / one["summary"]["num_statements"]
        for name, one in files.items()
        if one["summary"]["num_statements"]
    }


if __name__ == "__main__":
    sys.exit(main())
