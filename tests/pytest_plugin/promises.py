"""A team's three tests, run by pytest in a process of its own against a pipeline."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from pipeline import faults
from tests.e2e.command import given
from tests.pytest_plugin.section import LABEL, SECTION, SPAN, TRACE

BROKEN: Mapping[str, tuple[set[str], str]] = {
    faults.ATTRIBUTE_DROPPED: ({SPAN}, "Missing required attribute: "),
    faults.CONTEXT_LOST_IN_QUEUE: ({TRACE}, "lost between orchestrator and "),
    faults.SERVICE_SAMPLES_NOTHING: ({TRACE}, "no span of "),
    faults.OPERATION_LABEL_MISSING: ({LABEL}, "samples found"),
}
"""By a switch that breaks the pipeline's instrumentation: which tests fail, and what is said."""


def prepared(folder: Path, config: str) -> None:
    """Write the tests, and a configuration whose jobs have the `url` that the tests name.

    The site of the pipeline stands in for the one of that address: nothing leaves the machine.
    """
    page, named = "{{ job.page }}?nonce=", "/article?for={{ job.url }}&nonce="
    assert page in config
    (folder / "obs-validator.yaml").write_text(config.replace(page, named))
    suite = (folder / "pipeline.yaml").read_text()
    (folder / "pipeline.yaml").write_text(suite.replace("job: {page:", "job: {url:"))
    (folder / "pytest.ini").write_text(
        "[pytest]\nfilterwarnings = error\nobs_validator_config = obs-validator.yaml\n"
        "obs_validator_job = url=https://example.com\n"
    )
    (folder / "test_instrumentation.py").write_text(SECTION)


def failing(folder: Path, variables: Mapping[str, str], *options: str) -> tuple[set[str], str]:
    """Run them; return which failed, and what was said."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options],
        cwd=folder,
        env=given(variables),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    failed = set(re.findall(r"^FAILED test_instrumentation.py::(\w+)", done.stdout, re.MULTILINE))
    last = done.stdout.strip().splitlines()[-1]
    counts = {word: int(count) for count, word in re.findall(r"(\d+) (passed|failed|error)", last)}
    assert counts.get("passed", 0) + counts.get("failed", 0) == 3, done.stdout + done.stderr
    assert done.returncode == (1 if failed else 0), done.stdout
    return failed, done.stdout
