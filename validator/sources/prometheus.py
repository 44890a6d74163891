"""Prometheus, and what speaks its API (Mimir, Thanos), as a source of samples and of alerts.

A question is one query for raw samples, whose times are those of the scrapes: an instant query
would answer with what is up to five minutes old and not say so.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from validator.errors import SourceError, SourceFailure
from validator.model import Exemplar, Phase, Sample
from validator.ports import Answer, Probed
from validator.sources.base import SourceBase
from validator.sources.families import ABOUT_TARGETS, Families, is_asked, selector
from validator.sources.http import Http
from validator.sources.missing import Absence, Past, past_of
from validator.sources.promapi import JsonApi, Told, ahead, middle
from validator.sources.promextras import exemplars_of, key_of, types_of
from validator.sources.promremarks import NOTHING, remarks, rules_remark, targets_remark
from validator.sources.promrules import read_rules, told_by
from validator.sources.scrapes import Key, Line, Scene, Target, is_current, lines_of, scene_of
from validator.sources.standing import Memory, Standing

_WIDEST = 300.0
_NARROWEST = 30.0
_REST = 60.0
"""Seconds for which what showed no use (metadata, exemplars) is not asked for again."""

_SOON = 0.5
"""Seconds until it is worth asking again who is scraped, where no moment is known."""

_COUNTED = frozenset({"counter", "histogram"})


@dataclass(frozen=True, slots=True)
class Labels:
    """Which labels of a target name its service and its instance."""

    service: str = "job"
    instance: str = "instance"


@dataclass(frozen=True, slots=True)
class _Reading:
    """One answer, read: whose lines are current, and how the targets stand at `now` (theirs)."""

    metrics: frozenset[str]
    asked: tuple[Line, ...]
    current: tuple[Line, ...]
    scene: Scene
    standing: Standing
    jobs: frozenset[str]
    ahead: float
    now: float

    def missing(self) -> list[str]:
        """Return the families without a current sample."""
        names = frozenset(line.name for line in self.current)
        return [
            metric
            for metric in sorted(self.metrics - {"target_info"})
            if not any(is_asked(name, frozenset({metric})) for name in names)
        ]

    def unshown(self) -> frozenset[str]:
        """Return the jobs that have or had the families and of which no target is known."""
        return self.jobs - {target.job for target in self.standing.every()}


class PrometheusSource(SourceBase):
    """Asks for the raw samples of a few minutes, and judges by them what is current.

    Series that a target's last scrape had are answered, with the time of that scrape (by our
    clock, as far as the `Date` header tells that the server's is off). `as_of` is the oldest last
    scrape among the targets of every job that has or had one of the families, or among all
    targets where none ever did. An answer is not full when the server says so, when a target of
    such a job is down, when one is gone that an earlier answer had (for as long as a run may still
    wait for it), or when nothing is scraped at all. It takes one request, the first also one
    for metadata and one for who had the families in the last 30 days; exemplars, and the reasons
    for what is missing, take one or two more at times.
    """

    kind = "prometheus"

    def __init__(
        self, name: str, url: str, http: Http, lag_budget: float, labels: Labels = Labels()
    ) -> None:
        """Ask the server at `url`, with its base path, through `http`."""
        super().__init__(name, http, lag_budget)
        self._api = JsonApi(http, url)
        self._labels = labels
        self._memory = Memory(3 * lag_budget + 10)
        self._lock = threading.Lock()
        self._window = _WIDEST
        self._types: Mapping[str, str] = {}
        self._types_at = float("-inf")
        self._tried: frozenset[str] = frozenset()
        self._no_exemplars_until = float("-inf")
        self._past = Past(float("-inf"), (), ())
        self._past_for: frozenset[str] = frozenset()
        self._looked: frozenset[str] = frozenset()

    def samples(self, metrics: frozenset[str]) -> Answer:
        """Return the samples of the last scrapes of these families, and of `target_info`."""
        started = self._http.clock.monotonic()
        with self._lock:
            window, past = self._window, self._past
        reading, told = self._ask(self._api, metrics, window, started)
        with self._lock:
            looked = self._past is not past
        aside = self._aside(started) if looked and reading.unshown() else None
        if aside is not None:  # their first scrape may have come between the two questions
            reading, told = self._ask(aside, metrics, window, started)
        with self._lock:
            self._window = _window(reading.scene)
        families = self._families(reading, started)
        exemplars = self._exemplars(reading, families, started)
        samples = [self._sample(line, reading, families, exemplars) for line in reading.current]
        return self._answer(reading, families, samples, told)

    def alerts(self) -> Answer:
        """Return the pending and firing alerts of the rules; who receives them is not known here.

        Asked of `/api/v1/rules`, which has what `/api/v1/alerts` has, and the rules' health.
        """
        told = self._api.get("api/v1/rules", ("type", "alert"))
        with self._api.reading("api/v1/rules"):
            rules = read_rules(told.data["groups"])
        off, seen = ahead(told.offset), self._http.clock.now()
        nothing = [] if rules.count else ["it has no alerting rules: there is nothing to fire"]
        since = rules.evaluated
        return Answer(
            alerts=told_by(self._name, rules.alerts, seen, off),
            full=not (told.warnings or nothing or rules.broken),
            findings=(*told.warnings, *nothing, *rules.broken),
            as_of=None if since is None else since - off,
            again=None if since is None else max(seen, since + rules.interval - off) + 0.05,
        )

    def probe(self) -> Probed:
        """Ask for its build; notes tell of targets that are down and of rules that are missing."""
        api = self._api.question()
        try:
            told = api.get("api/v1/status/buildinfo")
            with api.reading("api/v1/status/buildinfo"):
                version = str(told.data.get("version", ""))
        except SourceError as exc:
            if exc.failure is not SourceFailure.REFUSED:
                raise
            told, version = api.get("api/v1/query", ("query", "vector(1)")), ""
        notes = (*remarks(api, targets_remark), *remarks(api, rules_remark))
        return Probed(version, told.latency, middle(told.offset), notes)

    # -- reading ------------------------------------------------------------------------------

    def _ask(
        self, api: JsonApi, metrics: frozenset[str], window: float, started: float
    ) -> tuple[_Reading, Told]:
        """Ask for the raw samples of the last `window` seconds, and read them."""
        told = api.get("api/v1/query", ("query", selector(metrics, window)))
        with api.reading("api/v1/query"):
            lines = lines_of(told.data["result"])
        return self._read(metrics, lines, told, started), told

    def _read(
        self, metrics: frozenset[str], lines: list[Line], told: Told, started: float
    ) -> _Reading:
        """Say of an answer which series are current and how the targets stand."""
        off = ahead(told.offset)
        now = self._http.clock.now() + off
        scene = scene_of(lines)
        asked = [line for line in lines if self._is_asked(line, metrics)]
        jobs = self._jobs(metrics, asked, now, started)
        standing = self._memory.standing(
            scene, jobs, now, lambda targets: self._present(targets, started)
        )
        absent = {target.key for target in standing.gone}
        current = [
            line
            for line in asked
            if (target := scene.target_of(line)) is not None
            and target.key not in absent
            and is_current(line, target)
        ]
        return _Reading(
            metrics, tuple(asked), tuple(current), scene, standing, jobs, off, now
        )  # fmt: skip

    def _is_asked(self, line: Line, metrics: frozenset[str]) -> bool:
        about = line.name in ABOUT_TARGETS and line.name != "target_info"
        return line.name in metrics if about else (
            line.name == "target_info" or is_asked(line.name, metrics)
        )  # fmt: skip

    def _jobs(
        self, metrics: frozenset[str], asked: list[Line], now: float, started: float
    ) -> frozenset[str]:
        """Return the jobs that have or had the families; none if a family never was anywhere.

        Who has one now does not tell who had it, and is scraped at another moment: each family is
        looked back for once. Where that cannot be had it is a finding.
        """
        found: dict[str, frozenset[str]] = {}
        for metric in metrics - {"target_info"}:
            lines = [one for one in asked if is_asked(one.name, frozenset({metric}))]
            seen = (one.labels.get("job", "") for one in lines)
            found[metric] = self._memory.jobs(metric, seen)
        with self._lock:
            looked = self._looked
        unknown = frozenset(m for m, jobs in found.items() if not jobs or m not in looked)
        if unknown:
            past = self._looked_back(unknown, now, started)
            found |= {metric: self._memory.jobs(metric, past.jobs(metric)) for metric in unknown}
        if not all(found.values()):
            return frozenset()
        return frozenset().union(*found.values())

    def _looked_back(self, metrics: frozenset[str], now: float, started: float) -> Past:
        """Return what is known of the past of families; asked now and then."""
        with self._lock:
            past, known = self._past, self._past_for
        if past.fresh(now) and metrics <= known:
            return past
        aside = self._aside(started)
        if aside is None:
            return Past(now, (), ())
        past = past_of(aside, metrics, now)
        with self._lock:
            self._past, self._past_for = past, metrics
            self._looked |= metrics if past.told else frozenset()
        return past

    def _present(self, targets: list[Target], started: float) -> frozenset[Key]:
        """Return which targets an instant query still shows: what was removed is marked stale."""
        aside = self._aside(started)
        keys = frozenset(target.key for target in targets)
        if aside is None:
            return keys
        try:
            told = aside.get("api/v1/query", ("query", "up"))
            with aside.reading("api/v1/query"):
                shown = [one["metric"].items() for one in told.data["result"]]
        except SourceError:
            return keys
        return keys & {frozenset((k, v) for k, v in one if k != "__name__") for one in shown}

    # -- what belongs to the samples ------------------------------------------------------------

    def _families(self, reading: _Reading, started: float) -> Families:
        """Return the families' types: metadata is asked for once, and again for what is new."""
        names = frozenset(line.name for line in reading.asked)
        now = self._http.clock.monotonic()
        with self._lock:
            types, tried = self._types, self._tried
            rested = now - self._types_at >= _REST
        untold = frozenset(
            line.name for line in reading.current if Families(types, names).of(line)[1] == "unknown"
        )
        wanted = not (untold <= tried) or (rested and (untold or not types))
        aside = self._aside(started) if wanted else None
        if aside is not None:
            types = types_of(aside) or types
            with self._lock:
                self._types, self._types_at, self._tried = types, now, untold
        return Families(types, names)

    def _exemplars(
        self, reading: _Reading, families: Families, started: float
    ) -> Mapping[Key, Exemplar]:
        """Return the latest exemplar of each series; a server without them is asked seldom."""
        counted = {line.name for line in reading.current if families.of(line)[1] in _COUNTED}
        names = frozenset(name for name in counted if name.endswith(("_bucket", "_total")))
        now = self._http.clock.monotonic()
        with self._lock:
            rests = now < self._no_exemplars_until
        aside = None if rests or not names else self._aside(started)
        if aside is None:
            return {}
        found = exemplars_of(aside, names, reading.now, reading.ahead)
        if not found:
            with self._lock:
                self._no_exemplars_until = now + _REST
        return found

    def _sample(
        self,
        line: Line,
        reading: _Reading,
        families: Families,
        exemplars: Mapping[Key, Exemplar],
    ) -> Sample:
        """Return a series' last sample as the model has it."""
        family, kind = families.of(line)
        labels = dict(line.labels)
        job = labels.get("job", "")
        service = labels.pop(self._labels.service, job)
        instance = labels.pop(self._labels.instance, "")
        return Sample(
            metric=family,
            name=line.name,
            type=kind,
            labels=labels,
            value=line.values[-1],
            time=line.times[-1] - reading.ahead,
            exemplar=exemplars.get(key_of({**line.labels, "__name__": line.name})),
            service=service,
            instance=instance,
            phase=Phase.AFTER,
            source=self._name,
            seen=self._http.clock.now(),
        )

    def _answer(
        self, reading: _Reading, families: Families, samples: list[Sample], told: Told
    ) -> Answer:
        """Return the answer, with what it lacks and why."""
        standing, now = reading.standing, reading.now
        as_of = standing.as_of(None if reading.jobs else self._lag_budget)
        again = now + _SOON if as_of is None else standing.again(now)
        nothing = [] if reading.scene.targets else [NOTHING]
        undated = self._undated(reading) if as_of is None else []
        findings = [*told.warnings, *nothing, *standing.findings(now), *undated]
        missing: list[str] = []
        if reading.ahead:
            findings.append(f"its clock is {reading.ahead:+.1f} s off ours: times are set right")
        with self._lock:
            past = self._past
        if not past.told:
            findings += past.troubles
        for metric in reading.missing() if not nothing else ():
            lines = [one for one in reading.asked if is_asked(one.name, frozenset({metric}))]
            absence = Absence(
                metric, tuple(lines), reading.scene, standing, past, families.types, now
            )
            missing += absence.findings()
        open_ = [
            target
            for target in standing.down
            if reading.jobs or not (target.was_up or self._memory.was_live(target))
        ]
        lost = standing.lost or standing.back
        return Answer(
            samples=tuple(samples),
            full=not (told.warnings or nothing or open_ or lost or as_of is None),
            findings=tuple(findings),
            missing=tuple(missing),
            as_of=None if as_of is None else as_of - reading.ahead,
            again=None if again is None else again - reading.ahead,
        )

    def _undated(self, reading: _Reading) -> list[str]:
        """Say why an answer speaks of no moment, where that is not told of each target."""
        standing = reading.standing
        if reading.jobs and not standing.every():
            return [f"no target of {', '.join(sorted(reading.jobs))} is scraped"]
        if standing.live or standing.late:
            budget = f"its lag budget ({self._lag_budget:g} s)"
            return [f"all that is scraped is scraped less often than {budget} asks for"]
        return []

    # -- beside the question ----------------------------------------------------------------------

    def _aside(self, started: float) -> JsonApi | None:
        """Return what asks beside the question, in what is left of its time; None if little is."""
        left = self._http.timeout - (self._http.clock.monotonic() - started)
        if left < self._http.timeout / 4:
            return None
        return self._api.until(started + self._http.timeout - left / 2)


def _window(scene: Scene) -> float:
    """Return how many seconds of samples to ask for next: of four scrapes, as far as is known."""
    intervals = [target.interval for target in scene.targets.values()]
    known = [interval for interval in intervals if interval is not None]
    if not known or len(known) < len(intervals):
        return _WIDEST
    return min(_WIDEST, max(_NARROWEST, 4 * max(known) + 10))
