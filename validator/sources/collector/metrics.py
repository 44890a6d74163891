"""The collector's metrics: the latest samples of each series, within bounds."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace

from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, ResourceMetrics

from validator.model import Sample
from validator.ports import Clock
from validator.sources.collector.limits import Limits
from validator.sources.collector.losses import Rejections
from validator.sources.otlp import Origin, origin_of
from validator.sources.otlp_metrics import (
    Family,
    family_of,
    fault_of,
    names_of,
    points_of,
    samples_of,
    target_info,
    wanted,
)

_Series = tuple[object, ...]


class MetricStore:
    """Holds the samples of each series' latest point. Any thread may call it."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        """Hold at most `limits.series` samples, none older than `limits.age`."""
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._series: OrderedDict[_Series, tuple[Sample, ...]] = OrderedDict()
        self._samples = 0
        self._received = 0
        self._rejected = 0
        self._evicted = 0
        self._evicted_seen = float("-inf")
        self._rejections = Rejections(limits.losses, limits.age)
        self._refused: tuple[int, float, str] = (0, float("-inf"), "")

    def add(self, resources: Iterable[ResourceMetrics], seen: float) -> list[str]:
        """Take metrics in; return a line for each data point that was rejected."""
        faults: list[str] = []
        with self._lock:
            for resource in resources:
                origin = origin_of(resource.resource, InstrumentationScope(), "", seen)
                if resource.scope_metrics:
                    info = target_info(origin, resource.resource.attributes)
                    self._put(("target_info", origin.service, origin.instance), (info,))
                for scope in resource.scope_metrics:
                    labels = _scope_labels(scope.scope)
                    for metric in scope.metrics:
                        self._add_metric(metric, origin, labels, faults)
            self._received += 1
            self._rejected += len(faults)
            self._evict()
        return faults

    def _add_metric(
        self, metric: Metric, origin: Origin, scope: dict[str, str], faults: list[str]
    ) -> None:
        """Take one metric's points in, or tell why not."""
        kind, points = points_of(metric)
        fault = fault_of(metric)
        if fault:
            count = max(1, len(points))
            faults.extend([fault] * count)
            for name in names_of(metric):
                self._rejections.note(name, origin.seen, count, fault)
            return
        family: Family = family_of(metric, kind, origin, scope)
        for point in points:
            samples = tuple(samples_of(family, point))
            key = (family.name, origin.service, origin.instance, *sorted(samples[0].labels.items()))
            self._put(key, samples)

    def _put(self, key: _Series, samples: tuple[Sample, ...]) -> None:
        """Replace a series' samples by later ones."""
        old = self._series.pop(key, ())
        self._series[key] = samples
        self._samples += len(samples) - len(old)

    def _evict(self) -> None:
        """Let go of the series that were longest without a point, until all is within bounds."""
        oldest = self._clock.now() - self._limits.age
        while self._series:
            key = next(iter(self._series))
            samples = self._series[key]
            if self._samples <= self._limits.series and samples[0].seen >= oldest:
                return
            del self._series[key]
            self._samples -= len(samples)
            if samples[0].seen >= oldest:
                self._evicted += 1
                self._evicted_seen = self._clock.now()

    def refuse(self, why: str) -> None:
        """Remember that a whole request was refused."""
        with self._lock:
            self._refused = (self._refused[0] + 1, self._clock.now(), why)

    def ask(self, metrics: frozenset[str], source: str) -> tuple[list[Sample], list[str]]:
        """Return the samples of these families, and what was lost, a line each."""
        with self._lock:
            self._evict()
            every = [sample for samples in self._series.values() for sample in samples]
            now = self._clock.now()
            lost = self._rejections.told(metrics, now)
            if self._evicted and now - self._evicted_seen <= self._limits.age:
                lost.append(f"{self._evicted} series were evicted: give the collector more room")
            count, refused, why = self._refused
            if now - refused <= self._limits.age:
                lost.append(f"{count} requests of metrics were refused (the last: {why})")
        return [replace(s, source=source) for s in every if wanted(s, metrics)], lost

    def figures(self) -> dict[str, int]:
        """Return the present figures."""
        with self._lock:
            self._evict()
            return {
                "received": self._received,
                "rejected": self._rejected,
                "evicted": self._evicted,
                "resident": self._samples,
            }


def _scope_labels(scope: InstrumentationScope) -> dict[str, str]:
    """Return the labels that tell metrics of different scopes apart."""
    labels = {"otel_scope_name": scope.name, "otel_scope_version": scope.version}
    return {name: value for name, value in labels.items() if value}
