"""What the command line says, word by word, and its exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.transcripts import TRANSCRIPTS, prepared, replayed

_FILES = sorted(TRANSCRIPTS.glob("*.txt"))


@pytest.mark.req("V-02")
@pytest.mark.parametrize("path", _FILES, ids=[path.stem for path in _FILES])
def test_the_command_line_says_what_the_transcript_says(path: Path, tmp_path: Path) -> None:
    """Each command's words and code are those written down; none is a stack trace."""
    text = path.read_text()
    now = replayed(text, prepared(tmp_path.resolve()))
    assert "Traceback" not in now
    assert now == text
