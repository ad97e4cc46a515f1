"""A model of a WebAssembly guest: one that the guest runs by a host function, or one that it is itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from harness import ROOT, Contract, Telemetry

pytestmark = pytest.mark.torch
wasmtime = pytest.importorskip("wasmtime")
CONTRACT = Contract(*sorted((ROOT / "instrumentations").glob("*/telemetry.yaml")))
BOTH = pytest.mark.parametrize("recorder_kind", ["direct", "deferred"])

# It asks its host for predictions, as by wasi-nn.
ASKS = """(module $app
  (import "nn" "predict" (func $predict (param i32) (result i32)))
  (func (export "run") (param i32) (result i32) (call $predict (local.get 0))))"""
# It is a model, and says so of its own call: span 0.
IS_MODEL = """(module $classifier
  (import "otel" "span_set_attribute" (func $attribute (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "torch.module") (data (i32.const 12) "MobileNet")
  (func (export "infer") (result i32)
    (call $attribute (i32.const 0) (i32.const 0) (i32.const 12) (i32.const 12) (i32.const 9))))"""


@pytest.fixture
def both_instrumented(instrumented: Telemetry) -> Iterator[Telemetry]:
    from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor

    instrumentor = WasmtimeInstrumentor()
    instrumentor.instrument(recorder=instrumented.recorder(WasmtimeInstrumentor.scope))
    yield instrumented
    instrumentor.uninstrument()


def _run(wat: str, name: str, *arguments: int, predict: Any = None) -> Any:
    engine = wasmtime.Engine()
    linker, store = wasmtime.Linker(engine), wasmtime.Store(engine)
    if predict is not None:
        number = wasmtime.ValType.i32()
        linker.define_func("nn", "predict", wasmtime.FuncType([number], [number]), predict)
    return linker.instantiate(store, wasmtime.Module(engine, wat)).exports(store)[name](store, *arguments)


@BOTH
def test_a_guest_that_runs_a_model_by_its_host(both_instrumented: Telemetry, torch: Any, net: Any) -> None:
    """The call of the model is a child of the guest's, which carries the model's attributes."""
    net.eval()

    def predict(size: int) -> int:
        with torch.no_grad():
            return int(net(torch.ones(size, 4)).shape[0])

    assert [_run(ASKS, "run", size, predict=predict) for size in (3, 3)] == [3, 3]
    models, guests = both_instrumented.spans("inference Net"), both_instrumented.spans("wasm run")
    assert len(models) == len(guests) == 2
    for model, guest in zip(models, guests, strict=True):
        assert model.parent is not None
        assert model.parent.span_id == guest.context.span_id
        assert model.context.trace_id == guest.context.trace_id
        carried = {key: value for key, value in (guest.attributes or {}).items() if key.startswith("torch.")}
        assert carried == {"torch.module": "Net", "torch.device": "cpu", "torch.dtype": "float32"}
    assert CONTRACT.violations(both_instrumented) == []


@BOTH
def test_a_guest_without_a_model_carries_nothing(both_instrumented: Telemetry, torch: Any, net: Any) -> None:
    net(torch.ones(1, 4))
    assert _run(ASKS, "run", 3, predict=lambda size: size) == 3
    (guest,) = both_instrumented.spans("wasm run")
    assert not [key for key in guest.attributes or {} if key.startswith("torch.")]


@BOTH
def test_a_guest_that_is_a_model_says_so_of_its_own_call(both_instrumented: Telemetry) -> None:
    assert _run(IS_MODEL, "infer") == 0
    (guest,) = both_instrumented.spans("wasm infer")
    assert (guest.attributes or {})["guest.torch.module"] == "MobileNet"
    ((attributes, _),) = both_instrumented.points("sandbox.executions")
    assert not [key for key in attributes if key.startswith("guest.")], "never on metrics"
    assert CONTRACT.violations(both_instrumented) == []
