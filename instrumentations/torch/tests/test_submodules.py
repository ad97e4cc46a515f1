"""The calls of submodules are spans if their names are asked for."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from harness import ROOT, Contract, Telemetry
from sandscope_instrumentation_torch import TorchInstrumentor

pytestmark = [pytest.mark.torch, pytest.mark.parametrize("recorder_kind", ["direct", "deferred"])]
CONTRACT = Contract(ROOT / "instrumentations" / "torch" / "telemetry.yaml")


@pytest.fixture
def watching(telemetry: Telemetry, torch: Any) -> Iterator[Telemetry]:
    instrumentor = TorchInstrumentor()
    recorder = telemetry.recorder(TorchInstrumentor.scope)
    instrumentor.instrument(recorder=recorder, submodules=("layers", "layers.[02]"))
    yield telemetry
    instrumentor.uninstrument()


def _names(telemetry: Telemetry) -> list[str]:
    return sorted(span.name for span in telemetry.spans())


def test_submodules_that_are_asked_for_are_spans_inside_the_call(
    watching: Telemetry, torch: Any, net: Any
) -> None:
    expected = net.layers(torch.ones(2, 4))
    watching.clear()
    assert torch.equal(net(torch.ones(2, 4)), expected)
    spans = {span.name: span for span in watching.spans()}
    assert sorted(spans) == ["module layers", "module layers.0", "module layers.2", "training Net"]
    parents = {
        name: next(
            (each.name for each in spans.values() if span.parent and each.context == span.parent), None
        )
        for name, span in spans.items()
    }
    assert parents["training Net"] is None
    assert parents["module layers"] == "training Net"
    assert parents["module layers.0"] == parents["module layers.2"] == "module layers"
    assert dict(spans["module layers.0"].attributes or {}) == {
        "sandbox.runtime": "torch",
        "torch.module": "Linear",
        "torch.module.path": "layers.0",
    }
    assert sum(value for _, value in watching.points("sandbox.executions")) == 2, "they are no executions"
    assert CONTRACT.violations(watching) == []


def test_none_are_spans_by_default(instrumented: Telemetry, torch: Any, net: Any) -> None:
    net(torch.ones(1, 4))
    assert _names(instrumented) == ["training Net"]


def test_a_submodule_that_fails_raises_as_before(watching: Telemetry, torch: Any, net: Any) -> None:
    with pytest.raises(RuntimeError):
        net(torch.ones(1, 3))
    (failed,) = watching.spans("module layers.0")
    assert (failed.attributes or {})["error.type"] == "RuntimeError"
    assert not failed.status.is_ok
    assert "module layers.2" not in _names(watching)
    watching.clear()
    net.layers(torch.ones(1, 4))  # outermost: it has no submodule of these names
    assert _names(watching) == ["training Sequential"]
    assert CONTRACT.violations(watching) == []


def test_a_submodule_that_has_gone_is_no_other_one(watching: Telemetry, torch: Any, net: Any) -> None:
    net(torch.ones(1, 4))
    net.layers[0] = torch.nn.Linear(4, 8)
    gc.collect()
    watching.clear()
    net(torch.ones(1, 4))
    assert _names(watching) == ["module layers", "module layers.2", "training Net"]


def test_a_compiled_model_is_one_graph(watching: Telemetry, torch: Any, net: Any) -> None:
    import torch._dynamo
    from torch._dynamo.testing import CompileCounter

    torch._dynamo.reset()
    backend = CompileCounter()
    model = torch.compile(net, backend=backend, fullgraph=True)
    for _ in range(2):
        model(torch.ones(1, 4))
    assert backend.frame_count == 1
    assert _names(watching) == ["training Net"] * 2
    torch._dynamo.reset()
