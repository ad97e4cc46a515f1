"""Counting in batches results in the same data points as the direct recorder."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import (
    AlwaysOffExemplarFilter,
    AlwaysOnExemplarFilter,
    Counter,
    ExemplarFilter,
    Histogram,
    MeterProvider,
    SimpleFixedSizeExemplarReservoir,
    TraceBasedExemplarFilter,
)
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader, MetricReader
from opentelemetry.sdk.metrics.view import (
    DropAggregation,
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
    SumAggregation,
    View,
)
from opentelemetry.trace import SpanContext, TraceFlags

from harness import Contract
from sandscope import OK, Verdict, _guard
from sandscope._deferred._aggregator import Aggregator
from sandscope._deferred._deferred_execution import DeferredExecution, recorded_by
from sandscope._recording import _mapping
from sandscope._recording._direct_recorder import DirectRecorder
from sandscope.instrumentation import Metric, Scope, Site

SCOPE = Scope("scope", "1")
CALL, RUN = Site("wasmtime", "call", "wasm add"), Site("subprocess", "run", "run true")
VERDICTS = [OK, OK, OK, Verdict("TLE", "engine", "tle", "fuel"), Verdict("SV", "engine", "sv_bounds")]
SIZE = Metric("test.size", "histogram", "By", "A size", (10.0, 1000.0))
BYTES = Metric("test.bytes", "counter", "By", "Some bytes")
LEVEL = Metric("test.level", "updowncounter", "{level}", "A level")
STATE = Metric("test.state", "gauge", "1", "A state")
DELTA = {Counter: AggregationTemporality.DELTA, Histogram: AggregationTemporality.DELTA}
DURATION = "sandbox.execution.duration"
OTHER_EXEMPLARS = {"exponential", "sum", "own reservoir", "fewer attributes", "no attributes"}
"""Views that keep some exemplars at random, or the last of several verdicts, which batches do not interleave."""


class _Recorder:
    """Gives ids; every third execution is sampled."""

    def __init__(self) -> None:
        self.ended: list[DeferredExecution] = []
        self._ids = random.Random(4)  # noqa: S311 -- no secret

    def identify(self, _execution: DeferredExecution) -> SpanContext:
        span_id = self._ids.getrandbits(64) or 1
        return SpanContext(self._ids.getrandbits(128) or 1, span_id, False, TraceFlags(span_id % 3 == 0))

    def take(self, execution: DeferredExecution) -> None:
        self.ended.append(execution)

    def begin(self, site: Site) -> DeferredExecution:
        execution = recorded_by(self)()  # type: ignore[arg-type]
        execution.site = site
        execution.parent_context, execution.started, execution.ended = Context(), 1_000_000, 0
        execution.verdict = execution.details = execution.identity = None
        return execution


def _executions(count: int, seed: int = 1) -> list[DeferredExecution]:
    chance, recorder = random.Random(seed), _Recorder()  # noqa: S311 -- no secret
    for _ in range(count):
        execution = recorder.begin(chance.choice((CALL, RUN)))
        if chance.random() < 0.3:
            execution.measure(SIZE, chance.choice((0, 10, 11, 1000, 12_345, 0.5)))
            execution.measure(BYTES, chance.randrange(100))
            execution.measure(LEVEL, chance.choice((-1, 2)))
            execution.measure(STATE, chance.random())
        execution.verdict = chance.choice(VERDICTS)
        # Among them exactly a bound, and beyond the last one.
        nanoseconds = chance.choice((0, 10_000, 10_001, 45_000_000_000, int(chance.lognormvariate(12, 4))))
        execution.ended = execution.started + nanoseconds
        recorder.take(execution)
    return recorder.ended


@contextmanager
def _provider(*readers: MetricReader, **arguments: Any) -> Iterator[MeterProvider]:
    provider = MeterProvider(readers, shutdown_on_exit=False, **arguments)
    yield provider
    provider.shutdown()


def _one_by_one(provider: MeterProvider, executions: Iterable[DeferredExecution]) -> None:
    recorder = DirectRecorder(SCOPE, None, provider)
    for execution in executions:
        for metric, value, attributes in _mapping.points(execution):
            recorder.write_of(metric)(value, attributes, execution.context)


def _points(reader: InMemoryMetricReader) -> dict[Any, dict[str, Any]]:
    """Return what was collected, by metric and attributes, without what tells the time."""
    data, result = reader.get_metrics_data(), {}
    for metric in data.resource_metrics[0].scope_metrics[0].metrics if data is not None else ():
        for point in metric.data.data_points:
            fields = {name: getattr(point, name) for name in dir(point) if not name.startswith("_")}
            for name in ("attributes", "to_json", "time_unix_nano", "start_time_unix_nano"):
                del fields[name]
            if "sum" in fields:
                fields["sum"] = pytest.approx(fields["sum"])
            fields["exemplars"] = [_exemplar(exemplar) for exemplar in point.exemplars]
            fields["type"] = type(point), type(getattr(point, "value", None)), metric.unit, metric.description
            result[metric.name, frozenset((point.attributes or {}).items())] = fields
    return result


def _exemplar(exemplar: Any) -> tuple[Any, ...]:
    attributes = frozenset((exemplar.filtered_attributes or {}).items())
    return exemplar.trace_id, exemplar.span_id, exemplar.value, attributes


def _have_exemplars(points: dict[Any, dict[str, Any]]) -> dict[Any, bool]:
    return {key: bool(point["exemplars"]) for key, point in points.items()}


def _without_exemplars(points: dict[Any, dict[str, Any]], *, names: Sequence[str] = ()) -> Any:
    kept = {DURATION, "test.size"} - set(names)
    return {
        key: {**point, "exemplars": key[0] in kept and point["exemplars"]} for key, point in points.items()
    }


class _Reservoir(SimpleFixedSizeExemplarReservoir):
    def __init__(self, **_settings: Any) -> None:
        super().__init__(size=5)


VIEWS: dict[str, dict[str, Any]] = {
    "none": {},
    "bounds": {"aggregation": ExplicitBucketHistogramAggregation((0.001, 0.1))},
    "no bounds": {"aggregation": ExplicitBucketHistogramAggregation(())},
    "no min and max": {"aggregation": ExplicitBucketHistogramAggregation(record_min_max=False)},
    "renamed": {"name": "renamed"},
    "fewer attributes": {"attribute_keys": {"sandbox.runtime"}},
    "no attributes": {"attribute_keys": set()},
    "dropped": {"aggregation": DropAggregation()},
    "exponential": {"aggregation": ExponentialBucketHistogramAggregation(max_size=20)},
    "sum": {"aggregation": SumAggregation()},
    "own reservoir": {"exemplar_reservoir_factory": lambda _kind: _Reservoir},
}


@pytest.mark.parametrize("temporality", [None, DELTA], ids=["cumulative", "delta"])
@pytest.mark.parametrize("view", VIEWS)
def test_all_points_are_those_of_the_direct_recorder(view: str, temporality: Any) -> None:
    given = [View(instrument_name=DURATION, **VIEWS[view])] if VIEWS[view] else []
    deferred, direct = InMemoryMetricReader(temporality), InMemoryMetricReader(temporality)
    with (
        _provider(deferred, views=given) as deferred_provider,
        _provider(direct, views=given) as direct_provider,
    ):
        aggregator, executions = Aggregator(deferred_provider, SCOPE), _executions(700)
        for start, end in ((0, 256), (256, 257), (257, 300), (300, 300), (300, 700)):
            aggregator.count(executions[start:end])
            _one_by_one(direct_provider, executions[start:end])
            names = [DURATION] if view in OTHER_EXEMPLARS else []
            found, expected = _points(deferred), _points(direct)
            assert _without_exemplars(found, names=names) == _without_exemplars(expected, names=names)
            assert _have_exemplars(found) == _have_exemplars(expected)
    assert _guard.counts() == {}


@pytest.mark.parametrize(
    "filter_", [AlwaysOnExemplarFilter(), AlwaysOffExemplarFilter(), TraceBasedExemplarFilter()]
)
def test_exemplars_are_those_of_the_direct_recorder(filter_: ExemplarFilter) -> None:
    views = [View(instrument_name=DURATION), View(instrument_name=DURATION, name="few", attribute_keys=set())]
    deferred, direct = InMemoryMetricReader(), InMemoryMetricReader()
    settings: dict[str, Any] = {"exemplar_filter": filter_, "views": views}
    with (
        _provider(deferred, **settings) as deferred_provider,
        _provider(direct, **settings) as direct_provider,
    ):
        executions = _executions(300)
        Aggregator(deferred_provider, SCOPE).count(executions)
        _one_by_one(direct_provider, executions)
        found, expected = _points(deferred), _points(direct)
    assert _without_exemplars(found) == _without_exemplars(expected)
    few = found["few", frozenset()]["exemplars"]
    assert len(few) == len(expected["few", frozenset()]["exemplars"])
    spans = {execution.get_span_context()[:2]: execution.duration for execution in executions}
    assert all(spans[exemplar[:2]] == exemplar[2] for exemplar in few)
    assert bool(few) == (not isinstance(filter_, AlwaysOffExemplarFilter))
    traces = {execution.get_span_context().trace_id for execution in executions}
    counted = [p["exemplars"] for (name, _), p in found.items() if name == "sandbox.executions"]
    assert all(exemplar[0] in traces for exemplars in counted for exemplar in exemplars)
    assert any(counted) == any(few)


class _EverySecond(ExemplarFilter):
    def should_sample(self, value: float, time_unix_nano: int, attributes: Any, context: Context) -> bool:
        return value > 1


def test_the_programs_exemplar_filter_is_used() -> None:
    reader = InMemoryMetricReader()
    with _provider(reader, exemplar_filter=_EverySecond()) as provider:
        Aggregator(provider, SCOPE).count(_executions(200))
        values = [
            e[2] for (name, _), p in _points(reader).items() for e in p["exemplars"] if name == DURATION
        ]
    assert values
    assert min(values) > 1


def test_every_reader_gets_all_executions_in_its_own_temporality() -> None:
    first, second = InMemoryMetricReader(), InMemoryMetricReader(DELTA)
    with _provider(first, second) as provider:
        aggregator, executions = Aggregator(provider, SCOPE), _executions(200)
        deltas = 0
        for start in range(0, 200, 50):
            aggregator.count(executions[start : start + 50])
            deltas += sum(p["count"] for (name, _), p in _points(second).items() if name == DURATION)
        assert deltas == sum(p["count"] for (name, _), p in _points(first).items() if name == DURATION) == 200


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1, 10**400, "seven"])
def test_only_the_value_that_an_instrument_rejects_is_dropped(
    bad: Any, caplog: pytest.LogCaptureFixture
) -> None:
    executions = _executions(60)
    for number, execution in enumerate(executions):
        execution.verdict, execution.site = None, CALL
        for metric in (SIZE, BYTES, STATE):
            execution.measure(metric, bad if number in {30, 59} else 5)
        execution.verdict = OK
    reader = InMemoryMetricReader()
    with _provider(reader) as provider:
        Aggregator(provider, SCOPE).count(executions)
        by_name = {name: point for (name, _), point in _points(reader).items()}
    assert by_name["test.size"]["count"] == 58
    assert by_name["test.bytes"]["value"] == 58 * 5
    assert by_name["test.state"]["value"] == (5 if bad != -1 else -1)
    assert by_name["sandbox.executions"]["value"] == 60
    assert caplog.records, "the SDK or Sandscope logs it"


def test_distinct_causes_are_limited_and_all_are_counted() -> None:
    executions = _executions(100_000)
    for number, execution in enumerate(executions):
        execution.details, execution.site = None, CALL
        execution.verdict = Verdict("TLE", "engine", f"cause {number}", "fuel")
    reader = InMemoryMetricReader()
    with _provider(reader) as provider:
        aggregator = Aggregator(provider, SCOPE)
        for start in range(0, 100_000, 256):
            aggregator.count(executions[start : start + 256])
        found = _points(reader)
    overflow = frozenset({("otel.metric.overflow", True)})
    counted = {
        attributes: p["value"] for (name, attributes), p in found.items() if name == "sandbox.executions"
    }
    assert len(counted) == 2001
    assert sum(counted.values()) == 100_000
    assert counted[overflow] == 98_000
    assert found["sandbox.limit.violations", overflow]["value"] == 98_000
    assert sum(p["count"] for (name, _), p in found.items() if name == DURATION) == 100_000
    for name in {name for name, attributes in found if attributes == overflow}:
        assert "otel.metric.overflow" in Contract.whole().allowed("metric", name), "it is declared"


def test_a_verdict_that_cannot_be_counted_does_not_affect_others(caplog: pytest.LogCaptureFixture) -> None:
    executions = _executions(50)
    executions[20].verdict = Verdict("RE", "guest", ["not", "a", "string"])  # type: ignore[arg-type]
    reader = InMemoryMetricReader()
    with _provider(reader) as provider:
        Aggregator(provider, SCOPE).count(executions)
        assert (
            sum(p["value"] for (name, _), p in _points(reader).items() if name == "sandbox.executions") == 49
        )
    assert _guard.counts() == {"metrics.group": 1}
    assert len(caplog.records) == 1
