"""Instances are active from their creation to the end of their store; nothing keeps a store alive."""

from __future__ import annotations

import gc
import subprocess
import sys
import tracemalloc
import weakref
from typing import Any

import pytest
import wasmtime
from opentelemetry.instrumentation.utils import suppress_instrumentation
from wasmtime import component

from harness import Telemetry
from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor

GUEST = '(module (memory (export "memory") 1 2) (func (export "f")))'
COMPONENT = """(component (core module $m (func (export "f"))) (core instance $i (instantiate $m))
  (func (export "f") (canon lift (core func $i "f"))))"""


def value(telemetry: Telemetry, name: str) -> float | None:
    """Return the value of a metric without attributes; None if there is none."""
    points = telemetry.points(name)
    assert [attributes for attributes, _ in points] in ([], [{}])
    return points[0][1] if points else None


def instances(telemetry: Telemetry) -> tuple[float | None, float | None, float | None]:
    """Return how many instances are active, were made and have ended."""
    names = ("wasm.active.instances", "wasm.instance.creation.duration", "wasm.instance.destruction")
    return tuple(value(telemetry, name) for name in names)  # type: ignore[return-value]


def makers() -> dict[str, Any]:
    """Return every way to make an instance, by name."""

    def by_linker(store: wasmtime.Store) -> Any:
        return wasmtime.Linker(store.engine).instantiate(store, wasmtime.Module(store.engine, GUEST))

    def by_keywords(store: wasmtime.Store) -> Any:
        module = wasmtime.Module(store.engine, GUEST)
        return wasmtime.Linker(store.engine).instantiate(module=module, store=store)

    def prepared(store: wasmtime.Store) -> Any:
        linker: Any = wasmtime.Linker(store.engine)
        return linker.instantiate_pre(wasmtime.Module(store.engine, GUEST)).instantiate(store)

    def of_component(store: wasmtime.Store) -> Any:
        built = component.Component(store.engine, COMPONENT)
        return component.Linker(store.engine).instantiate(store, built)

    found = {
        "instance": lambda store: wasmtime.Instance(store, wasmtime.Module(store.engine, GUEST), []),
        "linker": by_linker,
        "keywords": by_keywords,
        "component": of_component,
    }
    return found | ({"prepared": prepared} if hasattr(wasmtime, "InstancePre") else {})


@pytest.mark.parametrize("how", makers())
def test_an_instance_lives_until_its_store_is_closed(how: str, instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    instance = makers()[how](store)
    assert instances(instrumented) == (1, 1, None)
    del instance
    gc.collect()
    assert instances(instrumented) == (1, 1, None)
    store.close()
    assert instances(instrumented) == (0, 1, 1)
    store.close()
    del store
    assert instances(instrumented) == (0, 1, 1)


def test_a_store_that_is_dropped_ends_its_instances_at_once(instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    for make in makers().values():
        make(store)
    made = len(makers())
    assert instances(instrumented) == (made, made, None)
    reference = weakref.ref(store)
    del store
    assert reference() is None
    assert instances(instrumented) == (0, made, made)


def test_stores_without_instances_are_not_counted(instrumented: Telemetry) -> None:
    wasmtime.Store().close()
    assert instances(instrumented) == (None, None, None)


def test_an_instance_that_could_not_be_made_is_not_active(instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    with pytest.raises(wasmtime.WasmtimeError, match="unknown import"):
        wasmtime.Linker(store.engine).instantiate(
            store, wasmtime.Module(store.engine, '(module (import "env" "f" (func)))')
        )
    store.close()
    assert instances(instrumented) == (None, None, None)


def test_wrong_arguments_are_left_to_wasmtime(instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    for arguments in [(), (store,), (store, None), (store, 5, 6, 7)]:
        with pytest.raises((TypeError, AttributeError)):
            wasmtime.Linker(store.engine).instantiate(*arguments)
    with pytest.raises(TypeError, match="argument 'recorder'"):
        wasmtime.Instance(store, recorder=1)  # type: ignore[call-arg]
    assert instances(instrumented) == (None, None, None)


def test_suppressed_instantiations_are_not_counted(instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    with suppress_instrumentation():
        makers()["linker"](store)
    store.close()
    assert instances(instrumented) == (None, None, None)


def test_an_instance_of_an_older_store_is_made_but_not_tracked(telemetry: Telemetry, instrument: Any) -> None:
    store = wasmtime.Store()
    instrument()
    makers()["linker"](store)
    store.close()
    assert instances(telemetry) == (None, 1, None)


def test_a_store_ends_where_it_began(telemetry: Telemetry, recorder_kind: str, instrument: Any) -> None:
    later = Telemetry(recorder_kind)
    instrument()
    store = wasmtime.Store()
    makers()["instance"](store).exports(store)
    assert instances(telemetry) == (1, 1, None)
    WasmtimeInstrumentor().uninstrument()
    WasmtimeInstrumentor().instrument(recorder=later.recorder(WasmtimeInstrumentor.scope))
    makers()["instance"](wasmtime.Store())
    store.close()
    assert instances(later) == (0, 1, 1)
    WasmtimeInstrumentor().uninstrument()
    assert value(later, "wasm.memory.usage") is None
    later.shutdown()


def test_the_start_function_is_part_of_the_making(instrumented: Telemetry, load: Any) -> None:
    load("""(module (start $start) (func $start (local i32) (local.set 0 (i32.const 3000000))
      (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0)))))""")
    (point,) = instrumented.metrics()["wasm.instance.creation.duration"].data.data_points
    assert point.sum > 0.0002
    assert tuple(point.explicit_bounds) == (0.00001, 0.0001, 0.001, 0.01, 0.1, 1.0, 5.0)


def test_many_instantiations_leave_neither_counts_nor_memory(instrumented: Telemetry) -> None:
    engine = wasmtime.Engine()
    module = wasmtime.Module(engine, GUEST)

    def run(times: int) -> None:
        for _ in range(times):
            store = wasmtime.Store(engine)
            wasmtime.Instance(store, module, []).exports(store)

    run(3000)
    instrumented.metrics()
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    run(4000)
    instrumented.metrics()
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 500_000
    assert instances(instrumented)[0] == 0
    assert instances(instrumented)[2] == 7000
    assert value(instrumented, "wasm.memory.usage") == 0
    assert value(instrumented, "wasm.memory.limit") == 0


def test_a_finaliser_may_run_inside_the_sdk(instrumented: Telemetry) -> None:
    class Cycle:
        def __init__(self, store: wasmtime.Store) -> None:
            self.store, self.me = store, self

    for number in range(200):
        store = wasmtime.Store()
        makers()["instance"](store)
        Cycle(store)
        del store
        if number % 20 == 0:
            instrumented.metrics()
    gc.collect()
    assert instances(instrumented)[0] == 0


AT_EXIT = """
import wasmtime
from opentelemetry.sdk.metrics import MeterProvider
from sandscope_instrumentation_wasmtime import WasmtimeInstrumentor
WasmtimeInstrumentor().instrument(meter_provider=MeterProvider(shutdown_on_exit=False))
store = wasmtime.Store()
wasmtime.Instance(store, wasmtime.Module(store.engine, '(module (memory (export "m") 1))'), []).exports(store)
class Late:
    def __init__(self): self.store, self.me = store, self
late = Late()
wasmtime.kept = late
"""


def test_a_store_that_exists_until_the_process_ends_prints_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", AT_EXIT], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
