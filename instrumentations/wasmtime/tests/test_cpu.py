"""CPU time is measured if requested; nested calls are included once for each thread."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import wasmtime

from harness import Telemetry

CPU = pytest.mark.parametrize("settings", [{"cpu": True}], ids=["cpu"])
SPINS = """(module (func (export "spin") (param i32)
  (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0))))
  (func (export "trap") unreachable))"""
CALLS_HOST = '(module (import "h" "f" (func $f)) (func (export "run") (call $f)))'


def seconds(telemetry: Telemetry) -> float:
    """Return the CPU time in the metric."""
    return sum(value for _, value in telemetry.points("wasm.cpu.time"))


@CPU
def test_a_call_has_its_cpu_time(instrumented: Telemetry, load: Any) -> None:
    store, exports = load(SPINS)
    before = time.thread_time()
    exports["spin"](store, 20_000_000)
    spent = time.thread_time() - before
    (span,) = instrumented.spans()
    (log,) = instrumented.logs()
    used = (span.attributes or {})["wasm.cpu.time"]
    assert isinstance(used, float)
    assert 0.5 * spent <= used <= spent
    assert (log.log_record.attributes or {})["wasm.cpu.time"] == used
    assert seconds(instrumented) == pytest.approx(used)


@CPU
def test_usage_is_a_percentage(instrumented: Telemetry, load: Any) -> None:
    store, exports = load(SPINS)
    exports["spin"](store, 1_000_000)
    ((_, busy),) = instrumented.points("wasm.cpu.usage")
    idle_store, idle = load(CALLS_HOST, lambda: time.sleep(0.1))
    idle["run"](idle_store)
    ((_, sleeping),) = instrumented.points("wasm.cpu.usage")
    assert 0 < busy <= 100
    assert 0 <= sleeping < 50


@CPU
def test_a_call_inside_is_part_of_the_outer_one_even_in_another_store(
    instrumented: Telemetry, load: Any
) -> None:
    other, inner = load(SPINS)
    store, exports = load(CALLS_HOST, lambda: inner["spin"](other, 5_000_000))
    before = time.thread_time()
    exports["run"](store)
    spent = time.thread_time() - before
    spin, run = instrumented.spans()
    assert "wasm.cpu.time" not in (spin.attributes or {})
    used = (run.attributes or {})["wasm.cpu.time"]
    assert used <= spent
    assert seconds(instrumented) == pytest.approx(used)


@CPU
def test_each_thread_is_measured_separately(instrumented: Telemetry, load: Any) -> None:
    def work() -> None:
        store, exports = load(SPINS)
        exports["spin"](store, 100_000)

    def host() -> None:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    store, exports = load(CALLS_HOST, host)
    exports["run"](store)
    assert ["wasm.cpu.time" in (span.attributes or {}) for span in instrumented.spans()] == [True, True]


@CPU
def test_after_a_trap_the_next_call_is_measured(instrumented: Telemetry, load: Any) -> None:
    store, exports = load(SPINS)
    for _ in range(2):
        with pytest.raises(wasmtime.Trap):
            exports["trap"](store)
    assert ["wasm.cpu.time" in (span.attributes or {}) for span in instrumented.spans()] == [True, True]


@pytest.mark.parametrize("settings", [{"cpu": True, "spans": "off"}], ids=["off"])
def test_the_metric_needs_no_spans(instrumented: Telemetry, load: Any) -> None:
    store, exports = load(SPINS)
    exports["spin"](store, 1_000_000)
    assert seconds(instrumented) > 0
    assert instrumented.spans() == []


def test_cpu_time_is_off_by_default(instrumented: Telemetry, load: Any) -> None:
    store, exports = load(SPINS)
    exports["spin"](store, 1)
    assert instrumented.points("wasm.cpu.time") == instrumented.points("wasm.cpu.usage") == []
    assert "wasm.cpu.time" not in (instrumented.spans()[0].attributes or {})
