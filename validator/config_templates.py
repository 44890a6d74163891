"""The templates of a target, looked at when the configuration is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from validator.config_errors import dotted
from validator.config_targets import Request, TargetSettings
from validator.templates import LEASE_NAMES, RUN_NAMES, TemplateError, names, texts, unknown
from validator.yamlfile import At, Document, Problem, nearest

LATER = "job.id is known only once the job has been submitted"


def problems_of_target(target: TargetSettings, document: Document, at: At) -> Iterator[Problem]:
    """Yield what is wrong with the templates of one target."""
    yield from _without_job(target, document, at)
    http = target.submit.http if target.submit else None
    if http is None:
        return
    here = (*at, "submit", "http")
    for place, value in _submission(target):
        for inner, used in _used(document, (*here, *place), value):
            if isinstance(used, Problem):
                yield used
            elif "job.id" in used:
                yield Problem(document.line(inner), f"{dotted(inner)}{LATER}")
            else:
                yield from _unknown(document, inner, used)
    for place, value in _later(target):
        for inner, used in _used(document, (*here, *place), value):
            if isinstance(used, Problem):
                yield used
            else:
                yield from _unknown(document, inner, used)


def _without_job(target: TargetSettings, document: Document, at: At) -> Iterator[Problem]:
    """Yield what is wrong in requests that are made for no job: they can name nothing of one."""
    for place, value, more in _alone(target):
        for inner, used in _used(document, (*at, *place), value):
            if isinstance(used, Problem):
                yield used
                continue
            for name in unknown((one for one in used if one not in more), frozenset()):
                known = nearest(name, RUN_NAMES | more)
                text = f'{dotted(inner)}the template names "{name}"{known}'
                yield Problem(document.line(inner), text)


def _alone(target: TargetSettings) -> Iterator[tuple[At, Any, frozenset[str]]]:
    """Yield what is rendered without a job, and what it may name beside the run."""
    lease = target.lease
    if lease:
        requests = {"acquire": lease.acquire, "renew": lease.renew, "release": lease.release}
        for key, request in requests.items():
            for place, value in _of_request(request, ("lease", key)) if request else ():
                yield place, value, LEASE_NAMES
    sweep = target.submit.http.sweep if target.submit else None
    for place, value in _of_request(sweep, ("submit", "http", "sweep")) if sweep else ():
        yield place, value, frozenset()


def wanted_of_job(target: TargetSettings) -> frozenset[str]:
    """Return the `job.*` names that the suite's `job` has to give, as the target uses them."""
    http = target.submit.http if target.submit else None
    if http is None:
        return frozenset()
    early = {name for _, value in _submission(target) for name in names(value)}
    late = {name for _, value in _later(target) for name in names(value)}
    wanted = early | (late - {"job.id"} - answered(target))
    return frozenset(name for name in wanted if name.startswith("job."))


def answered(target: TargetSettings) -> frozenset[str]:
    """Return the `job.*` names that the target's answers give."""
    http = target.submit.http if target.submit else None
    if http is None:
        return frozenset()
    follow = http.follow.fields if http.follow else {}
    return frozenset(f"job.{name}" for name in (*http.fields, *follow))


def _submission(target: TargetSettings) -> Iterator[tuple[At, Any]]:
    """Yield what is rendered before the job has an id."""
    if target.submit:
        http = target.submit.http
        yield from _of_request(http, ())
        if isinstance(http.job_id, str):
            yield ("job_id",), http.job_id


def _later(target: TargetSettings) -> Iterator[tuple[At, Any]]:
    """Yield what is rendered when the job has an id."""
    if not target.submit:
        return
    http = target.submit.http
    if http.follow:
        yield ("follow", "url"), http.follow.url
        for name, secret in (http.follow.headers or {}).items():
            yield ("follow", "headers", name), secret.get_secret_value()
    for index, request in enumerate(http.then):
        yield from _of_request(request, ("then", index))
    if http.clean_up:
        yield from _of_request(http.clean_up, ("clean_up",))


def _of_request(request: Request, at: At) -> Iterator[tuple[At, Any]]:
    """Yield everything of a request that may hold templates."""
    yield (*at, "url"), request.url
    for name, secret in request.headers.items():
        yield (*at, "headers", name), secret.get_secret_value()
    for key in ("body", "form", "text"):
        yield (*at, key), getattr(request, key)


def _used(document: Document, at: At, value: Any) -> Iterator[tuple[At, tuple[str, ...] | Problem]]:
    """Yield for each template where it stands and which names it uses, or that it is none."""
    for inner, text in texts(value, at):
        try:
            yield inner, names(text)
        except TemplateError as error:
            shown = "is not a template" if "headers" in inner else f"is not a template: {error}"
            yield inner, Problem(document.line(inner), f"{dotted(inner)}{shown}")


def _unknown(document: Document, at: At, used: tuple[str, ...]) -> Iterator[Problem]:
    """Yield a problem for each name that means nothing."""
    for name in unknown(used, None):
        known = nearest(name, RUN_NAMES | {"job.id"})
        yield Problem(document.line(at), f'{dotted(at)}the template names "{name}"{known}')
