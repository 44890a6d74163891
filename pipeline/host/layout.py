"""Names, files and variables of a running pipeline: what others may rely on."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pipeline.host.errors import HostError
from pipeline.host.ports import LISTEN, LOOPBACK, Port, hold

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

STUBS: Final = ("membership", "inference", "site")
SERVICES: Final = ("orchestrator", "scraper", "chunking", "embedding-api", "search")
WORKERS: Final = ("scraper-worker", "embedding-worker")
REDIS: Final = ("broker", "cache")
SERVERS: Final = ("postgres", *REDIS)
ALL: Final = (*STUBS, *SERVICES, *WORKERS)
PAGES: Final = ("article", "whitepaper", "blocked", "slow", "flaky", "flaky-blocked")
_SITE_NETWORK: Final = "127.0.0.0/8"
"""Where the site stub is, and whatever else of this machine a test has scraped."""
OF_SERVICE: Final = {"scraper-worker": "scraper", "embedding-worker": "embedding-api"}


def variable(name: str) -> str:
    """Return a process's name as part of an environment variable."""
    return name.upper().replace("-", "_")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything of one pipeline is."""

    state: Path
    ports: Mapping[str, Port]
    keys: Mapping[str, str]
    inherited: Mapping[str, str] = field(repr=False)

    @classmethod
    def make(cls, state: Path) -> Layout:
        """Hold a port for each process and make up the keys, unless the environment names them."""
        env = dict(os.environ)
        listen = env.get("PIPELINE_LISTEN") or LOOPBACK
        if listen not in LISTEN:
            raise HostError(f"PIPELINE_LISTEN is {listen!r}: it is {' or '.join(LISTEN)}")
        ports = {
            name: hold(
                name,
                env.get(f"PIPELINE_{variable(name)}_PORT"),
                LOOPBACK if name in (*SERVERS, *STUBS) else listen,
            )
            for name in (*SERVERS, *ALL)
        }
        keys = {
            name: env.get(f"PIPELINE_{name.upper()}_KEY") or secrets.token_hex(16)
            for name in ("user", "validator", "service")
        }
        return cls(state, ports, keys, env)

    @property
    def database_url(self) -> str:
        """The URL of the database."""
        return f"postgresql://postgres@127.0.0.1:{self.ports['postgres'].number}/postgres"

    def log(self, name: str) -> Path:
        """Return the file that a process writes to."""
        return self.state / "logs" / f"{name}.log"

    def env_of(self, name: str, faults: frozenset[str]) -> dict[str, str]:
        """Return the environment of a process."""
        env = {
            **self.inherited,
            **{f"PIPELINE_{key.upper()}_KEY": value for key, value in self.keys.items()},
            **{
                f"PIPELINE_{variable(other)}_URL": self.ports[other].url
                for other in (*STUBS, *SERVICES)
            },
            "PIPELINE_DATABASE_URL": self.database_url,
            "PIPELINE_BROKER_URL": self._redis_url("broker"),
            "PIPELINE_CACHE_URL": self._redis_url("cache"),
            "PIPELINE_FAULTS": ",".join(sorted(faults)),
        }
        env.setdefault("PIPELINE_SCRAPE_ALLOW", _SITE_NETWORK)
        if name in WORKERS:
            env["PIPELINE_METRICS_PORT"] = str(self.ports[name].number)
            env["PROMETHEUS_MULTIPROC_DIR"] = str(self.state / "metrics" / name)
            env["TMPDIR"] = str(self.state / "tmp")
        return env

    def write(self, pids: Mapping[str, int], faults: frozenset[str]) -> None:
        """Write pipeline.json and pipeline.env, each at once or not at all."""
        text = json.dumps(self._description(pids, faults), indent=2)
        _replace(self.state / "pipeline.env", "".join(f"{line}\n" for line in self._variables()))
        _replace(self.state / "pipeline.json", f"{text}\n")

    def _redis_url(self, name: str) -> str:
        return f"redis://127.0.0.1:{self.ports[name].number}/0"

    def _description(self, pids: Mapping[str, int], faults: frozenset[str]) -> dict[str, Any]:
        services = {
            name: {
                "url": None if name in WORKERS else self.ports[name].url,
                "metrics_url": None if name in STUBS else f"{self.ports[name].url}/metrics",
                "pid": pids[name],
                "service_name": OF_SERVICE.get(name, name),
                "instance": f"{name}-{pids[name]}",
            }
            for name in ALL
        }
        site = self.ports["site"].url
        return {
            "supervisor_pid": os.getpid(),
            "services": services,
            "servers": {
                "postgres": {"url": self.database_url, "pid": pids["postgres"]},
                "broker": {"url": self._redis_url("broker"), "pid": pids["broker"]},
                "cache": {"url": self._redis_url("cache"), "pid": pids["cache"]},
            },
            "keys": dict(self.keys),
            "urls": {page: f"{site}/{page}" for page in PAGES},
            "faults": sorted(faults),
        }

    def _variables(self) -> list[str]:
        urls = [
            f"PIPELINE_{variable(name)}_URL={self.ports[name].url}" for name in (*STUBS, *SERVICES)
        ]
        metrics = [
            f"PIPELINE_{variable(name)}_METRICS_URL={self.ports[name].url}/metrics"
            for name in (*SERVICES, *WORKERS)
        ]
        keys = [f"PIPELINE_{name.upper()}_KEY={value}" for name, value in self.keys.items()]
        return [*urls, *metrics, *keys]


def _replace(path: Path, text: str) -> None:
    new = path.with_suffix(f"{path.suffix}.new")
    new.touch(mode=0o600)
    new.write_text(text)
    new.replace(path)
