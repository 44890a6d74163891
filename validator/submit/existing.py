"""A job that is there already: nothing is submitted, nothing is cleaned up."""

from __future__ import annotations

import math

from validator.model import JobState
from validator.ports import Mark, Progress
from validator.submit.http import HttpSubmitter

_RARELY = 1.0
"""Seconds between two calls of `follow` when the answer cannot change."""


class ExistingJob:
    """Implements `validator.ports.Submitter` for a job known by its id or its trace id."""

    def __init__(self, job_id: str, trace_id: str, http: HttpSubmitter | None) -> None:
        """Name the job (either may be empty, not both) and who can be asked of it, if anyone."""
        self._job_id = job_id
        self._trace_id = trace_id
        self._http = http

    @property
    def poll_interval(self) -> float:
        """Return how many seconds to wait between two calls of `follow`."""
        return self._http.poll_interval if self._http else _RARELY

    def submit(self, mark: Mark) -> Progress:
        """Submit nothing, but say what is known of the job (its id may be empty)."""
        return self.follow(mark, self._job_id)

    def follow(self, mark: Mark, job_id: str) -> Progress:
        """Ask what became of it, if its id is known and the target can be asked; else UNKNOWN."""
        wanted = job_id or self._job_id
        if self._http is None or not self._http.follows or not wanted:
            why = "only its trace id is known" if not wanted else "the target cannot be asked"
            return Progress(wanted, "", JobState.UNKNOWN, why, {}, self._trace_id)
        said = self._http.follow(mark, wanted)
        trace_id = self._trace_id or said.trace_id
        return Progress(wanted, said.status, said.state, said.detail, said.fields, trace_id)

    def finish(self, mark: Mark, progress: Progress) -> None:
        """Do nothing: the job is not ours."""

    def clean_up(self, mark: Mark, job_id: str, within: float = math.inf) -> None:
        """Do nothing: the job is not ours."""

    def close(self) -> None:
        """Let go of connections."""
        if self._http:
            self._http.close()
