"""What Prometheus scrapes and tells of alerts: files of targets, which it reads again by itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from stack.state import Up

Group = dict[str, Any]
"""A group of targets as `file_sd_configs` takes it."""


def of_pipeline(description: Mapping[str, Any]) -> list[Group]:
    """Return the pages of a pipeline's processes by its pipeline.json; `job` is the service."""
    return [
        _group([service["metrics_url"]], job=service["service_name"], process=name)
        for name, service in description["services"].items()
        if service["metrics_url"]
    ]


def of_servers(servers: Mapping[str, Up]) -> list[Group]:
    """Return the pages of the stack's own servers that are at their addresses."""
    own = ("prometheus", "alertmanager", "loki", "tempo")
    return [_group([servers[name].url], job=name) for name in own if name in servers]


def of_alertmanager(servers: Mapping[str, Up]) -> list[Group]:
    """Return where alerts go."""
    return [_group([servers["alertmanager"].url])] if "alertmanager" in servers else []


def write(path: Path, groups: Sequence[Group]) -> None:
    """Write a file of targets, at once or not at all: it is read whenever it changes."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(list(groups), indent=2) + "\n", encoding="utf-8")
    new.replace(path)


def _group(urls: Sequence[str], **labels: str) -> Group:
    group: Group = {"targets": [urlsplit(url).netloc for url in urls]}
    return {**group, "labels": labels} if labels else group
