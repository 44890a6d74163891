"""Reports of finished runs. What a format needs is imported when it is first rendered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Final

from validator.model import Run
from validator.report.summary import exit_code

Renderer = Callable[[Sequence[Run]], str]


def _lazy(module: str) -> Renderer:
    """Return the renderer of a module that is imported at the first call."""

    def render(runs: Sequence[Run]) -> str:
        """Render the runs."""
        text: str = import_module(f"validator.report.{module}").render(runs)
        return text

    return render


FORMATS: Final[dict[str, Renderer]] = {
    "console": _lazy("console"),
    "json": _lazy("json_report"),
    "junit": _lazy("junit"),
    "markdown": _lazy("markdown"),
    "html": _lazy("html"),
}
"""The name of each format, and what renders runs in it."""

__all__ = ["FORMATS", "Renderer", "exit_code"]
