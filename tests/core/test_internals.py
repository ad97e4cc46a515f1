"""If OpenTelemetry's internals have changed, the public API gives the same results, more slowly."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

import pytest
from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics._internal import _view_instrument_match
from opentelemetry.sdk.metrics._internal.aggregation import _ExplicitBucketHistogramAggregation
from opentelemetry.sdk.metrics._internal.measurement_consumer import SynchronousMeasurementConsumer
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext

from sandscope import OK, _guard, _internals
from sandscope._deferred._aggregator import Aggregator
from sandscope._deferred._deferred_execution import DeferredExecution, recorded_by
from sandscope._internals import _histograms
from sandscope._internals._forked_providers import reset_metrics
from sandscope.instrumentation import Scope, Site

Patch = pytest.MonkeyPatch


class _Measured:
    context = Context()
    end_time = 1

    def get_span_context(self) -> SpanContext:
        return INVALID_SPAN_CONTEXT


def _merge(provider: Any, values: Sequence[Any] = (1.0, 7.0, 70.0)) -> bool:
    histogram = provider.get_meter("test").create_histogram(
        "test", explicit_bucket_boundaries_advisory=[5, 50]
    )
    return _histograms.merge_histogram(histogram, {"a": "b"}, values, [_Measured() for _ in values])


def _point(reader: InMemoryMetricReader, name: str) -> Any:
    data = reader.get_metrics_data()
    assert data is not None
    (point,) = [
        point
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
        for point in metric.data.data_points
        if metric.name == name
    ]
    return point


@pytest.fixture
def one_by_one(monkeypatch: Patch) -> list[float]:
    """Return a list that receives the values that are passed to the SDK's public API."""
    values: list[float] = []
    aggregate = _ExplicitBucketHistogramAggregation.aggregate

    def noting(self: Any, measurement: Any, *args: Any) -> None:
        values.append(measurement.value)
        aggregate(self, measurement, *args)

    monkeypatch.setattr(_ExplicitBucketHistogramAggregation, "aggregate", noting)
    return values


def test_values_are_merged_in_bulk_if_the_internals_are_known(one_by_one: list[float]) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    assert _merge(provider)
    assert _merge(provider, [50])
    point = _point(reader, "test")
    assert point.bucket_counts == (1, 2, 1)
    assert (point.count, point.sum, point.min, point.max) == (4, 128.0, 1.0, 70.0)
    assert dict(point.attributes) == {"a": "b"}
    assert one_by_one == [1.0], "the first one begins the series"
    provider.shutdown()


@pytest.mark.parametrize(
    "values", [[], [1, float("nan")], [float("inf")], [2, -1], ["x"], [10**400]], ids=repr
)
def test_values_that_the_sdk_rejects_are_passed_to_the_sdk(values: Sequence[Any]) -> None:
    provider = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    assert not _merge(provider, values)
    provider.shutdown()


def test_values_of_another_histogram_are_passed_to_it() -> None:
    assert not _merge(NoOpMeterProvider())


def _another_consumer(patch: Patch) -> None:
    patch.setattr(_histograms, "_Consumer", object)


def _another_histogram(patch: Patch) -> None:
    patch.setattr(_histograms, "_Histogram", object)


def _no_sdk_as_known(patch: Patch) -> None:
    patch.setattr(_histograms, "_internals_found", False)


def _no_storages(patch: Patch) -> None:
    made = SynchronousMeasurementConsumer.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        self.renamed = self.__dict__.pop("_reader_storages")

    patch.setattr(SynchronousMeasurementConsumer, "__init__", init)
    patch.setattr(
        SynchronousMeasurementConsumer,
        "consume_measurement",
        lambda self, measurement: [s.consume_measurement(measurement, False) for s in self.renamed.values()],
    )
    patch.setattr(
        SynchronousMeasurementConsumer, "collect", lambda self, reader, **_: self.renamed[reader].collect()
    )


def _other_fields(patch: Patch) -> None:
    patch.setattr(_histograms, "_USED", _histograms._USED | {"_something_new"})


def _another_reservoir(patch: Patch) -> None:
    patch.setattr(_histograms, "_PerBucket", object)


def _another_key(patch: Patch) -> None:
    patch.setattr(_histograms, "_hash", lambda _attributes: "a new kind of key")


def _another_aggregation(patch: Patch) -> None:
    class New(_ExplicitBucketHistogramAggregation):
        pass

    patch.setattr("opentelemetry.sdk.metrics._internal.aggregation._ExplicitBucketHistogramAggregation", New)


BROKEN: list[tuple[Callable[[Patch], None], bool]] = [
    (_another_consumer, False),
    (_another_histogram, False),
    (_no_sdk_as_known, False),
    (_no_storages, False),
    (_other_fields, True),
    (_another_reservoir, True),
    (_another_key, True),
    (_another_aggregation, True),
]


@pytest.mark.parametrize(("break_it", "merged"), BROKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_all_is_counted_whichever_internals_have_changed(
    break_it: Callable[[Patch], None], merged: bool, monkeypatch: Patch
) -> None:
    """With or without merging. If only one view has unknown internals, the SDK's API is used for that view."""
    break_it(monkeypatch)
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    assert _merge(provider) is merged
    aggregator = Aggregator(provider, Scope("scope", "1"))
    for _ in range(3):
        aggregator.count([_ended(nanoseconds) for nanoseconds in (20_000, 30_000, 2_000_000)])
    point = _point(reader, "sandbox.execution.duration") if not merged else _duration(reader)
    assert point.bucket_counts[:5] == (0, 6, 0, 3, 0)
    assert (point.count, point.sum) == (9, pytest.approx(0.00615))
    assert _guard.counts() == {}
    provider.shutdown()


def _duration(reader: InMemoryMetricReader) -> Any:
    data = reader.get_metrics_data()
    assert data is not None
    metrics = {m.name: m for s in data.resource_metrics[0].scope_metrics for m in s.metrics}
    assert metrics["test"].data.data_points[0].bucket_counts == (1, 1, 1)
    return metrics["sandbox.execution.duration"].data.data_points[0]


def _ended(nanoseconds: int) -> DeferredExecution:
    class Recorder:
        def identify(self, _execution: Any) -> SpanContext:
            return INVALID_SPAN_CONTEXT

    execution = recorded_by(Recorder())()  # type: ignore[arg-type]
    execution.site = Site("wasmtime", "call", "add")
    execution.parent_context, execution.verdict = Context(), OK
    execution.details = execution.identity = None
    execution.started, execution.ended = 1, 1 + nanoseconds
    return execution


def test_an_sdk_without_those_internals_can_be_imported(monkeypatch: Patch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.metrics._internal.aggregation", None)
    try:
        importlib.reload(_histograms)
        assert not _merge(MeterProvider(shutdown_on_exit=False))
    finally:
        monkeypatch.undo()
        importlib.reload(_histograms)


def test_older_sdks_without_attribute_hashes_are_supported(
    monkeypatch: Patch, one_by_one: list[float]
) -> None:
    """SDK 1.44 identifies series by a frozen set."""
    monkeypatch.setattr(_histograms, "_hash", None)
    monkeypatch.setattr(
        _view_instrument_match, "_hash_attributes", lambda a: frozenset(a.items()), raising=False
    )
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    assert _merge(provider)
    assert _merge(provider)
    assert _point(reader, "test").bucket_counts == (2, 2, 2)
    assert one_by_one == [1.0]
    provider.shutdown()


def test_another_runtime_context_is_not_changed(monkeypatch: Patch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(context, "_RUNTIME_CONTEXT", object())
        assert not _internals.set_default_context(Context())
        assert _internals.context_variable() is None


def test_the_variable_of_the_current_context_is_found() -> None:
    variable = _internals.context_variable()
    assert isinstance(variable, ContextVar)
    token = context.attach(Context({"a": 1}))
    assert variable.get() == {"a": 1}
    context.detach(token)


def test_a_provider_slot_that_has_moved_is_not_changed(monkeypatch: Patch) -> None:
    monkeypatch.delattr(trace, "_TRACER_PROVIDER_SET_ONCE")
    assert not _internals.let_provider_be_replaced("traces", lambda: None)


def test_only_otlp_exporters_take_encoded_batches() -> None:
    assert not _internals.accept_encoded(object())


def test_metrics_of_an_unknown_sdk_are_not_reset() -> None:
    provider = MeterProvider(shutdown_on_exit=False)
    assert reset_metrics(provider)
    del provider._measurement_consumer._reader_storages
    assert not reset_metrics(provider)
    assert not reset_metrics(object())
