"""Configurations and suites that are taken, as users write them."""

from __future__ import annotations

from pathlib import Path

from validator.config import Settings, load_settings

ENVIRON = {
    "PIPELINE_ORCHESTRATOR_URL": "http://127.0.0.1:8001",
    "PIPELINE_VALIDATOR_KEY": "k3y/of+the validator",
    "SITE_URL": "http://127.0.0.1:8009",
}

FULL = """\
targets:
  pipeline:
    submit:
      http:
        url: "${PIPELINE_ORCHESTRATOR_URL}/jobs"
        method: POST
        headers: {X-API-Key: "${PIPELINE_VALIDATOR_KEY}", Accept: application/json}
        body: {url: "{{ job.url }}", corpus_name: "{{ run.corpus }}"}
        expect: [202]
        job_id: job_id
        timeout: 10s
        follow:
          url: "${PIPELINE_ORCHESTRATOR_URL}/jobs/{{ job.id }}"
          status: status
          done: [done]
          failed: [failed]
          every: 100ms
          fields: {failed_stage: failed_stage, error_code: error.code}
        then:
          - url: "${PIPELINE_ORCHESTRATOR_URL}/search"
            headers: {X-API-Key: "${PIPELINE_VALIDATOR_KEY}"}
            body: {corpus_name: "{{ run.corpus }}", query: observability}
            expect: [200]
        clean_up: {method: DELETE, url: "${PIPELINE_ORCHESTRATOR_URL}/synthetic/{{ run.id }}"}
    trace_context: adopt
    trace_id_header: ""
    job_id_keys: [job.id]
    sampling: all
    baggage: true
  watched: {trace_context: new, trace_id_header: X-Trace-Id}
sources:
  collector: {type: collector, http: "127.0.0.1:0", grpc: null}
  remote: {type: remote_collector, url: "http://127.0.0.1:4319", lag_budget: 3s}
  metrics:
    type: scrape
    pages: {orchestrator: "http://127.0.0.1:1/metrics", scraper: ["http://a/m", "http://b/m"]}
    timeout: 5s
suites: [suites/*.yaml]
privacy: {allow_attributes: [job.id, job.stage]}
"""

SUITE = """\
suite: pipeline
ring: 1
target: pipeline
job: {url: "${SITE_URL}/article?{{ run.nonce }}", n: 3}
deadline: 90s
settle: 500ms
skew: 0s
concurrent: true
checks:
  - spans_of:
      service: scraper
      count: "{{ job.n }}"
      equals: {job.id: "{{ job.id }}", code: "{{ job.error_code }}"}
    catches: an attribute is dropped
    level: advisory
  - at_most:
    catches: too many
  - at_most: {count: 2}
    catches: far too many
  - at_most: {count: 3}
    name: at_most-2
    catches: a name that is taken already
"""


def settings_in(folder: Path, text: str = FULL) -> Settings:
    """Return the settings of a file with this text."""
    path = folder / "obs-validator.yaml"
    path.write_text(text)
    return load_settings(path, ENVIRON)


def suite_in(folder: Path, name: str, text: str = SUITE) -> Path:
    """Write a suite and return where it is."""
    path = folder / "suites" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path
