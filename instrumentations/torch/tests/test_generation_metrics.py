"""The metrics of generations have the names, units and boundaries of OpenTelemetry's conventions."""

from __future__ import annotations

import pytest

from harness import ROOT, Contract, Telemetry
from sandscope.instrumentation import Metric, Site
from sandscope_instrumentation_torch import TorchInstrumentor
from sandscope_instrumentation_torch._generation import _generation_metrics
from sandscope_instrumentation_torch._generation._generation_metrics import Measured
from sandscope_instrumentation_torch._generation._tokens import Tokens
from sandscope_instrumentation_torch._verdicts import call_verdict

CONTRACT = Contract(ROOT / "instrumentations" / "torch" / "telemetry.yaml")
_DURATION = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
CONVENTIONS = {
    "gen_ai.client.token.usage": (
        "{token}",
        (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864),
    ),
    "gen_ai.client.operation.duration": ("s", _DURATION),
    "gen_ai.server.request.duration": ("s", _DURATION),
    "gen_ai.server.time_per_output_token": (
        "s",
        (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5),
    ),
    "gen_ai.server.time_to_first_token": (
        "s",
        (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
    ),
}
"""Units and `ExplicitBucketBoundaries` in docs/gen-ai/gen-ai-metrics.md of the semantic conventions."""

pytestmark = pytest.mark.parametrize("recorder_kind", ["direct", "deferred"])
_SITE = Site("torch", "generation", "generation Net", attributes={"torch.module": "Net"})
_ATTRIBUTES = {"gen_ai.operation.name": "text_completion", "gen_ai.provider.name": "transformers"}


def _measure(telemetry: Telemetry) -> None:
    """Measure a generation that returns, and one that does not."""
    recorder = telemetry.recorder(TorchInstrumentor.scope)
    for error in (None, MemoryError()):
        execution = recorder.begin(_SITE)
        assert execution is not None
        execution.set_attributes({"gen_ai.request.model": "tiny"})
        measured = Measured(recorder, execution)
        if error is None:
            measured.returned(0.5, Tokens(3, 8), 0.1, 0.05)
        else:
            measured.failed(0.25, call_verdict(error))
        execution.finish()


def test_the_boundaries_are_those_of_the_conventions(telemetry: Telemetry) -> None:
    made = {
        metric.name: (metric.unit, metric.boundaries)
        for metric in vars(_generation_metrics).values()
        if isinstance(metric, Metric) and metric.name.startswith("gen_ai.")
    }
    assert made == CONVENTIONS
    assert {name for name in CONTRACT.metrics if name.startswith("gen_ai.")} == set(CONVENTIONS)
    _measure(telemetry)
    exported = {name: point for name, point in telemetry.metrics().items() if name in CONVENTIONS}
    assert set(exported) == set(CONVENTIONS)
    for name, metric in exported.items():
        for point in metric.data.data_points:
            assert tuple(point.explicit_bounds) == CONVENTIONS[name][1], name
    assert CONTRACT.violations(telemetry) == []


def test_of_a_generation_that_fails_the_time_is_measured(telemetry: Telemetry) -> None:
    _measure(telemetry)
    for name in ("gen_ai.client.operation.duration", "gen_ai.server.request.duration"):
        points = sorted(telemetry.points(name), key=str)
        failed = {**_ATTRIBUTES, "error.type": "mle_memory_error"}
        assert points == sorted([(_ATTRIBUTES, 1.0), (failed, 1.0)], key=str)
    assert telemetry.points("gen_ai.server.time_to_first_token") == [(_ATTRIBUTES, 1.0)]


def test_the_model_is_an_attribute_if_allowed(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDSCOPE_METRIC_ATTRIBUTES", "gen_ai.request.model,torch.module")
    _measure(telemetry)
    for name in CONVENTIONS:
        for attributes, _ in telemetry.points(name):
            assert attributes["gen_ai.request.model"] == "tiny"
            assert "torch.module" not in attributes
