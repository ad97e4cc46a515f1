"""The size of exported memories and their limits are measured, on the thread that makes the calls."""

from __future__ import annotations

from typing import Any

import pytest
import wasmtime

from harness import Telemetry
from sandscope_instrumentation_wasmtime._measures import _calls

PAGE = 65536
GROWS = """(module (memory (export "memory") 1 {maximum})
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "nop"))
  (func (export "trap") (drop (memory.grow (i32.const 1))) unreachable))"""


def value(telemetry: Telemetry, name: str) -> float | None:
    """Return the value of a metric without attributes; None if there is none."""
    points = telemetry.points(name)
    assert [attributes for attributes, _ in points] in ([], [{}])
    return points[0][1] if points else None


def usage(telemetry: Telemetry) -> float | None:
    """Return the pages in use."""
    found = value(telemetry, "wasm.memory.usage")
    return None if found is None else found / PAGE


def limit(telemetry: Telemetry) -> float | None:
    """Return the limit in pages."""
    found = value(telemetry, "wasm.memory.limit")
    return None if found is None else found / PAGE


def test_usage_tracks_a_guest_that_grows(instrumented: Telemetry, load: Any) -> None:
    store, exports = load(GROWS.format(maximum=""))
    assert usage(instrumented) == 1
    exports["grow"](store, 3)
    assert usage(instrumented) == 4
    (span,) = instrumented.spans()
    (log,) = instrumented.logs()
    assert (span.attributes or {})["wasm.memory.peak"] == 4 * PAGE
    assert (log.log_record.attributes or {})["wasm.memory.peak"] == 4 * PAGE
    store.close()
    assert usage(instrumented) == 0


def test_stores_are_summed(instrumented: Telemetry, load: Any) -> None:
    stores = [load(GROWS.format(maximum=""))[0] for _ in range(3)]
    assert usage(instrumented) == 3
    stores.pop().close()
    assert usage(instrumented) == 2


def test_a_call_that_traps_is_read_too(instrumented: Telemetry, load: Any) -> None:
    store, exports = load(GROWS.format(maximum=""))
    with pytest.raises(wasmtime.Trap):
        exports["trap"](store)
    assert usage(instrumented) == 2


@pytest.mark.parametrize("settings", [{"spans": "off"}, {"spans": "outer"}], ids=str)
def test_usage_needs_no_spans(instrumented: Telemetry, load: Any) -> None:
    store, exports = load(GROWS.format(maximum=""))
    exports["grow"](store, 1)
    assert usage(instrumented) == 2


def peaks(telemetry: Telemetry, name: str) -> dict[str | None, float]:
    """Return the sum of a histogram of peaks, in pages, by the status of the calls."""
    metric = telemetry.metrics().get(name)
    points: Any = () if metric is None else metric.data.data_points
    return {point.attributes.get("sandbox.verdict.status"): point.sum / PAGE for point in points}


@pytest.mark.parametrize("settings", [{}, {"spans": "off"}, {"spans": "outer"}, {"cpu": True}], ids=str)
def test_the_peak_outlives_its_store(instrumented: Telemetry, load: Any) -> None:
    store, exports = load(GROWS.format(maximum=""))
    exports["grow"](store, 3)
    with pytest.raises(wasmtime.Trap):
        exports["trap"](store)
    assert peaks(instrumented, "wasm.sandbox.memory.peak") == {}
    store.close()
    assert usage(instrumented) == 0
    assert peaks(instrumented, "wasm.memory.peak") == {"OK": 4, "RE": 5}
    assert peaks(instrumented, "wasm.sandbox.memory.peak") == {None: 5}


def test_a_store_is_read_at_its_end(instrumented: Telemetry, load: Any) -> None:
    store, exports = load(GROWS.format(maximum=""))
    for _ in range(_calls.FIRST):
        exports["nop"](store)
    exports["grow"](store, 6)
    assert usage(instrumented) == 1
    store.close()
    assert peaks(instrumented, "wasm.sandbox.memory.peak") == {None: 7}
    assert usage(instrumented) == 0


def test_a_memory_that_is_exported_under_several_names_counts_once(instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    module = wasmtime.Module(
        store.engine, '(module (memory (export "a") 1) (export "b" (memory 0)) (memory (export "c") 2))'
    )
    exports = wasmtime.Instance(store, module, []).exports(store)
    assert usage(instrumented) == 3
    borrows = wasmtime.Module(store.engine, '(module (import "" "" (memory 1)) (export "d" (memory 0)))')
    wasmtime.Instance(store, borrows, [exports["a"]]).exports(store)
    assert usage(instrumented) == 3


def test_a_memory_that_is_not_exported_is_not_known(instrumented: Telemetry, load: Any) -> None:
    store, exports = load('(module (memory 1) (func (export "f")))')
    exports["f"](store)
    assert usage(instrumented) is None
    assert "wasm.memory.peak" not in (instrumented.spans()[0].attributes or {})


def test_what_the_host_grows_counts_at_once(instrumented: Telemetry, load: Any) -> None:
    store, exports = load(GROWS.format(maximum=""))
    assert exports["memory"].grow(store, 2) == 1
    assert usage(instrumented) == 3


def test_after_the_first_calls_every_nth_is_measured(instrumented: Telemetry, load: Any) -> None:
    store, exports = load(GROWS.format(maximum=""))
    total = _calls.FIRST + 2 * _calls.EVERY
    for _ in range(total):
        exports["nop"](store)
    assert len(instrumented.spans()) == total
    measured = [
        number
        for number, span in enumerate(instrumented.spans())
        if "wasm.memory.peak" in (span.attributes or {})
    ]
    last = _calls.FIRST - 1
    assert measured == [*range(_calls.FIRST), last + _calls.EVERY, last + 2 * _calls.EVERY]
    exports["grow"](store, 1)
    for _ in range(_calls.EVERY):
        exports["nop"](store)
    assert usage(instrumented) == 2


def test_more_memories_are_read_less_often(instrumented: Telemetry, load: Any) -> None:
    memories = " ".join(f'(memory (export "m{number}") 1)' for number in range(4))
    store, exports = load(f'(module {memories} (func (export "nop")))')
    for _ in range(_calls.FIRST + 4 * _calls.EVERY):
        exports["nop"](store)
    measured = ["wasm.memory.peak" in (span.attributes or {}) for span in instrumented.spans()]
    assert measured.count(True) == _calls.FIRST + 1
    assert measured[-1]


def test_a_nested_call_is_not_measured_separately(instrumented: Telemetry, load: Any) -> None:
    inner: list[Any] = []
    store, exports = load(
        """(module (import "h" "f" (func $f)) (memory (export "m") 1)
          (func (export "run") (call $f)) (func (export "leaf")))""",
        lambda: inner[0](store),
    )
    inner.append(exports["leaf"])
    exports["run"](store)
    leaf, run = instrumented.spans()
    assert "wasm.memory.peak" not in (leaf.attributes or {})
    assert (run.attributes or {})["wasm.memory.peak"] == PAGE


def test_a_declared_maximum_is_a_limit(instrumented: Telemetry, load: Any) -> None:
    store, _ = load(GROWS.format(maximum=7))
    assert limit(instrumented) == 7
    store.close()
    assert limit(instrumented) == 0


def test_without_any_limit_there_is_no_metric(instrumented: Telemetry, load: Any) -> None:
    load(GROWS.format(maximum=""))
    assert limit(instrumented) is None


def test_the_smaller_of_two_limits_holds(instrumented: Telemetry, load: Any) -> None:
    store, _ = load(GROWS.format(maximum=7))
    store.set_limits(memory_size=3 * PAGE)
    assert limit(instrumented) == 3
    store.set_limits(memory_size=9 * PAGE)
    assert limit(instrumented) == 7
    store.set_limits(instances=10)
    assert limit(instrumented) == 7


def test_a_stores_limit_holds_for_each_memory(instrumented: Telemetry) -> None:
    store = wasmtime.Store()
    store.set_limits(2 * PAGE)
    assert limit(instrumented) == 2
    module = wasmtime.Module(store.engine, '(module (memory (export "a") 1) (memory (export "b") 1))')
    wasmtime.Instance(store, module, []).exports(store)
    assert limit(instrumented) == 4


def test_a_maximum_beyond_any_machine_is_capped(instrumented: Telemetry) -> None:
    config = wasmtime.Config()
    config.wasm_memory64 = True
    store = wasmtime.Store(wasmtime.Engine(config))
    module = wasmtime.Module(store.engine, '(module (memory (export "m") i64 1 0x1000000000000))')
    wasmtime.Instance(store, module, []).exports(store)
    assert value(instrumented, "wasm.memory.limit") == 1 << 48


def test_a_store_closed_by_the_program_is_left_alone(instrumented: Telemetry, load: Any) -> None:
    store, exports = load(GROWS.format(maximum=""))
    store.close()
    with pytest.raises(ValueError, match="already closed"):
        exports["nop"](store)
    assert usage(instrumented) == 0
