"""Where the programs of the stack are: on PATH, else in the cache, else fetched or built."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from stack import debian, golang
from stack.errors import MissingError

if TYPE_CHECKING:
    from collections.abc import Callable

    Say = Callable[[str], None]


def prometheus(say: Say) -> Path:
    """Return Prometheus."""
    return _on_path("prometheus") or debian.unpacked("prometheus", "prometheus", say)


def promtool(say: Say) -> Path:
    """Return the program that checks Prometheus's files."""
    return _on_path("promtool") or debian.unpacked("prometheus", "promtool", say)


def alertmanager(say: Say) -> Path:
    """Return Alertmanager, which has another name in Debian."""
    package = "prometheus-alertmanager"
    return _on_path("alertmanager", package) or debian.unpacked(package, package, say)


def amtool(say: Say) -> Path:
    """Return the program that checks Alertmanager's files."""
    return _on_path("amtool") or debian.unpacked("prometheus-alertmanager", "amtool", say)


def loki(say: Say) -> Path:
    """Return Loki."""
    return _on_path("loki") or golang.built(golang.loki(), say)


def jaeger(say: Say) -> Path:
    """Return Jaeger 1, all in one."""
    return _on_path("jaeger-all-in-one") or golang.built(golang.jaeger(), say)


def tempo(_say: Say) -> Path:
    """Return Tempo, which neither Debian nor the module proxy has."""
    found = _on_path("tempo")
    if found is None:
        raise MissingError(
            "not on PATH, and no package has it: name a running one by TEMPO_URL and TEMPO_OTLP_URL"
        )
    return found


def _on_path(*names: str) -> Path | None:
    return next((Path(found) for name in names if (found := shutil.which(name))), None)
