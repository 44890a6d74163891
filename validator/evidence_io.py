"""Stored evidence: runs and evidence as files, without loss and with the same bytes.

The form is that of `validator/typed_json.py` in an object that names its version:
`{"schema": 1, "run": {…}}`. A file that does not fit is a `ConfigError` which says where.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from itertools import starmap
from pathlib import Path
from typing import Any, Final, cast

from validator.errors import ConfigError
from validator.model import Evidence, Run
from validator.typed_json import MisfitError, decode, dump, encode, parse

SCHEMA: Final = 1
"""The version of the stored form. It grows when an older reader would misread a newer file."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_ADVICE = "the file was altered or cut short: store the run again"


def run_to_json(run: Run) -> bytes:
    """Return the stored form of a run; the same run gives the same bytes."""
    return dump({"schema": SCHEMA, "run": encode(run)})


def run_from_json(data: bytes) -> Run:
    """Return the run that `data` stores; raise `ConfigError` where it is broken."""
    return cast("Run", _load(data, "run", Run))


def evidence_to_json(evidence: Evidence) -> bytes:
    """Return the stored form of evidence; the same evidence gives the same bytes."""
    return dump({"schema": SCHEMA, "evidence": encode(evidence)})


def evidence_from_json(data: bytes) -> Evidence:
    """Return the evidence that `data` stores; raise `ConfigError` where it is broken."""
    return cast("Evidence", _load(data, "evidence", Evidence))


def save_run(run: Run, directory: Path) -> Path:
    """Write `<directory>/<suite>-<run id>.json` whole or not at all; return its path.

    The file is readable by its owner alone: evidence may hold what telemetry should not.
    """
    stem = "-".join(_UNSAFE.sub("_", part) for part in (run.suite, run.id))
    path = directory / f"{stem}.json"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{stem[:80]}-", suffix=".tmp", dir=directory)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(run_to_json(run))
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except RecursionError as error:
        message = f"{path}: cannot write the evidence: an attribute is nested too deeply"
        raise ConfigError(message) from error
    except OSError as error:
        message = f"{path}: cannot write the evidence: {error.strerror}; name a writable directory"
        raise ConfigError(message) from error
    return path


def load_runs(directory: Path) -> list[Run]:
    """Read the stored runs of a directory (or the one file named), the earliest first."""
    try:
        paths = [directory] if directory.is_file() else sorted(directory.glob("*.json"))
        runs = list(starmap(_named, ((path, path.read_bytes()) for path in paths)))
    except OSError as error:
        message = f"{error.filename}: cannot read the evidence: {error.strerror}"
        raise ConfigError(message) from error
    if not runs:
        message = (
            f"{directory}: no stored run here; name the directory that was given to "
            "`check --save-evidence`"
        )
        raise ConfigError(message)
    return sorted(runs, key=lambda run: (run.started, run.suite, run.id))


def _named(path: Path, data: bytes) -> Run:
    """Read one file; its errors begin with its path."""
    try:
        return run_from_json(data)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _load(data: bytes, key: str, kind: type) -> Any:
    """Parse `data`, look at its version, and read the object under `key`."""
    try:
        return decode(_member(parse(data), key), kind)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise ConfigError(f"not JSON at {place}; {_ADVICE}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 at byte {error.start}; {_ADVICE}") from error
    except MisfitError as error:
        raise ConfigError(f"at {key}{error.path}: {error}; {_ADVICE}") from error
    except RecursionError as error:
        raise ConfigError(f"nested too deeply to be a stored {key}; {_ADVICE}") from error


def _member(document: Any, key: str) -> Any:
    """Return what is stored under `key`, if the version is one that can be read here."""
    if not isinstance(document, dict) or key not in document or "schema" not in document:
        raise ConfigError(
            f"this is JSON, but no stored {key} of obs-validator (which has the keys `schema` "
            f"and `{key}`); name a file that `check --save-evidence` wrote"
        )
    if document["schema"] != SCHEMA:
        raise ConfigError(
            f"stored with schema {document['schema']!r}, and this version of obs-validator "
            f"reads schema {SCHEMA}; read it with the version that wrote it"
        )
    return document[key]
