"""Transcripts: each line `$ obs-validator ...`, then what it says, then its exit code.

`python -m tests.cli.transcripts` writes all of them anew; look at what differs.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TRANSCRIPTS = HERE / "transcripts"
_PROMPT = "$ obs-validator "


def commands(text: str) -> list[str]:
    """Return the commands of a transcript."""
    return [line.removeprefix(_PROMPT) for line in text.splitlines() if line.startswith(_PROMPT)]


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run the command in `folder`; return its exit code and what it says, on either stream."""
    plain = {"TERM": "dumb", "COLUMNS": "100", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "validator", *arguments],
        cwd=folder,
        env={**os.environ, **plain},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


def replayed(text: str, folder: Path) -> str:
    """Run the commands of a transcript, and return it as it is now."""
    parts = []
    for command in commands(text):
        code, said = run(folder, *shlex.split(command))
        parts.append(f"{_PROMPT}{command}\n{_normal(said, folder)}[{code}]\n")
    return "\n".join(parts)


def _normal(said: str, folder: Path) -> str:
    text = said.replace(str(folder), "<folder>")
    text = re.sub(r"\d+\.\d+\.\d+(?=\n)", "<version>", text)
    text = re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)
    return text if not text or text.endswith("\n") else f"{text}\n"


def prepared(folder: Path) -> Path:
    """Return a folder with the files that transcripts name."""
    return Path(shutil.copytree(HERE / "files", folder / "files"))


def main() -> None:
    """Write all transcripts anew."""
    for path in sorted(TRANSCRIPTS.glob("*.txt")):
        with tempfile.TemporaryDirectory() as folder:
            path.write_text(replayed(path.read_text(), prepared(Path(folder).resolve())))


if __name__ == "__main__":
    main()
