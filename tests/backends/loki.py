"""A real Loki, single binary, on free ports of loopback."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.backends.process import free_port, running

_BUILT = "loki-3.7.8"


def binary() -> str:
    """Return the path of a Loki, or skip the test: building one takes ten minutes."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    built = Path(home) / "obs-validator" / "bin" / _BUILT
    path = shutil.which("loki") or (str(built) if os.access(built, os.X_OK) else None)
    if path is None:
        pytest.skip(f"no loki on PATH and no {built}: not tried on a real one")
    return path


@contextmanager
def loki(folder: Path, *, tenants: bool = False) -> Iterator[str]:
    """Run a Loki in `folder`; gives its URL. With `tenants`, every request has to name one."""
    port, path = free_port(), binary()
    config = {
        "auth_enabled": tenants,
        "server": {
            "http_listen_address": "127.0.0.1",
            "http_listen_port": port,
            "grpc_listen_address": "127.0.0.1",
            "grpc_listen_port": free_port(),
            "log_level": "warn",
        },
        "common": {
            "instance_addr": "127.0.0.1",
            "path_prefix": str(folder),
            "replication_factor": 1,
            "ring": {"kvstore": {"store": "inmemory"}},
            "storage": {
                "filesystem": {
                    "chunks_directory": str(folder / "chunks"),
                    "rules_directory": str(folder / "rules"),
                }
            },
        },
        "ingester": {"lifecycler": {"min_ready_duration": "0s", "final_sleep": "0s"}},
        "schema_config": {
            "configs": [
                {
                    "from": "2024-01-01",
                    "store": "tsdb",
                    "object_store": "filesystem",
                    "schema": "v13",
                    "index": {"prefix": "index_", "period": "24h"},
                }
            ]
        },
        "limits_config": {"reject_old_samples": False, "creation_grace_period": "87600h"},
        "analytics": {"reporting_enabled": False},
    }
    file = folder / "loki.json"
    file.write_text(json.dumps(config))  # YAML is a superset of JSON
    url = f"http://127.0.0.1:{port}"
    with running([path, f"-config.file={file}"], folder, f"{url}/ready"):
        yield url
