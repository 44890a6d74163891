"""Why a selector matched no log line, as far as the lines that are there can tell."""

from __future__ import annotations

from collections.abc import Sequence

from checks._lines import LogSelector, level, line_field, line_keys
from checks._near import nearest
from checks._queries import logql
from checks._select import fits
from checks._values import Missing, shown
from checks._words import listed
from validator.model import Evidence, Finding, LogLine

_LONGEST_BODY = 80


def nothing_logged(evidence: Evidence) -> Finding:
    """Describe a check that wants no line, where there was none to look through either."""
    return Finding(
        code="nothing_seen",
        summary="no log line of the job to look at",
        expected="at least one log line of the job: none may match, but it has to have left some",
        seen=("no log line of the job at all",),
        likely="the job's logs are not exported, or carry neither its trace nor its id",
        query=logql(evidence),
        absent=True,
        needs=("job", "logs"),
    )


def too_few(
    selector: LogSelector, evidence: Evidence, lines: Sequence[LogLine], counts: tuple[int, int]
) -> Finding:
    """Describe a selector that matched fewer lines than it should; `counts`: wanted, found."""
    wanted, found = counts
    seen, likely = _why(selector, evidence, lines) if not found else ([f"{found} of {wanted}"], "")
    service = selector.service
    silent = service is not None and all(line.service != service for line in lines)
    needs = ["job"]
    needs += [f"logs:{service}"] if silent else []
    needs += ["logs"] if not lines else []
    of = "no" if not found else f"only {found}"
    return Finding(
        code="too_few" if found else "no_match",
        summary=f"{of} {selector.words()}" + (f", {wanted} expected" if wanted > 1 else ""),
        expected=f"at least {wanted} {selector.words()}",
        seen=tuple(seen),
        likely=likely or "what should be logged more often happened fewer times",
        query=logql(evidence, service or ""),
        absent=True,
        needs=tuple(needs),
    )


def _why(
    selector: LogSelector, evidence: Evidence, lines: Sequence[LogLine]
) -> tuple[list[str], str]:
    if not lines:
        likely = "the job's logs are not exported, or carry neither its trace nor its id"
        return ["no log line of the job at all"], likely
    service = selector.service
    own = [line for line in lines if service is None or line.service == service]
    if not own:
        services = sorted({line.service or "(no service.name)" for line in lines})
        near = nearest(service or "", services)
        seen = [f"no log line of {service} at all; lines of {listed(services)}"]
        if near:
            return [*seen, f"nearest service: `{near}`"], f"was `{service}` renamed to `{near}`?"
        return seen, f"{service} logs without the job's trace or id, or its logs are not exported"
    best = min(own, key=lambda line: (len(selector.misfits(line)), -level(line.severity)))
    seen = [f"{len(own)} log lines{f' of {service}' if service else ''}; the nearest:"]
    keys = listed(f"`{key}`" for key in evidence.job_id_keys)
    return [*seen, *_misfit(selector, best)], (
        "it did not happen, is logged in other words now, or its line has neither the job's "
        f"trace_id nor its id (looked for under {keys})"
    )


def _misfit(selector: LogSelector, line: LogLine) -> list[str]:
    seen = [f"{line.severity or 'no severity'} `{line.body[:_LONGEST_BODY]}`"]
    for key, wanted in selector.where.items():
        value = line_field(line, key)
        if fits(wanted, value):
            continue
        if isinstance(value, Missing):
            near = nearest(key, line_keys(line))
            seen.append(f"it has no `{key}`" + (f"; has `{near}`" if near else ""))
        else:
            seen.append(f"it has `{key}` = {shown(value)}")
    return seen
