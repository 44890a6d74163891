"""What a session is to do: pytest's options, and what the target's suites say of its jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from checks import CHECKS
from validator.app import wanted_metrics
from validator.config import Settings
from validator.config_sources import CollectorSettings
from validator.errors import ConfigError
from validator.loader import load_suites
from validator.suite import Suite
from validator.yamlfile import nearest

DEADLINE = 60.0
SETTLE = 2.0
"""The defaults of a suite (`validator/loader.py`), in seconds."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What pytest's options and ini file say.

    `workers` is how many processes of pytest-xdist run tests, 1 without it.
    """

    target: str
    job: Mapping[str, Any]
    metrics: frozenset[str]
    mark: Mapping[str, str]
    workers: int = 1


@dataclass(frozen=True, slots=True)
class Hints:
    """What the target's suites say of its jobs, so that tests need not say it again."""

    services: tuple[str, ...] = ()
    edges: tuple[str, ...] = ()
    metrics: frozenset[str] = frozenset()
    deadline: float = DEADLINE
    settle: float = SETTLE


def chosen_target(settings: Settings, name: str) -> str:
    """Return the target that is meant."""
    known = list(settings.targets)
    if not name and len(known) == 1:
        return known[0]
    if not name:
        raise ConfigError(
            f"{settings.path} has {len(known)} targets: choose with --obs-validator-target or "
            f"obs_validator_target{nearest('', known)}"
        )
    if name not in known:
        raise ConfigError(f"there is no target `{name}` in {settings.path}{nearest(name, known)}")
    return name


def no_collector_each(settings: Settings, workers: int) -> None:
    """Refuse several processes that would each have a collector to which nothing is sent."""
    names = [key for key, one in settings.sources.items() if isinstance(one, CollectorSettings)]
    if names and workers > 1:
        raise ConfigError(
            f"the source `{names[0]}` is a collector inside the process, and pytest-xdist runs "
            f"{workers} of them: start `obs-validator collector` beside the tests and read it as "
            "`type: remote_collector`, or run these tests without -n"
        )


def hints_of(settings: Settings, target: str) -> Hints:
    """Return what the suites of the target say; without suites nothing is known."""
    if not any(_files(settings.directory, pattern) for pattern in settings.suites):
        return Hints()
    suites = [suite for suite in load_suites(settings, CHECKS) if suite.target == target]
    if not suites:
        return Hints()
    return Hints(
        services=_named(suites, "services"),
        edges=_named(suites, "edges"),
        metrics=frozenset().union(*map(wanted_metrics, suites)),
        deadline=max(suite.deadline for suite in suites),
        settle=max(suite.settle for suite in suites),
    )


def _files(base: Path, pattern: str) -> bool:
    path = Path(pattern)
    if path.is_absolute():
        base, pattern = Path(path.anchor), str(path.relative_to(path.anchor))
    return any(base.glob(pattern))


def _named(suites: list[Suite], key: str) -> tuple[str, ...]:
    """Return what the suites' connected traces name, each once."""
    specs = [one for suite in suites for one in suite.checks if one.kind == "connected_trace"]
    return tuple(dict.fromkeys(str(name) for one in specs for name in one.params.get(key, ())))
