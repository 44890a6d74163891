"""The report for CI systems: JUnit XML as Surefire writes and Jenkins, GitLab and others read it.

A run is a `testsuite`, a verdict a `testcase`. A fail is a `failure`, what is inconclusive or
undecided an `error`, what is blocked is `skipped`.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from typing import Final

from validator.model import Run, Status, Verdict
from validator.report.lines import joined, run_lines
from validator.report.note import headline, notes
from validator.report.text import moment, plain

_TAGS: Final = {
    Status.FAIL: "failure",
    Status.INCONCLUSIVE: "error",
    Status.PENDING: "error",
    Status.BLOCKED: "skipped",
}


def render(runs: Sequence[Run]) -> str:
    """Return the XML document; what XML cannot hold is replaced in the texts before."""
    root = ET.Element("testsuites", {"name": "obs-validator", **_figures(runs)})
    root.extend(_suite(run) for run in runs)
    ET.indent(root)
    body = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _figures(runs: Iterable[Run]) -> dict[str, str]:
    """Return the counts that both levels carry."""
    runs = list(runs)
    tags = [_TAGS.get(verdict.status, "") for run in runs for verdict in run.verdicts]
    return {
        "tests": str(len(tags)),
        "failures": str(tags.count("failure")),
        "errors": str(tags.count("error")),
        "skipped": str(tags.count("skipped")),
        "time": f"{sum(run.finished - run.started for run in runs):.3f}",
    }


def _suite(run: Run) -> ET.Element:
    """Return the `testsuite` of a run."""
    began = moment(run.started).removesuffix(" UTC").replace(" ", "T")
    name = f"{plain(run.suite, 80)} on {plain(run.target, 80)}"
    suite = ET.Element("testsuite", {"name": name, "timestamp": began, **_figures([run])})
    properties = ET.SubElement(suite, "properties")
    for key, value in _properties(run):
        ET.SubElement(properties, "property", {"name": key, "value": value})
    suite.extend(_case(run, verdict) for verdict in run.verdicts)
    ET.SubElement(suite, "system-out").text = joined(run_lines(run))
    return suite


def _properties(run: Run) -> list[tuple[str, str]]:
    """Return what else is known of a run."""
    job = run.evidence.job
    return [
        ("run.id", plain(run.id)),
        ("ring", str(run.ring)),
        ("version", plain(run.version)),
        ("job.id", plain(job.id)),
        ("job.state", job.state.value),
        *(("trace.id", plain(trace.trace_id)) for trace in job.traces[:10]),
    ]


def _case(run: Run, verdict: Verdict) -> ET.Element:
    """Return the `testcase` of a verdict."""
    group = ".".join(plain(part, 80) for part in (run.target, run.suite))
    names = {"name": plain(verdict.name), "classname": group, "time": "0.000"}
    case = ET.Element("testcase", names)
    if verdict.status in _TAGS:
        said = {"message": headline(verdict)}
        if verdict.status is not Status.BLOCKED:
            said["type"] = plain(verdict.code) or verdict.status.value
        ET.SubElement(case, _TAGS[verdict.status], said).text = _body(run, verdict)
    return case


def _body(run: Run, verdict: Verdict) -> str:
    """Return the notes of a verdict as lines of text."""
    lines = []
    for note in notes(run, verdict):
        lines += [note.title] if note.title else []
        lines += [f"{row.label:<10}{row.text}".rstrip() for row in note.rows]
    return "\n".join(lines)
