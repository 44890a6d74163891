"""A first configuration and suite for somebody's own API, written with comments.

What is written is loaded once before it is written: answers that make no configuration are
refused with what the loader says of them.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from checks import CHECKS, CheckKind
from validator.config import load_settings
from validator.errors import ConfigError
from validator.loader import load_suites

CONFIG = "obs-validator.yaml"
SUITE = "suites/first.yaml"

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class InitAnswers:
    """What is asked of the user. Texts may hold templates and `${VARIABLES}`.

    `body` is JSON, empty for none; `job_id` and `status` are JMESPaths into the API's answers.
    Without `status_url` the answer to the submission is the job's end. With `key_header` the
    credential is sent in that header, from the environment variable `key_variable`. `metrics` are
    the services' pages. `clean_up_url` is asked to DELETE.
    """

    url: str
    method: str = "POST"
    body: str = ""
    job_id: str = "id"
    status_url: str = ""
    status: str = "status"
    done: Sequence[str] = ("done",)
    failed: Sequence[str] = ("failed",)
    key_header: str = ""
    key_variable: str = "API_KEY"
    clean_up_url: str = ""
    services: Sequence[str] = ()
    metrics: Mapping[str, str] = field(default_factory=dict)


def write_project(
    answers: InitAnswers,
    directory: Path,
    *,
    force: bool = False,
    environ: Mapping[str, str] | None = None,
    kinds: Mapping[str, CheckKind] = CHECKS,
) -> list[Path]:
    """Write the configuration and the suite into `directory` and return their paths.

    Raises `ConfigError`, and writes nothing, when one of them is there already (without `force`)
    or when the answers make no configuration. `environ` is where answers' variables may be set;
    those that are not are taken as set.
    """
    files = {CONFIG: config_text(answers), SUITE: suite_text(answers)}
    there = [name for name in files if (directory / name).exists()]
    if there and not force:
        raise ConfigError(
            f"{directory}: {' and '.join(there)} would be overwritten; --force does so"
        )
    _tried(files, environ or {}, kinds)
    written = []
    for name, text in files.items():
        path = directory / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error
        written.append(path)
    return written


def config_text(answers: InitAnswers) -> str:
    """Return the configuration."""
    job, body = _split(answers.body)
    http = [f"url: {_text(answers.url)}", f"method: {_text(answers.method)}"]
    if answers.key_header:
        variable = f"${{{answers.key_variable}}}"
        http.append(f"headers: {{{_text(answers.key_header)}: {_text(variable)}}}")
    if body is not None:
        source = "  # job.* comes from the suite's `job`" if job else ""
        http.append(f"body: {_json(body)}{source}")
    http.append(f"job_id: {_text(answers.job_id)}  # where the answer has the id (JMESPath)")
    parts = [_HEAD, "targets:", "  api:", "    submit:", "      http:"]
    parts += [f"        {line}" for line in (*http, *_follow(answers), *_clean_up(answers))]
    return "\n".join([*parts, _TRACE, _SOURCES, *_metrics(answers), _TAIL])


def suite_text(answers: InitAnswers) -> str:
    """Return the suite."""
    job, _ = _split(answers.body)
    services = ", ".join(_text(name) for name in answers.services)
    known = bool(services)
    trace = (
        _CONNECTED.format(services=services, edges=_edges(answers)) if known else _CONNECTED_LATER
    )
    # Nobody can say how a job ended that cannot be asked for: then the trace has to do.
    outcome = _OUTCOME if answers.status_url or not known else ""
    return _SUITE.format(job=_json(job), outcome=outcome, trace=trace)


def _edges(answers: InitAnswers) -> str:
    """Return the edges between the services in the order in which they were named."""
    pairs = zip(answers.services, answers.services[1:], strict=False)
    edges = ", ".join(_text(f"{one} ->> {other}") for one, other in pairs if one != other)
    return (
        f"      edges: [{edges}]  # `->`: directly; `->>`: others may stand between\n"
        if edges
        else ""
    )


def _tried(
    files: Mapping[str, str], environ: Mapping[str, str], kinds: Mapping[str, CheckKind]
) -> None:
    """Load the files from a folder of their own."""
    variables = re.findall(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", files[CONFIG])
    example = "http://example.invalid"  # fits an address, and a key as well
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = Path(folder) / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        try:
            settings = load_settings(
                Path(folder) / CONFIG, {**dict.fromkeys(variables, example), **environ}
            )
            load_suites(settings, kinds)
        except ConfigError as error:
            said = str(error).replace(f"{folder}/", "")
            raise ConfigError(f"the answers make no configuration:\n{said}") from error


def _split(body: str) -> tuple[dict[str, Any], Any]:
    """Return what of a body the suite gives as its job, and the body with templates for that."""
    if not body.strip():
        return {}, None
    try:
        value = json.loads(body)
    except ValueError as error:
        raise ConfigError(f"the body is not JSON: {error}") from error
    if not isinstance(value, dict) or "{{" in body:
        return {}, value
    job = {
        key: inner
        for key, inner in value.items()
        if _PLAIN.fullmatch(key) and key != "id" and inner is not None
    }
    filled = {key: f"{{{{ job.{key} }}}}" if key in job else value[key] for key in value}
    return job, filled


def _follow(answers: InitAnswers) -> list[str]:
    """Return the lines on what became of a job."""
    if not answers.status_url:
        return [
            "# No `follow`: the answer to the submission is the job's end. To wait for a job:",
            '# follow: {url: "https://.../jobs/{{ job.id }}", status: status, done: [done]}',
        ]
    return [
        "follow:",
        f"  url: {_text(answers.status_url)}",
        f"  status: {_text(answers.status)}  # where the answer has the state (JMESPath)",
        f"  done: {_list(answers.done)}  # words for a good end",
        f"  failed: {_list(answers.failed)}  # words for a bad end",
        "  every: 500ms",
    ]


def _clean_up(answers: InitAnswers) -> list[str]:
    """Return the lines on removing what a run left."""
    if not answers.clean_up_url:
        return ["# clean_up: {method: DELETE, url: ...}  # asked after every run"]
    header = ""
    if answers.key_header:
        variable = f"${{{answers.key_variable}}}"
        header = f", headers: {{{_text(answers.key_header)}: {_text(variable)}}}"
    return [f"clean_up: {{method: DELETE, url: {_text(answers.clean_up_url)}{header}}}"]


def _metrics(answers: InitAnswers) -> list[str]:
    """Return the lines on metrics."""
    if not answers.metrics:
        return ['  # metrics: {type: scrape, pages: {my-service: "http://.../metrics"}}']
    pages = [f"      {_text(name)}: {_text(url)}" for name, url in answers.metrics.items()]
    return ["  metrics:", "    type: scrape", "    pages:", *pages]


def _text(value: str) -> str:
    """Return a text in double quotes, as YAML has them too."""
    return json.dumps(value, ensure_ascii=False)


def _list(values: Sequence[str]) -> str:
    """Return a list of texts."""
    return json.dumps(list(values), ensure_ascii=False)


def _json(value: Any) -> str:
    """Return a value in flow style; JSON is YAML."""
    return json.dumps(value, ensure_ascii=False)


_HEAD = """\
# obs-validator: how jobs are handed to the system under observation, and where its telemetry
# is read. Reference: docs/configuration.md. Check it with: obs-validator config check
"""

_TRACE = """\
    # What the target does with our traceparent: adopt (same trace), link, new (a trace of its
    # own), or none (none is sent).
    trace_context: adopt
    # Attributes under which spans and logs name the job.
    job_id_keys: [job.id]
"""

_SOURCES = """\
sources:
  # The built-in collector runs inside `obs-validator check`. Have your services export to it:
  #   OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318
  collector: {type: collector, http: "127.0.0.1:4318", grpc: "127.0.0.1:4317"}"""

_TAIL = """
suites: [suites/*.yaml]
"""

_SUITE = """\
# One job, and what its telemetry has to show. Reference: docs/suites.md; each check:
# obs-validator explain CHECK. Run it with: obs-validator check
suite: first
ring: 2
target: api
job: {job}
deadline: 60s  # from submission to the job's end
checks:
{outcome}{trace}"""

_OUTCOME = """\
  - job_outcome: {}
    catches: the API takes the job and then never finishes it
"""

_CONNECTED = """\
  - connected_trace:
      services: [{services}]
{edges}    catches: trace context is lost between two services
"""

_CONNECTED_LATER = """\
  # - connected_trace:
  #     services: [my-service, my-worker]  # as in the resource attribute service.name
  #   catches: trace context is lost between two services
"""
