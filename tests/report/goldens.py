"""The golden files: `python -m tests.report.goldens` writes them anew, for the diff to be read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.report import samples
from validator.model import Run
from validator.report import FORMATS

HERE: Final = Path(__file__).parent / "golden"
PLAIN: Final = [samples.GOOD, samples.LOST, samples.BLOCKED, samples.INCONCLUSIVE]
GOLDENS: Final[dict[str, tuple[str, Sequence[Run]]]] = {
    "console.txt": ("console", PLAIN),
    "console-hostile.txt": ("console", [samples.HOSTILE]),
    "markdown.md": ("markdown", PLAIN),
    "markdown-hostile.md": ("markdown", [samples.HOSTILE]),
    "junit.xml": ("junit", PLAIN),
    "junit-hostile.xml": ("junit", [samples.HOSTILE]),
    "report.json": ("json", PLAIN),
}


def rendered(name: str) -> str:
    """Render what the golden file `name` holds."""
    form, runs = GOLDENS[name]
    return FORMATS[form](runs)


if __name__ == "__main__":
    for file in GOLDENS:
        (HERE / file).write_text(rendered(file), encoding="utf-8")
