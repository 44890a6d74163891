"""deploy/kubernetes/check.sh, with a kubectl that answers as a test tells it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.deploy.manifests import KUBERNETES

KUBECTL = """\
#!/usr/bin/env bash
echo "$*" >>"$CALLS"
case "$*" in
  *"get pods"*"exitCode"*) printf %s "$EXIT_CODE" ;;
  *"get pods"*"phase"*) printf Pending ;;
  *"get pods"*"waiting"*) printf ImagePullBackOff ;;
  *"get job"*) printf %s "$REASON" ;;
  *" logs "*) echo "## obs-validator: the report" ;;
  *rollout*) [ -z "$NO_COLLECTOR" ] || { echo "timed out" >&2; exit 1; } ;;
esac
"""


def _run(
    folder: Path, exit_code: str, *arguments: str, reason: str = "", no_collector: str = ""
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    calls, kubectl = folder / "calls", folder / "kubectl"
    kubectl.write_text(KUBECTL)
    kubectl.chmod(0o755)
    said = {"EXIT_CODE": exit_code, "REASON": reason, "NO_COLLECTOR": no_collector}
    path = f"{folder}:{os.environ['PATH']}"
    done = subprocess.run(
        [str(KUBERNETES / "check.sh"), *arguments],
        env={**os.environ, **said, "PATH": path, "CALLS": str(calls)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done, calls.read_text().splitlines()


@pytest.mark.parametrize("code", ["0", "1", "2", "3"])
def test_it_ends_with_the_code_of_the_check(tmp_path: Path, code: str) -> None:
    """Whatever the job came to; the log, and nothing else, is on standard output."""
    done, calls = _run(tmp_path, code)
    assert done.returncode == int(code)
    assert done.stdout == "## obs-validator: the report\n"
    words = [call.removeprefix("--namespace obs-validator ").split()[0] for call in calls]
    assert words == ["delete", "apply", "rollout", "apply", "get", "logs"]


@pytest.mark.parametrize(
    ("reason", "said"), [("DeadlineExceeded", "DeadlineExceeded"), ("", "after 0 s")]
)
def test_a_job_that_does_not_end_is_no_pass(tmp_path: Path, reason: str, said: str) -> None:
    """Its pod is gone, or never began: nothing is known, and that is said with why."""
    done, _ = _run(tmp_path, "", "0", reason=reason)
    assert done.returncode == 3
    assert said in done.stderr
    assert "ImagePullBackOff" in done.stderr


def test_a_collector_that_does_not_come_up_ends_it(tmp_path: Path) -> None:
    """No check is started that nobody could send to."""
    done, calls = _run(tmp_path, "0", no_collector="yes")
    assert done.returncode != 0
    assert sum(" apply " in call for call in calls) == 1
