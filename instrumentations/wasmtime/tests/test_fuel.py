"""Fuel is measured if requested and counted by the engine: once for nested calls, and across refuelling."""

from __future__ import annotations

from typing import Any

import pytest
import wasmtime
from wasmtime import component

from harness import Telemetry

FUEL = pytest.mark.parametrize("settings", [{"fuel": True}], ids=["fuel"])
BOTH = pytest.mark.parametrize(
    "settings", [{"fuel": True}, {"fuel": True, "spans": "off"}, {"fuel": True, "spans": "outer"}], ids=str
)
SPINS = """(module (func (export "spin") (param i32)
  (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0)))))"""
NESTS = """(module (import "h" "f" (func $f))
  (func (export "run") (call $f) (call $f))
  (func (export "leaf") nop nop nop nop nop nop nop nop))"""
START = "(module (func $start nop nop nop) (start $start))"


def counting() -> wasmtime.Config:
    """Return the configuration of an engine that counts fuel."""
    config = wasmtime.Config()
    config.consume_fuel = True
    return config


@pytest.fixture
def config() -> wasmtime.Config:
    """Return the configuration of an engine that counts fuel."""
    return counting()


def consumed(telemetry: Telemetry) -> float:
    """Return the fuel in the metric."""
    return sum(value for _, value in telemetry.points("wasm.fuel.consumed"))


@BOTH
def test_the_metric_is_the_fuel_that_the_store_has_consumed(
    instrumented: Telemetry, load: Any, config: Any
) -> None:
    store, exports = load(SPINS, config=config, fuel=10_000)
    for times in (1, 10, 100):
        exports["spin"](store, times)
    assert consumed(instrumented) == 10_000 - store.get_fuel() > 100


@FUEL
def test_each_call_has_its_own_fuel(instrumented: Telemetry, load: Any, config: Any) -> None:
    store, exports = load(SPINS, config=config, fuel=10_000)
    used = []
    for times in (1, 10):
        before = store.get_fuel()
        exports["spin"](store, times)
        used.append(before - store.get_fuel())
    assert [(span.attributes or {})["wasm.fuel.consumed"] for span in instrumented.spans()] == used
    assert [(log.log_record.attributes or {})["wasm.fuel.consumed"] for log in instrumented.logs()] == used


@FUEL
def test_many_calls_are_all_measured(instrumented: Telemetry, load: Any, config: Any) -> None:
    store, exports = load(SPINS, config=config, fuel=100_000)
    for _ in range(200):
        exports["spin"](store, 3)
    assert consumed(instrumented) == 100_000 - store.get_fuel()


@BOTH
def test_nested_calls_are_not_counted_twice(instrumented: Telemetry, load: Any, config: Any) -> None:
    inner: list[Any] = []
    store, exports = load(NESTS, lambda: inner[0](store), config=config, fuel=1000)
    inner.append(exports["leaf"])
    exports["run"](store)
    assert consumed(instrumented) == 1000 - store.get_fuel() > 0


@FUEL
def test_calls_in_another_store_have_their_own(instrumented: Telemetry, load: Any, config: Any) -> None:
    other, other_exports = load(SPINS, config=counting(), fuel=1000)
    store, exports = load(NESTS, lambda: other_exports["spin"](other, 5), config=config, fuel=1000)
    exports["run"](store)
    spin, _, run = instrumented.spans()
    used = [(span.attributes or {})["wasm.fuel.consumed"] for span in (spin, run)]
    assert used == [(1000 - other.get_fuel()) / 2, 1000 - store.get_fuel()]
    assert consumed(instrumented) == 2000 - store.get_fuel() - other.get_fuel()


@BOTH
@pytest.mark.parametrize("left", [5_000, 10])
def test_refuelling_during_a_call_does_not_reduce_what_was_consumed(
    left: int, instrumented: Telemetry, load: Any, config: Any
) -> None:
    spent = []

    def refuel() -> None:
        spent.append(store.get_fuel())
        store.set_fuel(left)

    store, exports = load(NESTS, refuel, config=config, fuel=1000)
    exports["run"](store)
    first, second = 1000 - spent[0], left - spent[1]
    assert consumed(instrumented) == first + second + left - store.get_fuel() > 0


@FUEL
def test_setting_fuel_between_calls_is_not_counted(instrumented: Telemetry, load: Any, config: Any) -> None:
    store, exports = load(SPINS, config=config, fuel=1000)
    exports["spin"](store, 1)
    used = 1000 - store.get_fuel()
    store.set_fuel(fuel=5)
    store.set_fuel(50_000)
    exports["spin"](store, 1)
    assert consumed(instrumented) == 2 * used


@FUEL
def test_a_start_function_consumes_too(instrumented: Telemetry, load: Any, config: Any) -> None:
    store, _ = load(START, config=config, fuel=1000)
    assert consumed(instrumented) == 1000 - store.get_fuel() > 0


@FUEL
def test_a_start_function_that_is_out_of_fuel(instrumented: Telemetry, load: Any, config: Any) -> None:
    with pytest.raises(wasmtime.Trap):
        load("(module (func $start (loop $l br $l)) (start $start))", config=config, fuel=1000)
    assert consumed(instrumented) == pytest.approx(1000, abs=10)
    ((attributes, count),) = instrumented.points("sandbox.limit.violations")
    assert (attributes["sandbox.operation"], attributes["sandbox.limit"], count) == ("instantiate", "fuel", 1)


@FUEL
def test_a_call_that_is_out_of_fuel_has_consumed_it(instrumented: Telemetry, load: Any, config: Any) -> None:
    store, exports = load(SPINS, config=config, fuel=1000)
    with pytest.raises(wasmtime.Trap):
        exports["spin"](store, 1_000_000)
    assert consumed(instrumented) == 1000 - store.get_fuel() > 900
    (event,) = instrumented.logs("sandbox.resource")
    assert dict(event.log_record.attributes or {})["sandbox.resource.limit"] == 1000


@FUEL
def test_components_consume_fuel(instrumented: Telemetry, config: Any) -> None:
    store = wasmtime.Store(wasmtime.Engine(config))
    store.set_fuel(1000)
    text = """(component (core module $m (func (export "f") nop nop)) (core instance $i (instantiate $m))
      (func (export "f") (canon lift (core func $i "f"))))"""
    built = component.Component(store.engine, text)
    function = component.Linker(store.engine).instantiate(store, built).get_func(store, "f")
    assert function is not None
    function(store)
    assert consumed(instrumented) == 1000 - store.get_fuel() > 0


@pytest.mark.parametrize(
    ("settings", "counts"), [({}, True), ({"fuel": True}, False)], ids=["not asked", "not counted"]
)
def test_fuel_is_not_measured_unless_requested_and_counted(
    counts: bool, instrumented: Telemetry, load: Any, config: Any
) -> None:
    store, exports = load(SPINS, config=config, fuel=1000) if counts else load(SPINS)
    exports["spin"](store, 1)
    assert instrumented.points("wasm.fuel.consumed") == []
    assert "wasm.fuel.consumed" not in (instrumented.spans()[0].attributes or {})


@FUEL
def test_each_engine_is_checked_once(instrumented: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    get_fuel = wasmtime.Store.get_fuel
    monkeypatch.setattr(wasmtime.Store, "get_fuel", lambda store: asked.append(store) or get_fuel(store))
    engine = wasmtime.Engine()
    for _ in range(3):
        wasmtime.Store(engine).close()
    assert len(asked) == 1


@FUEL
def test_wrong_uses_of_fuel_fail_as_in_plain_wasmtime(
    instrumented: Telemetry, load: Any, config: Any
) -> None:
    with pytest.raises(wasmtime.WasmtimeError, match="fuel is not configured"):
        wasmtime.Store().set_fuel(1)
    store, _ = load(SPINS, config=config, fuel=1)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'fuel'"):
        store.set_fuel()
    store.set_fuel(2**64 - 1)
    store.close()
    with pytest.raises(ValueError, match="already closed"):
        store.set_fuel(1)
