"""What `sweep` does, apart from its command line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from validator.app import swept
from validator.config import environment, load_settings
from validator.errors import ConfigError
from validator.report.text import plain
from validator.yamlfile import nearest


def run(wanted: Sequence[str], config_path: Path) -> Iterator[tuple[str, str, str]]:
    """Yield each target with its answer, or with what went wrong."""
    settings = load_settings(config_path, environment())
    for name in wanted:
        if name not in settings.targets:
            known = nearest(name, list(settings.targets))
            raise ConfigError(f"there is no target `{name}`{known}")
    able = [
        name
        for name, target in settings.targets.items()
        if target.submit and target.submit.http.sweep
    ]
    without = [name for name in wanted if name not in able]
    if without or not able:
        raise ConfigError(f"{settings.path}: no `sweep` in {', '.join(without) or 'any target'}")
    for name in wanted or able:
        answer, error = swept(settings, name)
        yield name, plain(answer), plain(error)
