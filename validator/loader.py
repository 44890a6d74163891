"""Suites: YAML files to `Suite`s, or one error with all that is wrong in all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StrictBool, StrictInt, ValidationError

from checks import CheckKind
from validator import config_errors
from validator.config import Settings
from validator.config_checks import Checks, Surroundings
from validator.config_targets import TargetSettings
from validator.config_templates import answered, wanted_of_job
from validator.config_values import Duration, Name, Strict, Tolerance
from validator.errors import ConfigError, ValidatorError
from validator.suite import Suite
from validator.templates import RUN_NAMES, context, names, render, texts, unknown
from validator.yamlfile import Document, Problem, nearest, read, reject

EXAMPLE_ID = "00000000-0000-4000-8000-000000000000"

EXAMPLES: Mapping[str, str] = {
    "job.id": EXAMPLE_ID,
    "run.id": EXAMPLE_ID,
    "run.nonce": "0" * 16,
    "run.corpus": "example",
    "trace.id": "0af7651916cd43dd8448eb211c80319c",
}
"""What stands in for values that only a run has, when a suite is loaded."""


class SuiteFile(Strict):
    """The file as it is written."""

    suite: Name
    ring: Annotated[StrictInt, Field(ge=1, le=3)] = 2
    target: Name
    job: Mapping[str, Any] = Field(default={})
    deadline: Duration = 60.0
    """A job that takes longer says so in its suite."""
    settle: Duration = 2.0
    """Forty times the 50 ms after which the reference pipeline's exporters flush; services that
    flush every 5 s, the SDKs' default, need more than that."""
    skew: Tolerance = 0.05
    """Hosts that keep time by NTP are within some ten milliseconds of each other; what is off by
    more than 50 ms is worth a fail, what is off by less is not."""
    concurrent: StrictBool = False
    checks: tuple[Any, ...] = Field(min_length=1)


def load_suites(
    settings: Settings,
    kinds: Mapping[str, CheckKind],
    patterns: Sequence[str] | None = None,
    base: Path | None = None,
) -> tuple[Suite, ...]:
    """Return the suites that the globs find, by default the configuration's, sorted by path.

    `patterns` are meant from `base` (default: the configuration's folder). Raises `ConfigError`
    with a line for each problem in any of the files.
    """
    wanted = settings.suites if patterns is None else tuple(patterns)
    found, failures = _find(wanted, base or settings.directory, settings, patterns is None)
    suites: list[Suite] = []
    for path in found:
        try:
            suites.append(load_suite(path, settings, kinds))
        except ConfigError as error:
            failures.append(str(error))
    first: dict[str, str] = {}
    for suite in suites:
        if suite.name in first:
            failures.append(
                f'{suite.path}:1: the suite "{suite.name}" is in {first[suite.name]} already'
            )
        first.setdefault(suite.name, suite.path)
    if failures:
        raise ConfigError("\n".join(failures))
    return tuple(suites)


def load_suite(path: Path, settings: Settings, kinds: Mapping[str, CheckKind]) -> Suite:
    """Return the suite in one file; raises `ConfigError` with a line for each problem."""
    document = read(path)
    filled = settings.environment.fill(document)
    if not isinstance(filled, dict):
        reject(path, [Problem(1, "expected a mapping with suite, target and checks")])
    problems: list[Problem] = []
    file = None
    try:
        file = SuiteFile.model_validate(filled)
    except ValidationError as error:
        problems += config_errors.problems(error, SuiteFile, document)
    target = _target(filled, document, settings, problems)
    job = filled.get("job")
    job = job if isinstance(job, dict) else {}
    problems += _of_job(job, document, target)
    checks = Checks(_surroundings(document, kinds, target, job), [], [])
    items = filled.get("checks")
    for index, item in enumerate(items if isinstance(items, list) else []):
        checks.add(index, item)
    specs = checks.named()
    problems += checks.problems
    reject(path, [replace(one, message=settings.redact(one.message)) for one in problems])
    if file is None:  # pragma: no cover - without a file there are problems
        raise ConfigError(f"{path}: cannot be taken")
    given = file.model_dump(exclude={"suite", "checks"})
    return Suite(name=file.suite, checks=specs, path=str(path), **given)


def suite_schema(kinds: Mapping[str, CheckKind]) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a suite, for editors."""
    from validator.config_schema import with_checks  # noqa: PLC0415 - for `schema` alone

    return with_checks(SuiteFile.model_json_schema(), kinds)


def _find(
    patterns: Sequence[str], base: Path, settings: Settings, configured: bool
) -> tuple[list[Path], list[str]]:
    """Return the files, each once, and a complaint for each glob that finds none."""
    found: dict[Path, Path] = {}
    failures = []
    for index, pattern in enumerate(patterns):
        here = base if not Path(pattern).is_absolute() else Path(Path(pattern).anchor)
        rest = str(Path(pattern).relative_to(here)) if here != base else pattern
        try:
            files = sorted(path for path in here.glob(rest) if path.is_file())
        except (ValueError, NotImplementedError) as error:
            failures.append(f'suites: "{pattern}" is not a glob: {error}')
            continue
        if not files:
            where = f"{settings.document.where(('suites', index))}: " if configured else ""
            failures.append(f'{where}suites: no file is found by "{pattern}" in {base}')
        for path in files:
            found.setdefault(path.resolve(), path)
    return [found[key] for key in sorted(found)], failures


def _target(
    filled: Mapping[str, Any], document: Document, settings: Settings, problems: list[Problem]
) -> TargetSettings | None:
    """Return the suite's target, or None after complaining of a name that is not configured."""
    name = filled.get("target")
    if not isinstance(name, str):
        return None
    if name not in settings.targets:
        known = nearest(name, settings.targets)
        line = document.line(("target",))
        problems.append(Problem(line, f'target: "{name}" is not in {settings.path}{known}'))
    return settings.targets.get(name)


def _of_job(
    job: Mapping[str, Any], document: Document, target: TargetSettings | None
) -> list[Problem]:
    """Return what is wrong with the job: its templates, and what the target misses in it."""
    problems = []
    if "id" in job:
        line = document.line(("job", "id"))
        problems.append(Problem(line, "job.id: is what the target answers; name this otherwise"))
    for at, text in texts(job, ("job",)):
        line, place = document.line(at), config_errors.dotted(at)
        try:
            for name in unknown(names(text), frozenset()):
                near = nearest(name, RUN_NAMES)
                problems.append(Problem(line, f'{place}the template names "{name}"{near}'))
        except ConfigError as error:
            problems.append(Problem(line, f"{place}is not a template: {error}"))
    for name in sorted(wanted_of_job(target) if target else ()):
        key = name.removeprefix("job.").partition(".")[0]
        if key not in job:
            message = f'job: the key "{key}" is missing; the target uses {{{{ {name} }}}}'
            problems.append(Problem(document.line(("job",)), message))
    return problems


def _surroundings(
    document: Document,
    kinds: Mapping[str, CheckKind],
    target: TargetSettings | None,
    job: Mapping[str, Any],
) -> Surroundings:
    """Return what the suite's checks are looked at with."""
    answers = answered(target) if target else frozenset()
    known = frozenset({"job.id", *answers, *(f"job.{key}" for key in job)})
    run = {**EXAMPLES, **dict.fromkeys(answers, "1")}  # text and number alike
    own = {}
    for key, value in job.items():
        try:
            own[f"job.{key}"] = render(value, context(EXAMPLES))
        except ValidatorError:
            own[f"job.{key}"] = "1"  # complained of where it stands
    return Surroundings(document, kinds, known, context({**own, **run}))
