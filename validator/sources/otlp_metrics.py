"""OTLP metrics as Prometheus would show them, by OpenTelemetry's compatibility specification."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb

from validator.model import Exemplar, Phase, Sample
from validator.sources.otlp import Origin, attributes_of, text_of

_INVALID = re.compile(r"[^a-zA-Z0-9_]+")
_UNITS: Mapping[str, str] = {
    "d": "days",
    "h": "hours",
    "min": "minutes",
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "By": "bytes",
    "KiBy": "kibibytes",
    "MiBy": "mebibytes",
    "GiBy": "gibibytes",
    "TiBy": "tebibytes",
    "KBy": "kilobytes",
    "MBy": "megabytes",
    "GBy": "gigabytes",
    "TBy": "terabytes",
    "m": "meters",
    "V": "volts",
    "A": "amperes",
    "J": "joules",
    "W": "watts",
    "g": "grams",
    "Cel": "celsius",
    "Hz": "hertz",
    "%": "percent",
}
_SINGULAR: Mapping[str, str] = {
    "s": "second",
    "m": "minute",
    "min": "minute",
    "h": "hour",
    "d": "day",
    "w": "week",
    "mo": "month",
    "y": "year",
}

Point = pb.NumberDataPoint | pb.HistogramDataPoint | pb.SummaryDataPoint
AnyPoint = Point | pb.ExponentialHistogramDataPoint


@dataclass(frozen=True, slots=True)
class Family:
    """A metric by its name and type in Prometheus, and who sends it."""

    name: str
    type: str
    origin: Origin
    scope: Mapping[str, str]


def points_of(metric: pb.Metric) -> tuple[str, list[AnyPoint]]:
    """Return what kind of metric it is (empty if it has no data), and its points."""
    kind = metric.WhichOneof("data") or ""
    return kind, list(getattr(metric, kind).data_points) if kind else []


def fault_of(metric: pb.Metric) -> str:
    """Say why a metric cannot be shown as Prometheus would; empty if it can."""
    kind = metric.WhichOneof("data")
    if kind is None:
        return f"metric {metric.name!r} has no data"
    if not metric.name:
        return "a metric has no name"
    data = getattr(metric, kind)
    cumulative = pb.AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    if kind not in {"gauge", "summary"} and data.aggregation_temporality != cumulative:
        return (
            f"metric {metric.name!r} is not cumulative: set "
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=cumulative"
        )
    return ""


def family_of(metric: pb.Metric, kind: str, origin: Origin, scope: Mapping[str, str]) -> Family:
    """Return the metric's name and type in Prometheus."""
    shown = _type(metric, kind)
    return Family(_name(metric.name, metric.unit, shown), shown, origin, scope)


def names_of(metric: pb.Metric) -> frozenset[str]:
    """Return the names that a metric may have in Prometheus; "" if it has none."""
    kind = metric.WhichOneof("data")
    types = [_type(metric, kind)] if kind else ["counter", "gauge"]
    return frozenset(metric.name and _name(metric.name, metric.unit, shown) for shown in types)


def _type(metric: pb.Metric, kind: str) -> str:
    """Return the metric's type in Prometheus."""
    return {
        "gauge": "gauge",
        "sum": "counter" if metric.sum.is_monotonic else "gauge",
        "histogram": "histogram",
        "exponential_histogram": "histogram",
        "summary": "summary",
    }[kind]


def _name(name: str, unit: str, shown: str) -> str:
    """Return a family's name: valid, and with its unit, but without `_total`."""
    base = _INVALID.sub("_", name)
    if base[:1].isdigit():
        base = f"_{base}"
    base = re.sub("__+", "_", base).rstrip("_")
    base = base.removesuffix("_total") if shown == "counter" else base
    suffix = _unit(unit, shown)
    return base if not suffix or base.endswith(f"_{suffix}") else f"{base}_{suffix}"


def _unit(unit: str, shown: str) -> str:
    """Return a UCUM unit in Prometheus's words; annotations in braces say nothing."""
    plain = re.sub(r"\{[^}]*\}", "", unit).strip()
    if plain == "1":
        return "ratio" if shown == "gauge" else ""
    whole, _, per = plain.partition("/")
    word = _INVALID.sub("_", _UNITS.get(whole, whole)).strip("_")
    if not per:
        return word
    return "_".join(filter(None, (word, "per", _INVALID.sub("_", _SINGULAR.get(per, per)))))


def labels_of(pairs: Iterable[KeyValue]) -> dict[str, str]:
    """Return attributes as labels; values of keys that become one are joined by `;`."""
    labels: dict[str, str] = {}
    for key, value in sorted(attributes_of(pairs).items()):
        name = _INVALID.sub("_", key)
        name = f"key_{name}" if name[:1].isdigit() else name
        labels[name] = f"{labels[name]};{text_of(value)}" if name in labels else text_of(value)
    return labels


def samples_of(family: Family, point: AnyPoint) -> list[Sample]:
    """Return the samples of one data point."""
    labels = {**labels_of(point.attributes), **family.scope}
    if isinstance(point, pb.NumberDataPoint):
        value = point.as_int if point.WhichOneof("value") == "as_int" else point.as_double
        suffix = "_total" if family.type == "counter" else ""
        exemplar = _latest(point.exemplars)
        return [_sample(family, point, (suffix, labels, float(value), exemplar))]
    rows: list[_Row] = [
        ("_count", labels, float(point.count), None),
        ("_sum", labels, float(point.sum), None),
    ]
    if isinstance(point, pb.SummaryDataPoint):
        rows.extend(
            ("", {**labels, "quantile": _number(q.quantile)}, q.value, None)
            for q in point.quantile_values
        )
    elif isinstance(point, pb.HistogramDataPoint):
        rows.extend(_buckets(point, labels))
    else:
        infinite = {**labels, "le": "+Inf"}
        rows.append(("_bucket", infinite, float(point.count), _latest(point.exemplars)))
    return [_sample(family, point, row) for row in rows]


_Row = tuple[str, Mapping[str, str], float, Exemplar | None]


def _buckets(point: pb.HistogramDataPoint, labels: Mapping[str, str]) -> Iterator[_Row]:
    """Yield cumulative buckets, each with the latest exemplar that falls into it."""
    count, lower = 0, float("-inf")
    bounds = [*point.explicit_bounds, float("inf")]
    counts = list(point.bucket_counts) or [point.count]
    for bound, more in zip(bounds[-len(counts) :], counts, strict=False):
        count += more
        exemplars = [e for e in point.exemplars if lower < _value(e) <= bound]
        yield "_bucket", {**labels, "le": _number(bound)}, float(count), _latest(exemplars)
        lower = bound


def _sample(family: Family, point: AnyPoint, row: _Row) -> Sample:
    """Return one sample of a family."""
    suffix, labels, value, exemplar = row
    return Sample(
        metric=family.name,
        name=family.name + suffix,
        type=family.type,
        labels=labels,
        value=value,
        time=point.time_unix_nano / 1e9 if point.time_unix_nano else None,
        exemplar=exemplar,
        service=family.origin.service,
        instance=family.origin.instance,
        phase=Phase.AFTER,
        source=family.origin.source,
        seen=family.origin.seen,
    )


def target_info(origin: Origin, resource: Iterable[KeyValue]) -> Sample:
    """Return the sample that says of whom a resource's metrics are."""
    identity = {"service.name", "service.namespace", "service.instance.id"}
    labels = labels_of(pair for pair in resource if pair.key not in identity)
    return Sample(
        metric="target_info",
        name="target_info",
        type="gauge",
        labels=labels,
        value=1.0,
        time=None,
        exemplar=None,
        service=origin.service,
        instance=origin.instance,
        phase=Phase.AFTER,
        source=origin.source,
        seen=origin.seen,
    )


def _latest(exemplars: Iterable[pb.Exemplar]) -> Exemplar | None:
    """Return the latest exemplar as Prometheus shows it, None if there is none."""
    latest = max(exemplars, key=lambda exemplar: exemplar.time_unix_nano, default=None)
    if latest is None:
        return None
    labels = labels_of(latest.filtered_attributes)
    if latest.trace_id:
        labels |= {"trace_id": latest.trace_id.hex(), "span_id": latest.span_id.hex()}
    time = latest.time_unix_nano / 1e9 if latest.time_unix_nano else None
    return Exemplar(labels, _value(latest), time)


def _value(exemplar: pb.Exemplar) -> float:
    """Return an exemplar's value."""
    if exemplar.WhichOneof("value") == "as_int":
        return float(exemplar.as_int)
    return exemplar.as_double


def _number(value: float) -> str:
    """Return a bound or quantile as Prometheus's text formats write it."""
    return "+Inf" if value == float("inf") else repr(value)


_SUFFIXES = ("_total", "_bucket", "_count", "_sum")


def wanted(sample: Sample, metrics: frozenset[str]) -> bool:
    """Whether a sample is of the families asked for, or tells of whom they are."""
    return sample.metric == "target_info" or is_asked(sample.metric, metrics)


def is_asked(family: str, metrics: frozenset[str]) -> bool:
    """Whether a family is among those asked for, by their names with or without a suffix."""
    asked = metrics | {bare(metric) for metric in metrics}
    return family in asked or bare(family) in asked


def bare(name: str) -> str:
    """Return a name without the suffix of a sample."""
    for suffix in _SUFFIXES:
        if name.endswith(suffix):
            return name.removesuffix(suffix)
    return name
