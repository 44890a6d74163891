"""What is wrong with a metric, as a colleague would note it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from checks._metric_case import MetricCase
from checks._near import nearest
from checks._series import Series
from checks._words import listed
from validator.model import Finding, Phase, Signal

_MOST_LINES = 5


def _lines(series: Iterable[Series]) -> tuple[str, ...]:
    """Show series that count, each instance's; their buckets say no more."""
    every = list(series)
    counting = [one for one in every if one.counts] or every
    more = len(counting) - _MOST_LINES
    rest = (f"… and {more} more",) if more > 0 else ()
    return (*(one.line() for one in counting[:_MOST_LINES]), *rest)


def _marked(case: MetricCase) -> str:
    marks = ", ".join(f'{key}="{value}"' for key, value in case.mark.items())
    return f"{case.metric}{{{marks}}}"


def no_family(case: MetricCase) -> Finding:
    """Describe a family of which no page had a sample after the job."""
    pages = sorted({(sample.service, sample.instance) for sample in case.pages})
    near = nearest(case.metric, sorted({sample.metric for sample in case.pages}))
    before = any(sample.phase is Phase.BEFORE for sample in case.pages)
    answers = [
        f"{source.name} answered {source.answers} of {source.requests} requests"
        for source in case.evidence.sources
        if Signal.METRICS in source.signals
    ]
    seen = [f"no sample of `{case.metric}` after the job", *answers]
    seen += [
        finding
        for source in case.evidence.sources
        for finding in source.findings
        if Signal.METRICS in source.signals and finding.startswith(f"{case.metric}: ")
    ]
    if pages:
        seen.append(f"samples of {listed(f'{instance} ({name})' for name, instance in pages)}")
    seen += [f"nearest metric: `{near}`"] if near else []
    if before and not near:
        likely = "the process that had it was restarted, or its page lost it"
    elif near:
        likely = f"was `{case.metric}` renamed to `{near}`?"
    else:
        likely = "nothing was measured, the metric has another name, or its page is not read"
    return Finding(
        code="metric_missing",
        summary=f"no sample of `{case.metric}`{f' from {case.service}' if case.service else ''}",
        expected=f"{_marked(case)} with {listed(case.labels)}",
        seen=tuple(seen),
        likely=likely,
        query=case.query(""),
        absent=True,
        needs=case.needs(),
    )


def gauge(case: MetricCase) -> Finding:
    """Describe a suite that asks a gauge to have grown."""
    return Finding(
        code="not_a_counter",
        summary=f"`{case.metric}` is a gauge: what the job added cannot be told",
        expected="a counter or a histogram, of which growth can be asked",
        seen=_lines(case.family),
        likely="set `increased: false` for a gauge",
        query=case.query(""),
    )


def bare(case: MetricCase, label: str, series: Sequence[Series], missing: list[str]) -> Finding:
    """Describe samples of this run without the label; that may be why values are missing."""
    of = f"{len(series)} of this run's series of `{case.metric}`"
    seen = list(_lines(series))
    seen += [f'no growth with {label}="{value}"' for value in missing]
    names = sorted({name for one in series for name in one.last.labels} - set(case.mark))
    near = nearest(label, names)
    seen += [f"nearest label: `{near}`"] if near else []
    likely = f"one way through the code counts without `{label}`"
    if missing:
        likely += f": the one that should count {listed(missing)}"
    return Finding(
        code="label_missing",
        summary=f"{of} {'has' if len(series) == 1 else 'have'} no `{label}`",
        expected=f"`{label}` on every sample of {_marked(case)}",
        seen=tuple(seen),
        likely=f"was `{label}` renamed to `{near}`?" if near else likely,
        query=case.query(label),
        final=any(map(case.known, series)),
    )


def value_missing(case: MetricCase, label: str, value: str) -> Finding:
    """Describe a label's value (any value, if empty) that this run did not make grow."""
    wanted = f'{label}="{value}"' if value else f"any `{label}`"
    own = [one for one in case.own if _has(one, label, value)]
    others = [one for one in case.foreign if _has(one, label, value) and one.counts]
    if own and case.evidence.job.existing:
        return _no_before(case, label, wanted, own)
    if own:
        return _absent(
            case,
            label,
            ("not_increased", f"{wanted} of `{case.metric}` did not grow"),
            _lines(own),
            "the work was not done, is not counted, or is counted by a process whose page is "
            "not read",
        )
    if any(case.grew(one) for one in others):
        return _absent(
            case,
            label,
            ("mark_lost", f"{wanted} of `{case.metric}` grew without the mark"),
            _lines(one for one in others if case.grew(one)),
            f"the label {listed(case.mark)} is lost on the way: the job was counted as somebody "
            "else's traffic, or somebody else was counted meanwhile",
        )
    return _no_value(case, label, value, wanted)


def _has(series: Series, label: str, value: str) -> bool:
    return series.label(label) == value if value else bool(series.label(label))


def _no_value(case: MetricCase, label: str, value: str, wanted: str) -> Finding:
    values = sorted({one.label(label) for one in case.own} - {""})
    near = nearest(value, values)
    seen = [f"`{label}` is {listed(values)}"] if values else [f"no sample with {wanted}"]
    seen += _lines(case.own or case.family)
    if near:
        likely = f"was {wanted} renamed to {near}?"
    elif not case.own:
        likely = f"nothing of a synthetic job is counted: no sample has {_marked(case)}"
    else:
        likely = f"the work that counts {wanted} was not done, or counts something else now"
    found = ("label_value_missing", f"`{case.metric}` has no {wanted}")
    return _absent(case, label, found, tuple(seen), likely)


def _absent(
    case: MetricCase, label: str, found: tuple[str, str], seen: tuple[str, ...], likely: str
) -> Finding:
    code, summary = found
    return Finding(
        code=code,
        summary=summary,
        expected=f"growth of {_marked(case)} with {label}"
        if case.increased
        else f"{_marked(case)} with {label}",
        seen=seen,
        likely=likely,
        query=case.query(label),
        absent=True,
        needs=("job",),
    )


def _no_before(case: MetricCase, label: str, wanted: str, own: Sequence[Series]) -> Finding:
    return Finding(
        code="no_before",
        summary=f"whether this job made {wanted} of `{case.metric}` grow cannot be told",
        expected="an exemplar with a trace id of the job, since nothing was read before it",
        seen=_lines(own),
        likely="the job was not submitted by this run, and the page shows no exemplar of it",
        query=case.query(label),
        absent=True,
    )
