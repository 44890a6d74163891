"""From a suite and evidence to verdicts, and which of them are only consequences of others."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from checks import CheckKind
from validator.errors import ConfigError
from validator.model import CoverageState, Evidence, JobState, Signal, Status, Verdict
from validator.suite import CheckSpec
from validator.templates import UnboundTemplate, bind

JOB_OUTCOME = "job_outcome"
REQUIRED = "required"
OTHER_VERSION = ("version_mismatch", "version_unknown")
"""The codes of findings that say: what was judged is not what was to be judged."""

IMPLICIT_OUTCOME = CheckSpec(
    kind=JOB_OUTCOME,
    name=JOB_OUTCOME,
    params={},
    catches="the job itself is refused, hangs or fails",
    level=REQUIRED,
    where="(every suite)",
)
"""Judged in every suite that does not say itself how its job has to end."""


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Have Python not look for cycles meanwhile.

    A large trace makes hundreds of thousands of small objects and no cycles; looking for them
    again and again takes up to half of the time. References are counted all the same.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@dataclass(frozen=True, slots=True)
class Judge:
    """The checks of one suite with the kinds they are of: a function from evidence to verdicts."""

    kinds: Mapping[str, CheckKind]
    checks: tuple[CheckSpec, ...]
    gate: str = ""

    def signals(self) -> frozenset[Signal]:
        """Return the signals that the checks read."""
        return frozenset(one for spec in self.checks for one in self.kinds[spec.kind].signals)

    def verdicts(self, evidence: Evidence) -> tuple[Verdict, ...]:
        """Judge every check on `evidence`, in the order of the suite."""
        with _no_garbage_collection():
            each = tuple(self._one(spec, evidence) for spec in self._specs(evidence))
            return gated(blocked(each), self.gate)

    def _specs(self, evidence: Evidence) -> tuple[CheckSpec, ...]:
        declared = any(spec.kind == JOB_OUTCOME for spec in self.checks)
        job = evidence.job
        unknown = job.existing and job.state is JobState.UNKNOWN  # and nobody was to follow it
        return self.checks if declared or unknown else (IMPLICIT_OUTCOME, *self.checks)

    def _one(self, spec: CheckSpec, evidence: Evidence) -> Verdict:
        kind = self.kinds[spec.kind]
        try:
            verdict = kind.evaluate(bind(spec, evidence.job, kind), evidence)
        except UnboundTemplate as unbound:  # what names it may still come
            verdict = _undecided(spec, kind, "unbound_template", str(unbound))
            states = {evidence.covered(signal).state for signal in kind.signals}
            if CoverageState.OPEN in states:
                verdict = replace(verdict, status=Status.PENDING)
        except ConfigError as unfit:  # what the target answered is not what the check takes
            verdict = _undecided(spec, kind, "unfit_parameters", str(unfit))
        except Exception as error:  # noqa: BLE001 - a check that breaks must not lose the run
            detail = f"the check itself broke ({type(error).__name__}: {error}); please report it"
            verdict = _undecided(spec, kind, "check_broke", detail)
            if any(evidence.covered(one).state is CoverageState.OPEN for one in kind.signals):
                verdict = replace(verdict, status=Status.PENDING)  # more may come, and mend it
        return replace(
            verdict, check=spec.kind, name=spec.name, catches=spec.catches, level=spec.level
        )


def _undecided(spec: CheckSpec, kind: CheckKind, code: str, summary: str) -> Verdict:
    return Verdict(
        check=spec.kind,
        name=spec.name,
        status=Status.INCONCLUSIVE,
        code=code,
        summary=summary,
        findings=(),
        notes=(),
        examined=0,
        signals=kind.signals,
        blocked_by="",
        catches=spec.catches,
    )


def gated(verdicts: tuple[Verdict, ...], gate: str) -> tuple[Verdict, ...]:
    """Mark all verdicts but `gate` as blocked by it, if it says that they speak of another thing.

    Only where it has seen that: a gate that knows nothing, or misses spans, shuts out nothing.
    """
    shut = any(
        verdict.name == gate
        and verdict.status is Status.INCONCLUSIVE
        and any(finding.code in OTHER_VERSION for finding in verdict.findings)
        for verdict in verdicts
    )
    return tuple(
        replace(verdict, status=Status.BLOCKED, blocked_by=gate)
        if shut and verdict.name != gate
        else verdict
        for verdict in verdicts
    )


def blocked(verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """Mark the verdicts that only repeat what another has found missing.

    A failure is blocked when each of its findings is an absence that a fact explains which
    another failing check established (`spans:scraper`), or when the job did not end as it
    should; what a job without an end left undecided is blocked by its outcome. A finding that is
    not an absence is never hidden.

    Nothing is blocked by what does not set the exit code where it does so itself, nor by what
    is, in the end, blocked by it: a run without a failure must be one where nothing failed.
    """
    required = [verdict for verdict in verdicts if verdict.level == REQUIRED]
    grounds = {True: _grounds(required), False: _grounds(verdicts)}
    by = {v.name: _blocker(v, *grounds[v.level == REQUIRED]) for v in verdicts}
    for name in by:
        if _in_a_ring(name, by):
            by[name] = ""
    return tuple(
        replace(verdict, status=Status.BLOCKED, code="blocked", blocked_by=by[verdict.name])
        if by[verdict.name]
        else verdict
        for verdict in verdicts
    )


def _in_a_ring(name: str, by: Mapping[str, str]) -> bool:
    """Whether what blocks `name` is, over others, blocked by `name`."""
    seen: set[str] = set()
    at = by[name]
    while at and at != name and at not in seen:
        seen.add(at)
        at = by[at]
    return at == name


def _grounds(verdicts: Sequence[Verdict]) -> tuple[dict[str, str], str]:
    """Return who established each fact, and who says that the job did not end as it should.

    A job that ended as it should but too late, or with another answer, explains nothing missing.
    """
    outcome = next(
        (
            verdict.name
            for verdict in verdicts
            if verdict.check == JOB_OUTCOME
            and verdict.status is Status.FAIL
            and any(one.missing or one.code == "wrong_state" for one in verdict.findings)
        ),
        "",
    )
    return _established(verdicts), outcome


def _established(verdicts: Sequence[Verdict]) -> dict[str, str]:
    """Return who found what missing; that a job was never sent is known without a failure."""
    facts: dict[str, str] = {}
    for verdict in verdicts:
        unsent = verdict.check == JOB_OUTCOME and verdict.status is Status.INCONCLUSIVE
        if verdict.status is Status.FAIL or unsent:
            for finding in verdict.findings:
                for fact in finding.missing:
                    facts.setdefault(fact, verdict.name)
    return facts


def _blocker(verdict: Verdict, facts: Mapping[str, str], outcome: str) -> str:
    """Return the name of the verdict of which this one is a consequence, empty if of none."""
    if verdict.name == outcome or verdict.check == JOB_OUTCOME:
        return ""
    if verdict.status in (Status.INCONCLUSIVE, Status.PENDING):
        return facts.get("job", "")
    if verdict.status is Status.FAIL and all(finding.absent for finding in verdict.findings):
        # A break in what is there (a lost context, an orphan) needs nothing, and is its own cause.
        hangs = all(finding.needs for finding in verdict.findings)
        return (outcome if hangs else "") or _explained_by(verdict, facts)
    return ""


def _explained_by(verdict: Verdict, facts: Mapping[str, str]) -> str:
    own = {fact for finding in verdict.findings for fact in finding.missing}
    reasons: list[str] = []
    for finding in verdict.findings:
        others = [
            facts[need]
            for need in finding.needs
            if need in facts and need not in own and facts[need] != verdict.name
        ]
        if not others:
            return ""
        reasons.append(others[0])
    return reasons[0] if reasons else ""
