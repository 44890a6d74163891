"""The settings of one process of the pipeline, read from its environment once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVICE_NAMES = {
    "scraper-worker": "scraper",
    "embedding-worker": "embedding-api",
}


@dataclass(frozen=True)
class Settings:
    """What one process needs to know; `name` is the process's, not the service's."""

    name: str
    env: Mapping[str, str]

    @classmethod
    def from_environment(cls, name: str) -> Settings:
        """Take a copy of the environment as it is now."""
        return cls(name=name, env=dict(os.environ))

    def need(self, variable: str) -> str:
        """Return a variable that the process cannot do without."""
        value = self.env.get(variable, "")
        if not value:
            raise LookupError(f"{self.name} needs the environment variable {variable}")
        return value

    def number(self, variable: str, default: float) -> float:
        """Return a number from the environment."""
        text = self.env.get(variable, "")
        try:
            return float(text) if text else default
        except ValueError:
            raise LookupError(f"{variable} is {text!r}, which is no number") from None

    def url(self, service: str) -> str:
        """Return the base URL of another service."""
        return self.need(f"PIPELINE_{service.upper().replace('-', '_')}_URL")

    @property
    def service_name(self) -> str:
        """The service that the process belongs to: a worker shares its service's name."""
        return SERVICE_NAMES.get(self.name, self.name)

    @cached_property
    def instance(self) -> str:
        """The service.instance.id: one for each start of a process."""
        return self.env.get("PIPELINE_INSTANCE") or f"{self.name}-{os.getpid()}"

    @property
    def version(self) -> str:
        """The service.version, unless OTEL_RESOURCE_ATTRIBUTES says another."""
        given = self.env.get("PIPELINE_VERSION")
        if given:
            return given
        try:
            return metadata.version("obs-validator")
        except metadata.PackageNotFoundError:
            return "0+not-installed"

    @cached_property
    def faults(self) -> frozenset[str]:
        """The switches that are on in this process."""
        return frozenset(filter(None, self.env.get("PIPELINE_FAULTS", "").split(",")))

    @property
    def hops_are_links(self) -> bool:
        """Whether a task's span links to its publisher's instead of descending from it."""
        hops = self.env.get("PIPELINE_HOPS") or "parent"
        if hops not in {"parent", "link"}:
            raise LookupError(f"PIPELINE_HOPS is {hops!r}: it is parent or link")
        return hops == "link"
